"""The files of a server's folder that a page may open: what lies below it, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sslseg.dicom_series import is_dicom
from sslseg.errors import InputError
from sslseg.itk_io import WRITE_ENDINGS

MAX_ENTRIES = 2000
MAX_DEPTH = 8


class DataFolder:
    """The folder given by ``--data-dir``.

    Args:
        root: the folder; None: there is none, and nothing can be opened.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root.resolve() if root is not None else None

    def names(self) -> list[str]:
        """Images and DICOM series below the folder, in order, as relative paths with forward slashes.

        Hidden files are left out, and so is what a link leads to outside of the folder. To be called in a thread: a
        folder can be large, and far away.
        """
        if self._root is None:
            return []
        found = []
        for path in self._walk(self._root, 0):
            found.append(path.relative_to(self._root).as_posix())
            if len(found) == MAX_ENTRIES:
                break
        return sorted(found, key=str.casefold)

    def path(self, name: str) -> Path:
        """The file or folder that one of :meth:`names` stands for.

        Raises:
            InputError: there is no such file below the folder.
        """
        gone = InputError(f"There is no file {name} in the folder of this server: choose another one.")
        if self._root is None:
            raise gone
        try:
            path = (self._root / name).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise gone from error
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or path == self._root or not path.is_relative_to(self._root):
            raise gone
        if not (path.is_dir() or (path.is_file() and path.name.lower().endswith(WRITE_ENDINGS))):
            raise gone
        if path.is_dir() and not all(self._inside(file) for file in path.iterdir()):
            raise InputError(f"{name} holds links that lead out of the folder of this server: copy the files there.")
        return path

    def _walk(self, folder: Path, depth: int) -> Iterator[Path]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            return
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        files = [Path(entry.path) for entry in visible if entry.is_file() and self._inside(Path(entry.path))]
        yield from (file for file in files if file.name.lower().endswith(WRITE_ENDINGS))
        if folder != self._root and _holds_series(files):
            yield folder
        for entry in visible:
            if depth < MAX_DEPTH and entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), depth + 1)

    def _inside(self, path: Path) -> bool:
        return self._root is not None and path.resolve().is_relative_to(self._root)


def _holds_series(files: list[Path]) -> bool:
    """Whether a folder looks like a DICOM series; only one of its files is looked at."""
    others = [file for file in files if not file.name.lower().endswith(WRITE_ENDINGS)]
    try:
        return bool(others) and is_dicom(others[0])
    except OSError:
        return False
