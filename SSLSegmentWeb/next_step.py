"""Which button a panel puts forward: the one that most users want next. No trame."""

from __future__ import annotations

from typing import Any

from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentLib.loop_state import State
from SSLSegmentLib.panel_slices import SlicesWork


class NextStep:
    """Train; look where the model suggests; accept that slice, or draw and train again; in the end, export.

    Args:
        loop: the work.
        slices: knows which slice was suggested.
    """

    def __init__(self, loop: AnnotationLoop, slices: SlicesWork) -> None:
        self._loop = loop
        self._slices = slices
        self._result: Any = None
        self._revision = 0

    def action(self) -> str:
        """One of :data:`SSLSegmentLib.loop_state.ACTIONS`, whether or not it is possible already."""
        loop = self._loop
        if loop.result is not self._result:
            self._result, self._revision = loop.result, loop.user.revision
        if loop.state.busy:
            return "stop"
        if loop.result is None or loop.state is State.FAILED:
            return "train"
        if loop.user.up_to_date and not loop.acceptance.open_slices(loop.result):
            return "export"
        if loop.user.revision != self._revision:
            return "train"
        if self._slices.suggested is None and loop.suggest_next() is not None:
            return "suggest_next"
        return "accept_slice" if self._slices.suggested is not None else "accept_all"
