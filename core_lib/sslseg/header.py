"""The JSON header of a weights or model file, read without torch: what the file is, before anything is loaded.

A safetensors file begins with eight bytes, the length of a JSON object that follows them; see
:mod:`sslseg.checkpoint` for what is kept in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sslseg.errors import CheckpointError

FORMAT_VERSION = 1
"""Raised when files of the new kind can no longer be read by older versions."""

HEADER_KEYS = (
    "format_version", "method", "backbone", "in_channels", "spacing_mm", "normalisation", "classes",
    "training_data", "licence", "created_with",
)  # fmt: skip
"""Every file has these; a method may add keys of its own."""

METADATA_KEY = "sslseg"

_LENGTH_BYTES = 8
_LONGEST = 100_000_000  # of a JSON header, by the definition of the format


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What :func:`sslseg.checkpoint.save_checkpoint` was told about a file; the tensors are not read.

    Raises:
        CheckpointError: not there, not safetensors, truncated, of another program, or of a newer version.
    """
    file = Path(path)
    table = _read_table(file)
    metadata = table.pop("__metadata__", {})
    return _checked(file, metadata)


def _read_table(path: Path) -> dict[str, Any]:
    """The JSON object that a file begins with: tensors by name, and ``__metadata__``."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: give the .safetensors file in it.")
    if not path.is_file():
        raise CheckpointError(f"{path} is not there: check the path of the weights or model file.")
    try:
        with path.open("rb") as file:
            start = file.read(_LENGTH_BYTES + 1)
            _check_start(path, start)
            length = int.from_bytes(start[:_LENGTH_BYTES], "little")
            text = start[_LENGTH_BYTES:] + file.read(min(length, _LONGEST) - 1)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        table = json.loads(text)
        ends = [tensor["data_offsets"][1] for name, tensor in table.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise _damaged(path) from None
    if size != _LENGTH_BYTES + length + max(ends, default=0):
        raise _damaged(path)
    return table


def _check_start(path: Path, start: bytes) -> None:
    """Tell what a file is by its first bytes, before any parser sees it.

    A safetensors file begins with the length of its header, whose bytes may be those of a pickle by chance.
    """
    if start[_LENGTH_BYTES:] == b"{":  # looked at first: the length before it may begin with any byte
        return
    if start.startswith((b"PK", b"\x80")):
        raise CheckpointError(
            f"{path} is a pickled PyTorch file, which could run any code when it is opened: convert it to safetensors."
        )
    raise CheckpointError(f"{path} is not a safetensors file: give a model or weights file of SSLSegment.")


def _checked(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        header = json.loads(metadata[METADATA_KEY])
        version = int(header["format_version"])
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{path} is a safetensors file of another program (it has no SSLSegment header): "
            "give a model or weights file of SSLSegment."
        ) from None
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {version} where at most {FORMAT_VERSION} was expected: update SSLSegment."
        )
    missing = [key for key in HEADER_KEYS if key not in header]
    if missing:
        raise CheckpointError(f"{path} does not fit: its header has no {missing[0]}, so choose other weights.")
    return header


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or truncated: copy or download it again.")
