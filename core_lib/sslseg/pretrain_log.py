"""The curves of a pretraining: one JSON object a line, and TensorBoard scalars where TensorBoard is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG_NAME = "log.jsonl"


class PretrainLog:
    """A log that goes on where an earlier part of the run ended.

    Args:
        folder: must exist.
        step: steps that were made; what was logged later belongs to steps that will be made again and is removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / LOG_NAME
        kept = [line for line in _lines(path) if step > 0 and json.loads(line)["step"] <= step]
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._board = _open_board(folder, step)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add the scalars of a step."""
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in scalars.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _lines(path: Path) -> list[str]:
    """Whole lines of an earlier log."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _open_board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an optional extra, and slow to import
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step or None)
