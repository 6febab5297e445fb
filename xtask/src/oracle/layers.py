"""Says what a tree holds, a line for each path: python3 layers.py ROOT [plain]

With `plain`, owners, modes and extended attributes are left out."""

import hashlib
import os
import stat
import sys

root = os.fsencode(sys.argv[1])
plain = "plain" in sys.argv[2:]
lines = []
names = {}

paths = [b""]
for folder, folders, files in os.walk(root):
    inner = os.path.relpath(folder, root)
    for name in folders + files:
        paths.append(name if inner == b"." else inner + b"/" + name)

for path in sorted(paths):
    full = os.path.join(root, path)
    s = os.lstat(full)
    if stat.S_ISSOCK(s.st_mode):
        continue
    line = [repr(path), stat.filemode(s.st_mode)[0], "mtime", str(s.st_mtime_ns)]
    if not plain:
        line += ["mode", oct(s.st_mode & 0o7777), "owner", f"{s.st_uid}:{s.st_gid}"]
        for name in sorted(os.listxattr(full, follow_symlinks=False)):
            # What the folder it was unpacked to adds.
            if name != "security.selinux":
                value = os.getxattr(full, name, follow_symlinks=False)
                line += [name, hashlib.sha256(value).hexdigest()[:16]]
    if stat.S_ISREG(s.st_mode):
        with open(full, "rb") as file:
            line += [str(s.st_size), hashlib.sha256(file.read()).hexdigest()[:16]]
    if stat.S_ISLNK(s.st_mode):
        line += ["to", repr(os.readlink(full))]
    if stat.S_ISBLK(s.st_mode) or stat.S_ISCHR(s.st_mode):
        line += ["device", f"{os.major(s.st_rdev)}:{os.minor(s.st_rdev)}"]
    if not stat.S_ISDIR(s.st_mode):
        first = names.setdefault(s.st_ino, path)
        if first != path:
            line += ["also", repr(first)]
    lines.append(" ".join(line))
print("\n".join(lines))
