#!/usr/bin/env bash
# The Sleuth Kit 4.11.1 (Debian 12): the UUID of an ext4 as fsstat says it.
#
# Guess: "Volume ID" is the UUID with its bytes in the order of the disk, as blkid and tune2fs have
#        it, only without the hyphens; at worst reversed, so that turning it round gives the UUID.
# Seen:  it is reversed, and printed as two 64-bit numbers without leading zeros. A zero digit at
#        the front of either half is missing: 00010203-0405-0607-0809-0a0b0c0d0e0f comes out as
#        f0e0d0c0b0a0908706050403020100, which has 30 digits. Where the half was cut can't be told
#        from the text, so two filesystems with different UUIDs can show the same ID.
# So:    never join what a report of this tool says of a volume with a UUID from elsewhere.
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

id_of() { # UUID
    rm -f image
    truncate -s 16M image
    mke2fs -q -F -t ext4 -U "$1" image
    "$tsk/fsstat" image 2>/dev/null | sed -n 's/^Volume ID: //p'
}
"$tsk/fls" -V
"$tsk/fls" -V | grep -q "ver 4.11.1"
check() { # UUID ID
    id=$(id_of "$1")
    echo "$1 -> $id"
    [ "$id" = "$2" ] || { echo "changed: expected $2"; exit 1; }
}
check 00010203-0405-0607-0809-0a0b0c0d0e0f f0e0d0c0b0a0908706050403020100
# All digits there: reversed, and nothing is missing.
check 10111213-1415-1617-1819-1a1b1c1d1e1f 1f1e1d1c1b1a19181716151413121110
# Two UUIDs, one ID: the zero is missing from the one half or from the other.
check 11111111-1111-1101-1111-111111111111 1111111111111111111111111111111
check 11111111-1111-1111-1111-111111111101 1111111111111111111111111111111
echo "as described"
