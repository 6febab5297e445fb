#!/usr/bin/env bash
# dissect.hypervisor 3.21 (PyPI) reads a differencing VHDX.
#
# Guess: a block that is present in part is read by its bitmap, whichever sector the read starts at.
# Seen:  the offset of the first bit within its byte is applied to the bytes after it, too, and the
#        bit at which a byte ends is bounded by the length, not by the offset and the length: runs
#        come out short or shifted where a read starts at a sector that is no multiple of eight.
# So:    of a child of a child, or of a file that starts there, sectors of the parent are given for
#        those of the child; whole blocks, and reads from their start, are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip -q install "dissect.hypervisor==3.21"
venv/bin/pip show dissect.hypervisor 2> /dev/null | grep -x "Version: 3.21"
venv/bin/python - <<'P'
from dissect.hypervisor.disk.vhdx import _iter_partial_runs


def right(bitmap, start, count):
    """Runs of equal bits, lowest first: the bit, and how many."""
    runs = []
    for n in range(start, start + count):
        bit = bitmap[n // 8] >> n % 8 & 1
        if runs and runs[-1][0] == bit:
            runs[-1][1] += 1
        else:
            runs.append([bit, 1])
    return [tuple(run) for run in runs]


def given(bitmap, start, count):
    return [(int(kind), length) for kind, length in _iter_partial_runs(bitmap, start, count)]


for bitmap, start, count, wrong in (
    (b"\xf0", 2, 6, [(0, 2), (1, 2)]),
    (b"\xf0\x0f", 4, 10, [(1, 4), (0, 2)]),
):
    print(bitmap.hex(), start, count, "given", given(bitmap, start, count), "right", right(bitmap, start, count))
    assert given(bitmap, start, count) == wrong != right(bitmap, start, count), "changed"
# From the start of a byte it is right.
assert given(b"\xf0", 0, 8) == right(b"\xf0", 0, 8)
P
echo "as described"
