#!/usr/bin/env bash
# mke2fs 1.47.0 and mkfs.btrfs 6.2 (Debian 12) fill a new filesystem from a folder.
#
# Guess: `-d` and `--rootdir` copy a file's time of change as it is: both formats have a field for
#        the nanoseconds, and mke2fs copies modes, owners and extended attributes.
# Seen:  both keep the seconds and write zero nanoseconds, on inodes of 256 bytes too.
# So:    an image built from a folder and one that the folder was copied into by `cp -a` differ in
#        the time of nearly every file, though no one touched any: `M` for times alone means little
#        between images of different makers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The pinned packages and what they link against, unpacked beside the system.
mkdir archives tree
closure=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances btrfs-progs e2fsprogs | grep -E "^lib" | grep -vE "^libc6$|:" | sort -u)
(cd archives && apt-get -qq download "e2fsprogs=1.47.0-2+b2" "btrfs-progs=6.2-1+deb12u2" $closure)
for package in archives/*.deb; do dpkg -x "$package" tree; done
export LD_LIBRARY_PATH="$work/tree/usr/lib/x86_64-linux-gnu:$work/tree/lib/x86_64-linux-gnu"
export PATH="$work/tree/sbin:$work/tree/usr/sbin:$work/tree/bin:$work/tree/usr/bin:$PATH"

mkdir folder
printf 'a file\n' > folder/file
touch -d '2024-01-02 03:04:05.678901234 UTC' folder/file
stat -c %.9Y folder/file | grep -qx 1704164645.678901234

mke2fs -V 2>&1 | tee /dev/stderr | grep -q "mke2fs 1.47.0"
truncate -s 16M ext4
mke2fs -q -F -t ext4 -I 256 -d folder ext4
debugfs -R "stat file" ext4 2>/dev/null | grep mtime | tee mtime
# The low two bits of the second number are the epoch, the rest the nanoseconds.
grep -qE "mtime: 0x65937d25:00000000 " mtime || { echo "changed: mke2fs"; exit 1; }

mkfs.btrfs --version | tee /dev/stderr | grep -q "v6.2"
truncate -s 128M btrfs
mkfs.btrfs -q --rootdir folder btrfs > /dev/null
btrfs inspect-internal dump-tree -t 5 btrfs | grep mtime | tee mtime
grep -qE "mtime 1704164645\.0 " mtime || { echo "changed: mkfs.btrfs"; exit 1; }
echo "as described"
