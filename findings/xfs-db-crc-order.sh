#!/usr/bin/env bash
# xfs_db 6.1.0 (Debian 12) prints the CRC of an XFS metadata block.
#
# Guess: `crc = 0x… (correct)` is the CRC-32C of the block, as one would compute it.
# Seen:  XFS stores that field alone in little-endian order, in structures whose other fields are
#        big-endian, and xfs_db prints it as if it were one of those: the bytes are the other way
#        round.
# So:    a value computed over the block, or read by another tool, has to be swapped before it is
#        looked for in the output of xfs_db.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The pinned package and what it links against, unpacked beside the system.
mkdir archives tree
closure=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances xfsprogs | grep -E "^lib" | grep -vE "^libc6$|:" | sort -u)
(cd archives && apt-get -qq download "xfsprogs=6.1.0-1" $closure)
for package in archives/*.deb; do dpkg -x "$package" tree; done
export LD_LIBRARY_PATH="$work/tree/usr/lib/x86_64-linux-gnu:$work/tree/lib/x86_64-linux-gnu"
export PATH="$work/tree/sbin:$work/tree/usr/sbin:$work/tree/bin:$work/tree/usr/bin:$PATH"

xfs_db -V | tee /dev/stderr | grep -q "version 6.1.0"
truncate -s 310M image
mkfs.xfs -q image
xfs_db -r -c "sb 0" -c "print crc" image | tee printed
grep -q "(correct)" printed
computed=$(python3 - <<'P'
table = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    table.append(n)
sector = bytearray(open("image", "rb").read(512))
sector[224:228] = bytes(4)  # sb_crc
crc = 0xFFFFFFFF
for byte in sector:
    crc = crc >> 8 ^ table[(crc ^ byte) & 255]
print("%08x" % (crc ^ 0xFFFFFFFF))
P
)
printed=$(printf %08x "$(grep -o '0x[0-9a-f]*' printed)")
swapped=${computed:6:2}${computed:4:2}${computed:2:2}${computed:0:2}
echo "printed $printed, computed $computed"
[ "$printed" = "$swapped" ] && [ "$printed" != "$computed" ] || { echo changed; exit 1; }
echo "as described"
