#!/usr/bin/env bash
# mkfs.btrfs 6.2 (Debian 12): the target of a symlink that --rootdir writes.
#
# Guess: the inline extent of a symlink holds its target and nothing else, as when a kernel makes
#        the link: its data are as long as the size in the inode says, and so is nbytes.
# Seen:  for a target of 9 bytes the inode has size 9 and nbytes 10, and the extent 10 bytes: the
#        last one is the zero byte that ends a string in C. btrfs check finds nothing wrong.
# So:    who takes a target from the extent has a name with a zero byte, which no system can make a
#        link to; the size in the inode is what counts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The pinned package and what it links against, unpacked beside the system.
mkdir archives tree
closure=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances btrfs-progs | grep -E "^lib" | grep -vE "^libc6$|:" | sort -u)
(cd archives && apt-get -qq download "btrfs-progs=6.2-1+deb12u2" $closure)
for package in archives/*.deb; do dpkg -x "$package" tree; done
export LD_LIBRARY_PATH="$work/tree/usr/lib/x86_64-linux-gnu:$work/tree/lib/x86_64-linux-gnu"
export PATH="$work/tree/sbin:$work/tree/usr/sbin:$work/tree/bin:$work/tree/usr/bin:$PATH"

mkfs.btrfs --version | tee /dev/stderr | grep -q "v6.2"
mkdir folder
ln -s fstab.old folder/link
truncate -s 128M image
mkfs.btrfs -q -f --rootdir folder image > /dev/null
btrfs inspect-internal dump-tree -t 5 image > tree.txt
grep -E "nbytes|inline extent data" tree.txt | tail -2
grep -q "size 9 nbytes 10" tree.txt || { echo "changed: the inode counts otherwise"; exit 1; }
grep -q "inline extent data size 10 ram_bytes 10" tree.txt || { echo "changed: no byte more"; exit 1; }
btrfs check image > check.txt 2>&1 || { echo "changed: btrfs check objects"; exit 1; }
echo "as described"
