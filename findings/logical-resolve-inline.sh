#!/usr/bin/env bash
# btrfs inspect-internal logical-resolve of btrfs-progs 6.2 (Debian 12), with Linux 6.18, and a file
# whose content lies in a leaf.
#
# Guess: of the block that holds the content of a small file (an inline extent) it names the file, as
#        it does of a block of a large one; of an address that no chunk has it says that there is no
#        such one.
# Seen:  of both, and in the same words: `logical ino ioctl: No such file or directory`, status 1. The
#        ioctl looks for data extents only, and a leaf is none.
# So:    after a bad sector, `No such file or directory` does not say that no file has content there.
#        The leaf has to be read (`dump-tree -b`), and each inline extent in it is a file that is hit.
#
# Needs root: a btrfs is mounted.
set -euo pipefail
work=$(mktemp -d)
mounted=
trap '[ -z "$mounted" ] || umount "$work/at"; rm -rf "$work"' EXIT
cd "$work"

# The pinned package, unpacked beside the system.
mkdir archives tree at
(cd archives && apt-get -qq download btrfs-progs=6.2-1+deb12u2)
dpkg -x archives/*.deb tree
PATH="$work/tree/sbin:$work/tree/bin:$work/tree/usr/sbin:$work/tree/usr/bin:$PATH"
version=$(btrfs --version)
echo "$version, Linux $(uname -r)"
[[ $version == *"v6.2"* ]]

truncate -s 256M image
mkfs.btrfs -q -m single image > /dev/null
mount -o loop image at
mounted=yes
head -c 500 /dev/urandom > at/small
head -c 100000 /dev/urandom > at/large
umount at
mounted=

tree=$(btrfs inspect-internal dump-tree -t 5 image)
leaf=$(sed -n 's/^leaf \([0-9]*\) items.*/\1/p' <<< "$tree" | head -n 1)
data=$(sed -n 's/.*extent data disk byte \([1-9][0-9]*\) .*/\1/p' <<< "$tree" | head -n 1)
[[ $tree == *"inline extent data size 500"* ]]
echo "a leaf with 500 bytes of content at $leaf, an extent at $data"

mount -o loop image at
mounted=yes
named=$(btrfs inspect-internal logical-resolve "$data" at)
[ "$named" = at/large ] || { echo "changed: of the extent it says $named"; exit 1; }
for address in "$leaf" 4096; do
    status=0
    said=$(btrfs inspect-internal logical-resolve "$address" at 2>&1) || status=$?
    echo "$address: status $status, $said"
    [[ $status = 1 && $said == *"logical ino ioctl: No such file or directory"* ]] || {
        echo "changed"
        exit 1
    }
done
echo "as described"
