#!/usr/bin/env bash
# The Sleuth Kit 4.11.1 (Debian 12) on an ext4 with clusters.
#
# Guess: `bigalloc` changes what a bit of the bitmap stands for and no map of a file, so that
#        `fls` lists the files and `ifind -d` finds the owner of a block, as they do on any ext4.
# Seen:  every tool says "Cannot determine file system type"; with `-f ext4` the reason comes out:
#        "fragments that are a different size than blocks". The field s_log_cluster_size lies where
#        ext2 had s_log_frag_size, and is still checked as that. The same image without bigalloc is
#        read, and debugfs reads both.
# So:    a peer's silence about such a disk is no sign that nothing is on it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The pinned package and what it links against, unpacked beside the system.
mkdir archives tree
closure=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances libtsk19 | grep -E "^lib" | grep -vE "^libc6$|:" | sort -u)
(cd archives && apt-get -qq download "sleuthkit=4.11.1+dfsg-1+b1" $closure)
for package in archives/*.deb; do dpkg -x "$package" tree; done
export LD_LIBRARY_PATH="$work/tree/usr/lib/x86_64-linux-gnu:$work/tree/lib/x86_64-linux-gnu"
tsk="$work/tree/usr/bin"

printf 'a file\n' > file
try() { # NAME FEATURES
    truncate -s 64M "$1"
    mke2fs -q -F -t ext4 -b 4096 -O "$2" "$1" 2>/dev/null
    debugfs -w -R "write file file" "$1" 2>/dev/null >/dev/null
    debugfs -R "cat file" "$1" 2>/dev/null | cmp - file
}
try plain ^bigalloc
try clusters bigalloc

"$tsk/fls" -V
"$tsk/fls" -V | grep -q "ver 4.11.1"
"$tsk/fls" plain 2>/dev/null | grep -qP "r/r \d+:\tfile$"
if "$tsk/fls" clusters > said 2>&1; then echo "changed: it is read now"; exit 1; fi
cat said
grep -q "Cannot determine file system type" said
"$tsk/fsstat" -f ext4 clusters > said 2>&1 || true
cat said
grep -q "fragments that are a different size than blocks" said
echo "as described"
