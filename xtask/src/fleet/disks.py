"""Makes a base with many files and overlays of it, by changing copies through a mount.

usage: disks.py FOLDER FILES OVERLAYS     (as root)

The copies share what they did not change (XFS reflinks), so that FIEMAP says which blocks changed
and no image is read as a whole. Half of the overlays are copies of ten others.
"""
import os
import random
import re
import shutil
import struct
import subprocess
import sys

BLOCK = 4096


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class Mounted:
    def __init__(self, image, at):
        self.image, self.at = image, at

    def __enter__(self):
        os.makedirs(self.at, exist_ok=True)
        run("mount", "-o", "loop", self.image, self.at)

    def __exit__(self, *_):
        run("umount", self.at)


def fill(root, files):
    os.makedirs(f"{root}/etc")
    for name in ("shadow", "passwd", "hostname"):
        with open(f"{root}/etc/{name}", "w") as f:
            f.write(f"{name}\n" * 20)
    for d in range(files // 1000):
        folder = f"{root}/srv/t{d // 100}/d{d}"
        os.makedirs(folder)
        for n in range(1000):
            with open(f"{folder}/file-{n}", "wb") as f:
                f.write(b"%d/%d\n" % (d, n) * (1 + n % 40))


def change(root, files, seed):
    """A change of some hundred blocks, different for each seed."""
    r = random.Random(seed)

    def path():
        d = r.randrange(files // 1000)
        return f"{root}/srv/t{d // 100}/d{d}/file-{r.randrange(1000)}"

    with open(f"{root}/etc/hostname", "w") as f:
        f.write(f"vm-{seed}\n")
    if seed % 7 == 0:
        with open(f"{root}/etc/shadow", "a") as f:
            f.write("ada:x:1:1:::\n")
    for _ in range(40):
        with open(path(), "ab") as f:
            f.write(b"appended\n" * r.randrange(1, 900))
    os.makedirs(f"{root}/var/log", exist_ok=True)
    with open(f"{root}/var/log/app.log", "wb") as f:
        f.write(b"log\n" * 1000 * r.randrange(1, 40))
    with open(os.path.join(os.fsencode(root), b"var/log/odd-\xff\xfe"), "wb") as f:
        f.write(b"x" * r.randrange(1, 9000))
    for _ in range(5):
        name = path()
        if os.path.exists(name):
            os.rename(name, name + ".bak")
    for _ in range(5):
        name = path()
        if os.path.exists(name):
            os.chmod(name, 0o600)


def changed(image):
    """The extents of `image` that it does not share with the base: (offset, length)."""
    out = subprocess.run(["filefrag", "-v", "-b1", image], check=True, capture_output=True, text=True)
    row = re.compile(r"\s*\d+:\s*(\d+)\.\.\s*(\d+):.*?:\s*(\d+):(.*)$")
    for line in out.stdout.splitlines():
        found = row.match(line)
        if found and "shared" not in found.group(4):
            yield int(found.group(1)), int(found.group(3))


def overlay(image, base, name):
    """Writes the blocks of `image` that differ from `base` as an overlay with its index."""
    blocks = []
    with open(image, "rb") as new, open(base, "rb") as old, open(f"{name}.overlay", "wb") as data:
        data.truncate(os.path.getsize(image))
        for start, length in changed(image):
            for at in range(start, start + length, BLOCK):
                new.seek(at)
                old.seek(at)
                block = new.read(BLOCK)
                if block != old.read(BLOCK):
                    data.seek(at)
                    data.write(block)
                    blocks.append(at // BLOCK)
    with open(f"{name}.meta", "wb") as index:
        index.write(struct.pack(f"<{len(blocks)}Q", *blocks))
    return len(blocks)


def main():
    folder, files, overlays = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.chdir(folder)
    shutil.rmtree("overlays", ignore_errors=True)
    os.makedirs("overlays")
    run("truncate", "-s", "40G", "store.img")
    run("mkfs.xfs", "-q", "-f", "-m", "reflink=1", "store.img")
    with Mounted("store.img", "store"):
        base, copy = "store/base.img", "store/copy.img"
        run("truncate", "-s", "16G", base)
        run("mke2fs", "-q", "-t", "ext4", "-N", str(files + files // 5), base)
        with Mounted(base, "mnt"):
            fill("mnt", files)
        made = max(1, overlays // 2)
        for seed in range(made):
            run("cp", "--reflink=always", base, copy)
            with Mounted(copy, "mnt"):
                change("mnt", files, seed)
            count = overlay(copy, base, f"overlays/vm-{seed:05}")
            os.unlink(copy)
            if seed % 20 == 0:
                print(f"vm-{seed:05}: {count} blocks", flush=True)
        for n in range(made, overlays):
            for end in ("overlay", "meta"):
                like = f"overlays/vm-{n % min(10, made):05}.{end}"
                run("cp", "--sparse=always", like, f"overlays/vm-{n:05}.{end}")
        run("cp", "--sparse=always", base, "base.img")
    os.unlink("store.img")


main()
