#!/usr/bin/env bash
# cache_restore and thin_restore of thin-provisioning-tools 0.9.0 (Debian 12) write the metadata of a
# dm-cache and of a thin pool.
#
# Guess: the magic numbers in the kernel's headers, 06142003 and 27022010, are dates, and lie on the
#        disk alike: as the decimal numbers 6142003 and 27022010.
# Seen:  the leading zero makes the first an octal constant of C: a cache has 1623043 on its disk,
#        a thin pool 27022010.
# So:    who looks for a cache by the number that the header seems to show never finds one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The pinned package and what it links against, unpacked beside the system.
mkdir archives tree
closure=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances thin-provisioning-tools | grep -E "^lib" | grep -vE "^libc6$|:" | sort -u)
(cd archives && apt-get -qq download "thin-provisioning-tools=0.9.0-2" $closure)
for package in archives/*.deb; do dpkg -x "$package" tree; done
export LD_LIBRARY_PATH="$work/tree/usr/lib/x86_64-linux-gnu:$work/tree/lib/x86_64-linux-gnu"
export PATH="$work/tree/sbin:$work/tree/usr/sbin:$work/tree/bin:$work/tree/usr/bin:$PATH"

cache_restore -V | tee /dev/stderr | grep -qx 0.9.0
truncate -s 4M cache thin
echo '<superblock uuid="" block_size="128" nr_cache_blocks="16" policy="smq" hint_width="4">
<mappings></mappings><hints></hints></superblock>' > cache.xml
cache_restore -q -i cache.xml -o cache
echo '<superblock uuid="" time="0" transaction="0" data_block_size="128" nr_data_blocks="16">
</superblock>' > thin.xml
thin_restore -q -i thin.xml -o thin
# Both superblocks: checksum, flags, block number, 16 bytes of UUID, magic.
magic() { od -An -t u8 -j 32 -N 8 "$1" | tr -d ' '; }
echo "cache $(magic cache), thin pool $(magic thin)"
[ "$(magic cache)" = 1623043 ] && [ "$((06142003))" = 1623043 ] || { echo "changed: cache"; exit 1; }
[ "$(magic thin)" = 27022010 ] || { echo "changed: thin pool"; exit 1; }
echo "as described"
