"""Whether an image file is whole.

SimpleITK does not tell: it reads a cut NIfTI file or a damaged packed MetaImage with whatever lay in memory, and leaves
a cut NIfTI or NRRD file without complaint when the disk is full.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_LITTLE_ENDIAN_NIFTI = (348).to_bytes(4, "little")
_LAST_HEADER_LINE = re.compile(rb"\r?\n|ElementDataFile\b")
_PACKED = re.compile(rb"(encoding\s*:\s*(gz|gzip)|CompressedData\s*=\s*True)\s*$", re.IGNORECASE)


def stored_bytes(path: Path) -> int:
    """Bytes of voxels in a .nrrd or .mha file, bytes in a NIfTI file, both unpacked; -1 where unpacking fails."""
    try:
        return sum(len(chunk) for chunk in _chunks(path))
    except (OSError, EOFError, zlib.error):
        return -1


def has_only_finite_values(path: Path, header: int, expected: int, dtype: str) -> bool:
    """Whether a whole NIfTI file is free of NaN and infinity, which SimpleITK reads as 0.

    Args:
        path: the file.
        header: bytes before the voxels.
        expected: bytes of voxels.
        dtype: "f4" or "f8".
    """
    place, order = 0, "<"
    for chunk in _chunks(path):
        if place == 0:
            order = "<" if chunk.startswith(_LITTLE_ENDIAN_NIFTI) else ">"
        voxels = chunk[max(header - place, 0) : max(header + expected - place, 0)]
        if not np.isfinite(np.frombuffer(voxels, order + dtype)).all():
            return False
        place += len(chunk)
    return True


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        start = stream.read(10)
        stream.seek(0)
        if start.startswith(b"NRRD"):
            yield from _read(gzip.GzipFile(fileobj=stream) if _skip_header(stream) else stream)
        elif start == b"ObjectType":
            yield from _inflated(stream) if _skip_header(stream) else _read(stream)
        else:
            yield from _read(gzip.GzipFile(fileobj=stream) if start.startswith(_GZIP) else stream)


def _skip_header(stream: BinaryIO) -> bool:
    """Read up to the voxels; whether these are packed."""
    packed = False
    for line in iter(stream.readline, b""):
        packed = packed or _PACKED.match(line) is not None
        if _LAST_HEADER_LINE.match(line):
            break
    return packed


def _read(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    return iter(lambda: stream.read(_CHUNK), b"")


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    for chunk in _read(stream):
        rest = chunk
        while rest and not unpacker.eof:
            yield unpacker.decompress(rest, _CHUNK)
            rest = unpacker.unconsumed_tail
    yield unpacker.flush()
    if not unpacker.eof:
        raise EOFError
