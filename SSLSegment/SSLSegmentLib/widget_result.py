"""Section 5 of the panel: what was found, how it is shown, and taking it over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from SSLSegmentLib import wording
from SSLSegmentLib.choices import STYLE_CHOICES
from SSLSegmentLib.panel_result import ResultWork
from SSLSegmentLib.widget_tools import Context, TextTable, ValueBox, say

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
        self._work = work = ResultWork(context.loop)
        self._volumes = TextTable(ui.volumesTable)
        self._style = ValueBox(ui.predictionStyleComboBox, lambda value: context.choose("prediction_style", value))
        ui.acceptSliceButton.connect("clicked(bool)", self.accept_slice)
        ui.acceptAllButton.connect("clicked(bool)", lambda *_arguments: self._do(work.accept_all))
        ui.undoAcceptButton.connect("clicked(bool)", lambda *_arguments: self._do(work.undo))
        ui.discardButton.connect("clicked(bool)", lambda *_arguments: self._do(work.discard))

    def update(self) -> None:
        """Show what there is; the section opens by itself for the first result."""
        loop, ui = self._context.loop, self._ui
        if loop.result is not None and not self._opened:
            self._opened = True
            ui.resultCollapsibleButton.collapsed = False
        self._work.follow()
        say(ui.resultLabel, self._work.text)
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
        self._do(self._work.accept_slice)

    def _do(self, action: Callable[[], None]) -> None:
        action()
        self.update()
