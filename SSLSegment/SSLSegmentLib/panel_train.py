"""The one button that trains and stops, and what a panel says beside it. No Qt."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from SSLSegmentLib import wording
from SSLSegmentLib.panel_tools import attempt

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop

DOUBLE_CLICK_S = 0.5
LOG_BYTES = 20_000
SHOWN_MESSAGES = 3


class TrainWork:
    """Train or stop.

    Args:
        loop: the work.
    """

    def __init__(self, loop: AnnotationLoop) -> None:
        self._loop = loop
        self._fault = ""
        self._stopped = -DOUBLE_CLICK_S
        self._log: tuple[Path | None, int, str] = (None, 0, "")

    @property
    def action(self) -> str:
        """What the button does now: "train" or "stop"."""
        return "stop" if self._loop.state.busy else "train"

    def press(self) -> None:
        """Train, or stop the training that is under way. The second click of two on Stop starts nothing."""
        if self.action == "stop":
            self._loop.stop()
            self._stopped = time.monotonic()
        elif time.monotonic() - self._stopped > DOUBLE_CLICK_S:
            attempt(self._loop.train, self._tell)

    @property
    def status(self) -> list[str]:
        """Where the training is, and the latest messages."""
        return list(dict.fromkeys([wording.status_line(self._loop), *self._loop.messages[-SHOWN_MESSAGES:]]))

    @property
    def error(self) -> str:
        """Why the last training failed or could not begin, in one line; may be empty."""
        return wording.error_line(self._loop) or self._fault

    @property
    def log_size(self) -> int:
        """How much the worker has printed, bytes."""
        path = self._loop.log_path
        return path.stat().st_size if path is not None and path.is_file() else 0

    def log_tail(self) -> str:
        """The end of what the worker printed; the file is read only where it has grown."""
        path, size = self._loop.log_path, self.log_size
        if path is None or not size:
            return ""
        if self._log[:2] != (path, size):
            with path.open("rb") as file:
                file.seek(max(0, size - LOG_BYTES))
                self._log = (path, size, file.read().decode("utf-8", errors="replace"))
        return self._log[2]

    def _tell(self, sentence: str) -> None:
        self._fault = sentence
