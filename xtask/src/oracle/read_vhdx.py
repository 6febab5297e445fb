"""Writes what dissect.hypervisor reads of a VHDX, with its parents: read_vhdx.py IMAGE RAW"""

import pathlib
import sys

from dissect.hypervisor.disk.vhdx import VHDX

image, raw = sys.argv[1:]
with open(raw, "wb") as out:
    disk = VHDX(pathlib.Path(image))
    while chunk := disk.read(1 << 20):
        out.write(chunk)
