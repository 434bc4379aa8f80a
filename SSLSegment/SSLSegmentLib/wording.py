"""Every sentence that a panel says about the loop: the same in the desktop and in a browser. Plain English.

Nothing here knows a widget. A face may pass each sentence through its translator.
"""

from __future__ import annotations

from dataclasses import dataclass

from SSLSegmentLib.durations import duration
from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentLib.loop_job import Suggestion

__all__ = [
    "SliceRow",
    "duration",
    "error_line",
    "progress_fraction",
    "slice_rows",
    "slice_title",
    "status_line",
    "suggestion_text",
    "tooltip",
    "volume_rows",
]


@dataclass(frozen=True)
class SliceRow:
    """One line of the list of annotated slices.

    Attributes:
        index: array index along the loop's axis, for :meth:`AnnotationLoop.jump_to` and the marks.
        title: for example "Slice 12".
        offset: where it lies, for example "K, -34.5 mm", as the slider of a slice view says.
        content: names of the segments that are drawn on it, "empty" or "excluded: ...".
        empty: marked as holding no structure.
        excluded: does not count.
    """

    index: int
    title: str
    offset: str
    content: str
    empty: bool
    excluded: bool


def slice_rows(loop: AnnotationLoop) -> list[SliceRow]:
    """The list of annotated slices, in order."""
    raise NotImplementedError


def slice_title(index: int) -> str:
    """How a slice is called: counted from 1, as in "Slice 12"."""
    raise NotImplementedError


def status_line(loop: AnnotationLoop) -> str:
    """Where the loop is: the state, and while it works stage, step, time left and device."""
    raise NotImplementedError


def progress_fraction(loop: AnnotationLoop) -> float | None:
    """How far the present stage is, 0 to 1; None while that is unknown (a bar that only moves)."""
    raise NotImplementedError


def tooltip(loop: AnnotationLoop, action: str) -> str:
    """What the button of one of :data:`SSLSegmentLib.loop_state.ACTIONS` does, and below it all that is missing."""
    raise NotImplementedError


def suggestion_text(loop: AnnotationLoop, suggestion: Suggestion | None) -> str:
    """Why a slice is suggested, in one sentence; or that none is."""
    raise NotImplementedError


def error_line(loop: AnnotationLoop) -> str:
    """Why the last training failed, in one line; empty where it did not. The whole text is ``loop.last_error``."""
    raise NotImplementedError


def volume_rows(loop: AnnotationLoop) -> list[tuple[str, str]]:
    """Name and size ("12.3 ml") of each predicted segment."""
    raise NotImplementedError
