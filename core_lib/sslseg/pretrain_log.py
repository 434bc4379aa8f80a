"""The curves of a pretraining: one JSON object a line, and TensorBoard scalars where TensorBoard is installed."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sslseg.errors import OutputError
from sslseg.files import atomic_path

LOG_NAME = "log.jsonl"


class PretrainLog:
    """A log that goes on where an earlier part of the run ended.

    Args:
        folder: must exist.
        step: steps that were made; what was logged later belongs to steps that will be made again and is removed.

    Raises:
        OutputError: the log could not be written; an older one stays.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / LOG_NAME
        kept = [line for line in _lines(self._path) if _step_of(line) <= step]
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")
        self._file = self._path.open("ab", buffering=0)
        self._waiting = b""
        self._board = _open_board(folder, step)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add the scalars of a step.

        Raises:
            OutputError: the disk is full. The next call writes what is missing; the curves of TensorBoard may end here.
        """
        self._waiting += (json.dumps({"step": step, **scalars}) + "\n").encode()
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
            self._draw(step, scalars)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(f"{self._path} could not be written ({reason}): free some space.") from error

    def _draw(self, step: int, scalars: Mapping[str, float]) -> None:
        board, self._board = self._board, None
        if board is not None:
            for name, value in scalars.items():
                board.add_scalar(name, value, step)
        self._board = board  # once its file could not be written, TensorBoard writes no more

    def close(self) -> None:
        """Write what is left, as far as there is room for it."""
        self._file.close()
        if self._board is not None:
            with contextlib.suppress(OSError):
                self._board.close()


def _lines(path: Path) -> list[str]:
    """Whole lines of an earlier log."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _step_of(line: str) -> float:
    """The step of a line; infinite where it was damaged, or does not belong to the log."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _open_board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an optional extra, and slow to import
    except ImportError:
        return None
    try:
        return SummaryWriter(str(folder), purge_step=step or None)
    except OSError:  # the disk is full, which the lines of the log will say
        return None
