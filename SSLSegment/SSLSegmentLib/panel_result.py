"""Taking a prediction over, and what a panel says about that. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from SSLSegmentLib import wording
from SSLSegmentLib.panel_tools import attempt

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop


class ResultWork:
    """Accept, undo, discard.

    Args:
        loop: the work.

    Attributes:
        text: why something could not be done, or that it was; may be empty.
    """

    def __init__(self, loop: AnnotationLoop) -> None:
        self._loop = loop
        self.text = ""
        self._done = ""

    def follow(self) -> None:
        """Say that something was accepted once it is done: that takes a while in a large volume."""
        if self._loop.state.busy:
            self.text = ""
        elif self._done and not self._loop.accepting:
            self.text = "" if self._loop.last_error else self._done
            self._done = ""

    def accept_slice(self) -> None:
        """Take the slice over that the user is looking at."""
        index = self._loop.slice_in_view(self._loop.result_axis)
        if index is None:
            self._tell(wording.NO_VIEW)
        else:
            self._do(lambda: self._loop.accept_slice(index), f"{wording.slice_title(index)} was accepted.")

    def accept_all(self) -> None:
        """Take all slices over that are not annotated."""
        self._do(self._loop.accept_all)

    def undo(self) -> None:
        """Take the last accepting back."""
        self._do(self._loop.undo)

    def discard(self) -> None:
        """Remove the prediction."""
        self._do(self._loop.discard)

    def _do(self, action: Callable[[], None], done: str = "") -> None:
        self._done = done if attempt(action, self._tell) else ""

    def _tell(self, sentence: str) -> None:
        self.text = sentence
