# Fills the empty FAT32 in base.img: 200 directories of a thousand files in two of two hundred.
import struct

image = open("base.img", "r+b")
boot = image.read(512)
sector, per_cluster, reserved, tables = struct.unpack_from("<HBHB", boot, 11)
table_sectors, = struct.unpack_from("<I", boot, 36)
start = (reserved + tables * table_sectors) * sector
cluster = sector * per_cluster
table = [0x0FFFFFF8, 0x0FFFFFFF]


def put(content):
    """Clusters for content, one after the other; gives the first."""
    first, count = len(table), max(1, -(-len(content) // cluster))
    image.seek(start + (first - 2) * cluster)
    image.write(content.ljust(count * cluster, b"\0"))
    table.extend(range(first + 1, first + count))
    table.append(0x0FFFFFFF)
    return first


def entry(short, attributes, first, size):
    return short + struct.pack("<BBBHHHHHHHI", attributes, 0, 0, 0, 0x512D, 0x512D, first >> 16,
                               0, 0x512D, first & 0xFFFF, size)


def named(name, number, attributes, first, size=0):
    """The entries of a long name, and the short one."""
    short = b"F%07d   " % number
    total = 0
    for byte in short:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    units = name.encode("utf-16-le")
    if len(units) % 26:
        units = (units + b"\0\0").ljust(-(-len(units) // 26) * 26, b"\xff")
    parts = [units[at:at + 26] for at in range(0, len(units), 26)]
    out = b""
    for order in range(len(parts), 0, -1):
        part = parts[order - 1]
        mark = 0x40 if order == len(parts) else 0
        out += bytes([order | mark]) + part[:10] + bytes([15, 0, total]) + part[10:22] + b"\0\0" + part[22:]
    return out + entry(short, attributes, first, size)


def directory(entries, above):
    """A directory whose first cluster is not known before it is written."""
    first = len(table)
    dots = entry(b".          ", 16, first, 0) + entry(b"..         ", 16, above, 0)
    assert put(dots + entries) == first
    return first


root = 2
table.append(0x0FFFFFFF)
tops = b""
for t in range(2):
    made = []
    for d in range(t * 100, t * 100 + 100):
        files = b""
        for n in range(1000):
            content = b"%d/%d\n" % (d, n) * (1 + n % 40) * 30
            files += named(f"file-{n}.text", n, 32, put(content), len(content))
        made.append((d, len(table)))
        directory(files, 0)
    entries = b"".join(named(f"d{d}", d, 16, first) for d, first in made)
    first = directory(entries, 0)
    # Now that its place is known, its directories lead up to it.
    for _, below in made:
        image.seek(start + (below - 2) * cluster + 32)
        image.write(entry(b"..         ", 16, first, 0))
    tops += named(f"t{t}", t, 16, first)
image.seek(start)
image.write(tops)
packed = struct.pack(f"<{len(table)}I", *table)
for copy in range(tables):
    image.seek((reserved + copy * table_sectors) * sector)
    image.write(packed)
info, = struct.unpack_from("<H", boot, 48)
image.seek(info * sector + 488)
total, = struct.unpack_from("<I", boot, 32)
free = (total - start // sector) // per_cluster - (len(table) - 2)
image.write(struct.pack("<II", free, len(table)))
image.close()
