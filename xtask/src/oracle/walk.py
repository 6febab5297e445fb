"""Everything that can be seen of a mounted tree, one JSON object a line.

usage: walk.py ROOT     (root privileges)

p    path from ROOT, hex            t    kind, in the words of the report
ino  inode number                   id   file handle, hex: it holds the generation;
                                         null for what has none to be asked for
size mode uid gid mtime nlink rdev  as stat gives them (mtime in nanoseconds)
x    extended attributes, hex       d    digest of the content or target
s    whether it is the root of a btrfs snapshot
e    FIEMAP: [logical, physical, length, flags] in bytes, null where there is none

An encrypted file whose key is not there can't be opened, and has neither d nor e.
"""

import array
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import stat
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
FS_IOC_FIEMAP = 0xC020660B
BTRFS_IOC_GET_SUBVOL_INFO = 0x81F8943C
BTRFS_HANDLES = (0x4D, 0x4E, 0x4F)
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block-device",
    stat.S_IFCHR: "char-device",
}


def handle(path):
    """name_to_handle_at: struct { u32 bytes; i32 type; u8 handle[]; }"""
    buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128), 136)
    mount = ctypes.c_int()
    if LIBC.name_to_handle_at(-100, path, buffer, ctypes.byref(mount), 0) != 0:
        return None, None
    length, kind = struct.unpack_from("Ii", buffer.raw)
    return buffer.raw[8 : 8 + length].hex(), kind


def is_snapshot(path):
    """Whether the subvolume has the UUID of another one as its parent's."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        info = array.array("B", bytes(504))
        fcntl.ioctl(descriptor, BTRFS_IOC_GET_SUBVOL_INFO, info)
        return any(info[312:328])
    finally:
        os.close(descriptor)


def identity(path, kind):
    """FUSE makes handles up; ntfs-3g tells the time of creation instead. On btrfs all kinds have
    handles with a generation, elsewhere only what can be opened is asked for one."""
    if kind in ("file", "directory", "subvolume"):
        try:
            return os.getxattr(path, "system.ntfs_crtime").hex()
        except OSError:
            return handle(path)[0]
    found, form = handle(path)
    return found if form in BTRFS_HANDLES else None


def open_or_none(path):
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.ENOKEY:
            raise
        return None


def fiemap(path):
    room = 256
    extents, start = [], 0
    descriptor = open_or_none(path)
    if descriptor is None:
        return None
    try:
        while True:
            head = struct.pack("=QQIIII", start, (1 << 64) - 1 - start, 1, 0, room, 0)
            request = array.array("B", head + bytes(56 * room))
            fcntl.ioctl(descriptor, FS_IOC_FIEMAP, request)
            count = struct.unpack_from("=I", request, 20)[0]
            for n in range(count):
                extent = struct.unpack_from("=QQQ16xI", request, 32 + 56 * n)
                extents.append(extent)
                start = extent[0] + extent[2]
                if extent[3] & 1:
                    return extents
            if count == 0:
                return extents
    except OSError:
        return None
    finally:
        os.close(descriptor)


def digest(path, info):
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path).hex()
    if not stat.S_ISREG(info.st_mode):
        return None
    descriptor = open_or_none(path)
    if descriptor is None:
        return None
    total = hashlib.blake2b(digest_size=16)
    with open(descriptor, "rb") as content:
        while piece := content.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def attributes(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {n: os.getxattr(path, n, follow_symlinks=False).hex() for n in names}
    except OSError:
        return {}


def show(path, name, device):
    info = os.lstat(path)
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    # Each subvolume of btrfs is a device of its own, whose root has this number.
    if kind == "directory" and name != b"/" and info.st_dev != device and info.st_ino == 256:
        kind = "subvolume"
    record = {
        "p": name.hex(),
        "t": kind,
        "ino": info.st_ino,
        "id": identity(path, kind),
        "size": info.st_size,
        "mode": info.st_mode & 0o7777,
        "uid": info.st_uid,
        "gid": info.st_gid,
        # The kernel makes this one up where a snapshot has no copy of a subvolume.
        "mtime": 0 if info.st_ino == 2 and handle(path)[1] in BTRFS_HANDLES else info.st_mtime_ns,
        "nlink": info.st_nlink,
        "rdev": info.st_rdev,
        "x": attributes(path),
        "d": digest(path, info),
        "s": kind == "subvolume" and is_snapshot(path),
        "e": fiemap(path) if kind == "file" else None,
    }
    print(json.dumps(record))
    return kind


def main():
    root = os.fsencode(sys.argv[1])
    device = os.lstat(root).st_dev
    show(root, b"/", device)
    stack = [(root, device)]
    while stack:
        directory, device = stack.pop()
        for name in sorted(os.listdir(directory)):
            path = directory + b"/" + name
            kind, own = show(path, path[len(root) :], device), os.lstat(path).st_dev
            if kind == "subvolume" or (kind == "directory" and own == device):
                stack.append((path, own))


main()
