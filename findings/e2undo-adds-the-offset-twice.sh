#!/usr/bin/env bash
# e2undo of e2fsprogs 1.47.0 (Debian 12) and a filesystem at an offset of its image.
#
# Guess: an undo file that `tune2fs -z` made of `image?offset=N` brings the image back, by
#        `e2undo UNDO image` or by the command that the tool itself prints; where it can't, e2undo
#        says so.
# Seen:  what is kept is the block as far behind the filesystem as that is behind the start of the
#        image, and e2undo writes it there again: the change stays, a place at twice the offset, which
#        was not touched by the change, is written over with the checksum and the label of before,
#        and the status is 0. The command that `debugfs -z` prints names the image with `?offset=`,
#        and e2undo can't open that.
# So:    of a partition an undo file is only good where the partition is a device of its own
#        (losetup -P). What reads undo files as lists of changed blocks has to refuse such a one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The pinned packages, unpacked beside the system.
mkdir archives tree
(cd archives && apt-get -qq download e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 libcom-err2=1.47.0-2+b2 libss2=1.47.0-2+b2)
for archive in archives/*.deb; do dpkg -x "$archive" tree; done
libraries=$(find "$work/tree" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH=$libraries PATH="$work/tree/sbin:$work/tree/usr/sbin:$PATH"

version=$(mke2fs -V 2>&1)
echo "$version"
[[ $version == *"mke2fs 1.47.0"*"Library version 1.47.0"* ]]
offset=$((8 << 20))
truncate -s 64M image
mke2fs -q -t ext4 -E offset=$offset image 20000k
cp image before
tune2fs -z undo -L changed "image?offset=$offset" > told 2>&1
cp image after
! cmp -s image before || { echo "nothing was changed"; exit 1; }

e2undo undo image && echo "e2undo ended with 0"
at() { dd if="$1" bs=16 skip=$(($2 / 16)) count=1 status=none | tr -d '\0'; }
# s_volume_name stands 120 bytes into the superblock, that one 1024 bytes into the filesystem.
label=$((offset + 1024 + 112))
[ "$(at image $label)" = "$(at after $label)" ] || { echo "changed: the label came back"; exit 1; }
places=$({ cmp -l after image || true; } | awk '{ print int(($1 - 1) / 1024) }' | sort -u)
[ "$places" = $(((2 * offset + 1024) / 1024)) ] || { echo "changed: it wrote to $places"; exit 1; }

cp before other
debugfs -w -z other.undo -R "set_super_value volume_name other" "other?offset=$offset" > told 2>&1
command=$(grep -o 'e2undo other.undo other?offset=.*' told)
if $command; then echo "changed: the printed command works"; exit 1; fi
echo "as described"
