#!/usr/bin/env bash
# mkfs.btrfs 6.2 (Debian 12): the numbers of inodes that --rootdir writes.
#
# Guess: the first file is 257, the next one 258, as when a kernel creates them, whatever the
#        folder lies on; the same folder gives the same numbers.
# Seen:  each file has the number that it has in the filesystem of the folder, plus 256. A copy of
#        the folder gives an image in which every file has another number.
# So:    two images of one tree, built on two machines, share no inode number, and may share them
#        for different files: only paths tell which file of the one is which of the other.
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
printf 'a file\n' > folder/file
cp -a folder copy
for folder in folder copy; do
    truncate -s 128M image
    mkfs.btrfs -q -f --rootdir "$folder" image > /dev/null
    number=$(($(stat -c %i "$folder/file") + 256))
    echo "$folder/file is inode $((number - 256)); in the image:"
    btrfs inspect-internal dump-tree -t 5 image | grep -E "INODE_ITEM 0\) itemoff" | tee items
    grep -q "($number INODE_ITEM 0)" items || { echo "changed: other numbers"; exit 1; }
    if grep -q "(257 INODE_ITEM 0)" items; then echo "changed: counted from 257"; exit 1; fi
    rm image
done
echo "as described"
