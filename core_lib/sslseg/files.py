"""Writing files so that nothing half-written is ever seen (temporary name, then rename)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sslseg.errors import InputError, OutputError

_NOT_HERE = (errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)
"""Faults of the place or the name, in which free space would not help."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` when the block ends well.

    The temporary name keeps the ending, which writers choose the format by. On any error it is removed and an older
    file at ``path`` stays as it was.

    Raises:
        OutputError: the folder is not there or not writable, or writing failed (for example: disk full).
    """
    target = Path(path)
    ending = target.name[target.name.find(".") :] if "." in target.name else ""
    try:
        folder = tempfile.mkdtemp(prefix=".writing-", dir=target.parent)
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({_reason(error)}): {_advice(error)}.") from error
    temporary = Path(folder) / f"new{ending}"
    try:
        yield temporary
        temporary.replace(target)
    except (OSError, RuntimeError) as error:  # libraries in C++ report a full disk as RuntimeError
        raise OutputError(f"{target} could not be written ({_reason(error)}): {_advice(error)}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise :class:`InputError` now rather than after minutes of work if ``path`` cannot be written later.

    Its folder is made where it does not exist.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{target} is a folder: give a file name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"{target} cannot be written ({_reason(error)}): {_advice(error)}.") from error


def _advice(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _NOT_HERE:
        return "choose another name, or a folder that you may write to"
    return "free some space, or choose a folder that you may write to"


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
