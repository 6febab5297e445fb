#!/usr/bin/env bash
# tune.exfat of exfatprogs 1.2.0 (Debian 12) and the serial number of a volume.
#
# Guess: `tune.exfat -i NUMBER` sets the serial, as `tune.exfat -L LABEL` sets the label and
#        `fatlabel -i DEVICE NUMBER` the serial of a FAT.
# Seen:  `-i` only prints it, takes the number for nothing and ends with 0; `-I NUMBER` sets it.
# So:    a script that makes copies of a card tell themselves apart with `-i` leaves them with one
#        serial, and whoever knows volumes by it takes one for the other.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The pinned package, unpacked beside the system.
mkdir archives tree
(cd archives && apt-get -qq download "exfatprogs=1.2.0-1+deb12u1")
dpkg -x archives/*.deb tree
export PATH="$work/tree/sbin:$work/tree/usr/sbin:$PATH"

{ tune.exfat -V 2>&1 || true; } | tee /dev/stderr | grep -q "1.2.0"
truncate -s 8M image
mkfs.exfat image > /dev/null
# The serial: four bytes at byte 100 of the boot sector.
serial() { od -An -t x4 -j 100 -N 4 image | tr -d ' '; }
before=$(serial)
tune.exfat -i 0x13572468 image && echo "-i ended with 0"
[ "$(serial)" = "$before" ] || { echo "changed: -i sets the serial"; exit 1; }
tune.exfat -I 0x13572468 image > /dev/null
[ "$(serial)" = 13572468 ] || { echo "changed: -I"; exit 1; }
echo "as described"
