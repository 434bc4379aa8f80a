"""What a panel does with annotated slices, and what it says about the one to annotate next. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslseg.errors import InputError
from SSLSegmentLib import wording
from SSLSegmentLib.panel_tools import attempt

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop
    from SSLSegmentLib.loop_job import Suggestion


class SlicesWork:
    """Jump, mark, remove, suggest.

    Args:
        loop: the work.

    Attributes:
        suggested: the slice that was suggested last; None where there is none, and once it is annotated.
    """

    def __init__(self, loop: AnnotationLoop) -> None:
        self._loop = loop
        self.suggested: Suggestion | None = None
        self._reason = ""
        self._fault = ""

    @property
    def text(self) -> str:
        """Why the suggested slice was suggested, and below it why something could not be done; may be empty."""
        return "\n".join(filter(None, [self._reason, self._fault]))

    def follow(self) -> None:
        """Forget a suggestion of an earlier training, and one that was followed."""
        loop, suggested = self._loop, self.suggested
        if suggested is None:
            return
        if suggested not in loop.suggestions or suggested.index in loop.user.used_slices(loop.result_axis):
            self.suggested, self._reason, self._fault = None, "", ""

    def suggest(self) -> None:
        """Go to the slice that would teach the model most, and say why."""
        self.suggested = suggestion = self._loop.suggest_next()
        self._reason, self._fault = wording.suggestion_text(self._loop, suggestion), ""
        if suggestion is not None:
            self.jump(suggestion.index, self._loop.result_axis)

    def jump(self, index: int, axis: int | None = None) -> None:
        """Show a slice in the views."""

        def show() -> None:
            if not self._loop.jump_to(index, axis):
                raise InputError(wording.NO_VIEW)

        attempt(show, self._tell)

    def mark_empty(self) -> None:
        """Say that the slice in view holds no structure."""
        index = self._loop.slice_in_view()
        if index is None:
            self._tell(wording.NO_VIEW)
        else:
            attempt(lambda: self._loop.mark_empty(index), self._tell)

    def remove(self, row: wording.SliceRow) -> None:
        """What the button of a row does: marks are taken back; a drawing stays, and does not count."""
        change = self._loop.unmark if row.empty or row.excluded else self._loop.exclude
        attempt(lambda: change(row.index), self._tell)

    def _tell(self, sentence: str) -> None:
        self._fault = sentence
