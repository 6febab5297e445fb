"""Everything that can be seen of a mounted tree, one JSON object a line.

usage: walk.py ROOT     (root privileges)

p    path from ROOT, hex            t    kind, in the words of the report
ino  inode number                   id   file handle, hex: it holds the generation;
                                         null for what has none to be asked for
size mode uid gid mtime nlink rdev  as stat gives them (mtime in nanoseconds)
x    extended attributes, hex       d    digest of the content or target
e    FIEMAP: [logical, physical, length, flags] in bytes, null where there is none
"""

import array
import ctypes
import fcntl
import hashlib
import json
import os
import stat
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
FS_IOC_FIEMAP = 0xC020660B
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
        return None
    (length,) = struct.unpack_from("I", buffer.raw)
    return buffer.raw[8 : 8 + length].hex()


def identity(path):
    """FUSE makes handles up; ntfs-3g tells the time of creation instead."""
    try:
        return os.getxattr(path, "system.ntfs_crtime").hex()
    except OSError:
        return handle(path)


def fiemap(path):
    room = 256
    extents, start = [], 0
    descriptor = os.open(path, os.O_RDONLY)
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
    total = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as content:
        while piece := content.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def attributes(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {n: os.getxattr(path, n, follow_symlinks=False).hex() for n in names}
    except OSError:
        return {}


def show(path, name):
    info = os.lstat(path)
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    record = {
        "p": name.hex(),
        "t": kind,
        "ino": info.st_ino,
        "id": identity(path) if kind in ("file", "directory") else None,
        "size": info.st_size,
        "mode": info.st_mode & 0o7777,
        "uid": info.st_uid,
        "gid": info.st_gid,
        "mtime": info.st_mtime_ns,
        "nlink": info.st_nlink,
        "rdev": info.st_rdev,
        "x": attributes(path),
        "d": digest(path, info),
        "e": fiemap(path) if kind == "file" else None,
    }
    print(json.dumps(record))
    return kind


def main():
    root = os.fsencode(sys.argv[1])
    device = os.lstat(root).st_dev
    show(root, b"/")
    stack = [root]
    while stack:
        directory = stack.pop()
        for name in sorted(os.listdir(directory)):
            path = directory + b"/" + name
            if show(path, path[len(root) :]) == "directory" and os.lstat(path).st_dev == device:
                stack.append(path)


main()
