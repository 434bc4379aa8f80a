"""Section 5 of the panel: what was found, how it is shown, and taking it over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from SSLSegmentLib import wording
from SSLSegmentLib.choices import STYLE_CHOICES
from SSLSegmentLib.slice_views import slice_in_view
from SSLSegmentLib.widget_tools import Context, TextTable, ValueBox, attempt, say

_ACTIONS = {
    "acceptSliceButton": "accept_slice",
    "acceptAllButton": "accept_all",
    "undoAcceptButton": "undo",
    "discardButton": "discard",
}


class ResultSection:
    """Display of the prediction, volumes, accepting."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._opened = False
        self._done = ""
        self._volumes = TextTable(ui.volumesTable)
        self._style = ValueBox(ui.predictionStyleComboBox, lambda value: context.choose("prediction_style", value))
        ui.acceptSliceButton.connect("clicked(bool)", self.accept_slice)
        ui.acceptAllButton.connect("clicked(bool)", lambda *_arguments: self._do(context.loop.accept_all))
        ui.undoAcceptButton.connect("clicked(bool)", lambda *_arguments: self._do(context.loop.undo))
        ui.discardButton.connect("clicked(bool)", lambda *_arguments: self._do(context.loop.discard))
        say(ui.resultLabel, "")

    def update(self) -> None:
        """Show what there is; the section opens by itself for the first result."""
        loop, ui = self._context.loop, self._ui
        if loop.result is not None and not self._opened:
            self._opened = True
            ui.resultCollapsibleButton.collapsed = False
        if loop.state.busy:
            self._tell("")
        elif self._done and not loop.accepting:
            self._tell("" if loop.last_error else self._done)
            self._done = ""
        self._style.show(STYLE_CHOICES, loop.settings.prediction_style)
        rows = wording.volume_rows(loop)
        self._volumes.show(rows)
        ui.volumesTable.setVisible(bool(rows))
        for name, action in _ACTIONS.items():
            button = getattr(ui, name)
            button.setEnabled(loop.availability(action).allowed)
            button.setToolTip(_(wording.tooltip(loop, action)))

    def accept_slice(self, *_arguments: Any) -> None:
        """Take the slice over that the user is looking at."""
        loop = self._context.loop
        index = slice_in_view(slicer.mrmlScene, loop.volume, loop.result_axis)
        if index is None:
            self._tell(wording.NO_VIEW)
        else:
            self._do(lambda: loop.accept_slice(index), f"{wording.slice_title(index)} was accepted.")

    def _do(self, action: Callable[[], None], done: str = "") -> None:
        """Do it, and say so once it is done: accepting takes a while in a large volume."""
        self._done = done if attempt(action, self._tell) else ""
        self.update()

    def _tell(self, sentence: str) -> None:
        say(self._ui.resultLabel, sentence)
