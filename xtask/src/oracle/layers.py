"""Looks at trees and archives, a line for each thing that is found: python3 layers.py WHAT …

tree ROOT [plain]            what a tree holds; with `plain`, owners, modes, extended attributes
                             and the root itself are left out
stubs MOUNT COPY             a copy of a btrfs without the times that the kernel makes up
archive FILE                 what Python's tarfile and GNU tar make of an archive, if they disagree
both BEFORE AFTER FOLDER     where the two folders of `hexz diff --extract FOLDER --both` and its
                             report say something else than `diff -r` of two whole trees
"""

import glob
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tarfile


def tree(root, plain):
    root = os.fsencode(root)
    names = {}
    paths = [] if plain else [b""]
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
        yield " ".join(line)


def stubs(mount, copy):
    """A snapshot shows the subvolumes below it as empty directories that lie nowhere: inode 2."""
    found = []
    for folder, folders, _ in os.walk(mount):
        for name in folders:
            path = os.path.join(folder, name)
            if os.lstat(path).st_ino == 2:
                found.append(os.path.relpath(path, mount))
    for path in found:
        os.utime(os.path.join(copy, path), (0, 0))
    return []


def archive(path):
    """Two parsers, neither of them ours, must read all of it and see the same names."""
    with tarfile.open(path, errors="surrogateescape") as tar:
        names = []
        for entry in tar:
            names.append(os.path.normpath(entry.name))
            if entry.isreg():
                read = len(tar.extractfile(entry).read())
                if read != entry.size:
                    yield f"tarfile reads {read} of {entry.size} bytes of {entry.name!r}"
    words = ["tar", "--quoting-style=literal", "-tf", path]
    out = subprocess.run(words, capture_output=True)
    if out.returncode or out.stderr:
        yield f"tar ends with {out.returncode}: {out.stderr!r}"
    listed = [os.path.normpath(os.fsdecode(line)) for line in out.stdout.split(b"\n")[:-1]]
    if listed != names:
        yield f"tar and tarfile see different names: {sorted(set(listed) ^ set(names))[:5]}"
    if not names:
        yield "the archive is empty"


def differences(before, after):
    """What `diff -r` says: paths on one side, and paths that differ."""
    words = ["diff", "-rq", "--no-dereference", before, after]
    out = subprocess.run(words, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    only = {before: set(), after: set()}
    differ = set()
    for line in os.fsdecode(out.stdout).splitlines():
        if found := re.match(r"Only in (.*?): (.*)$", line):
            folder, name = found.groups()
            side = after if (folder + "/").startswith(after + "/") else before
            only[side].add(os.path.relpath(f"{folder}/{name}", side))
        elif found := re.match(r"Files (.*) and .* differ$", line):
            differ.add(os.path.relpath(found.group(1), before))
        elif found := re.match(r"Symbolic links (.*) and .* differ$", line):
            differ.add(os.path.relpath(found.group(1), before))
        elif found := re.match(r"File (.*) is a (.*) while file .* is a (.*)$", line):
            # Of two devices or pipes it says only that they are that.
            if found.group(2) != found.group(3):
                differ.add(os.path.relpath(found.group(1), before))
        else:
            raise SystemExit(f"diff says {line!r}: {out.stderr!r}")
    return only[before], only[after], differ


def both(before, after, folder):
    volumes = sorted(glob.glob(glob.escape(folder) + "/*/*"))
    volumes = {os.path.basename(v) for v in volumes if os.path.isdir(v)}
    if len(volumes) != 1:
        yield f"folders of {sorted(volumes)}, and not of one volume"
        return
    volume = volumes.pop()
    ours = [f"{folder}/{side}/{volume}" for side in ("before", "after")]
    for side in ours:
        os.makedirs(side, exist_ok=True)
    expected, found = differences(before, after), differences(*ours)
    reported = set()
    for line in open(f"{folder}/changes.jsonl"):
        record = json.loads(line)
        if record["type"] == "change":
            names = [record["path"], record["from"], *record["links"]]
            reported |= {name.strip("/") for name in names if name}
    for path in expected[2] ^ found[2]:
        yield f"{path!r} differs in {'the trees' if path in expected[2] else 'the folders'} only"
    for n, (side, tree) in enumerate(zip(ours, (before, after))):
        for path in expected[n]:
            if not os.path.lexists(f"{side}/{path}"):
                yield f"{path!r} is in {tree} and not in {side}"
        for path in found[n]:
            if not any(p == path or p.startswith(path + "/") for p in expected[n]):
                yield f"{path!r} is in one of the folders only, and in both trees"
    for path in expected[0] | expected[1] | expected[2]:
        if path not in reported:
            yield f"{path!r} differs and is not in the report"


def main():
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == "tree":
        lines = tree(arguments[0], "plain" in arguments[1:])
    else:
        lines = {"stubs": stubs, "archive": archive, "both": both}[what](*arguments)
    for line in lines:
        print(line)


main()
