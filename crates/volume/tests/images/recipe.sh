# How the images here were made: with mdadm 4.2 and LVM2 2.03.16 under Linux 6.1, on disks of 24 MiB.
# Needs root and a kernel with md and device-mapper; A to I are block devices, each of one disk.
set -eu
make() { mdadm --create "$@" --run --assume-clean; }
fill() { mke2fs -q -F -L "$2" "$1"; mount "$1" /mnt; echo hello > /mnt/hello; umount /mnt; }
make /dev/md10 --metadata=1.2 --level=1 --raid-devices=2 --name=data "$A" "$B"   # A: md-1.2
make /dev/md11 --metadata=1.0 --level=1 --raid-devices=2 --bitmap=internal "$C" "$D" # C: md-1.0
make /dev/md12 --metadata=0.90 --level=1 --raid-devices=2 "$E" "$F"               # E: md-0.90
make /dev/md13 --metadata=1.1 --level=5 --raid-devices=3 "$G" "$H" "$I"           # G: md-raid5
fill /dev/md10 raid12; fill /dev/md11 raid10; fill /dev/md12 raid090; mke2fs -q -F -L raid5 /dev/md13
mdadm --stop --scan
pvcreate -ff -y "$A" "$B"; vgcreate vg "$A" "$B"                                  # A: lvm-mirrors
lvcreate -y -Wn --type raid1 -m1 -L 8M -n root vg; fill /dev/vg/root lvraid1
lvcreate -y -Wn --type mirror -m1 --mirrorlog core -L 4M -n mir vg; mke2fs -q -F -L lvmirror /dev/vg/mir
vgchange -an vg
