"""Section 2 of the panel: the slices that are annotated, and the one to annotate next."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from sslseg.errors import InputError
from SSLSegmentLib import wording
from SSLSegmentLib.choices import axis_choices
from SSLSegmentLib.loop_job import Suggestion
from SSLSegmentLib.slice_views import slice_in_view
from SSLSegmentLib.widget_tools import Context, TextTable, ValueBox, attempt, say


class SlicesSection:
    """The list of annotated slices, marks, the slice axis, and the suggestion."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._rows: list[wording.SliceRow] = []
        self._suggested: Suggestion | None = None
        self._reason = ""
        self._table = TextTable(ui.slicesTable)
        self._axis = ValueBox(ui.axisComboBox, self._choose_axis)
        ui.slicesTable.connect("cellClicked(int,int)", self._jump)
        ui.slicesTable.connect("currentCellChanged(int,int,int,int)", self._update_remove_button)
        ui.markEmptyButton.connect("clicked(bool)", self._mark_empty)
        ui.removeSliceButton.connect("clicked(bool)", self._remove)
        ui.suggestButton.connect("clicked(bool)", self.suggest)
        say(ui.suggestionLabel, "")

    def update(self) -> None:
        """Show the slices as they are annotated now."""
        loop, ui = self._context.loop, self._ui
        self._rows = wording.slice_rows(loop)
        self._table.show([(row.title, row.offset, row.content) for row in self._rows])
        self._axis.show(axis_choices(loop.volume), loop.settings.axis)
        ui.markEmptyButton.setEnabled(loop.volume is not None)
        ui.suggestButton.setEnabled(loop.availability("suggest_next").allowed)
        ui.suggestButton.setToolTip(_(wording.tooltip(loop, "suggest_next")))
        self._update_remove_button()
        if self._suggested is not None and self._suggested not in loop.suggestions:
            self._suggested, self._reason = None, ""  # it belongs to an earlier training
            self._tell("")

    def suggest(self, *_arguments: Any) -> None:
        """Go to the slice that would teach the model most, and say why."""
        loop = self._context.loop
        self._suggested = suggestion = loop.suggest_next()
        self._reason = wording.suggestion_text(loop, suggestion)
        self._tell("")
        if suggestion is not None:
            self._show(suggestion.index, loop.result_axis)

    def _current(self) -> wording.SliceRow | None:
        row = self._ui.slicesTable.currentRow()
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def _update_remove_button(self, *_arguments: Any) -> None:
        row = self._current()
        self._ui.removeSliceButton.setEnabled(row is not None)
        self._ui.removeSliceButton.setText(_("Use again") if row is not None and row.excluded else _("Remove"))

    def _choose_axis(self, axis: int) -> None:
        self._context.loop.axis = axis

    def _jump(self, row: int, _column: int = 0) -> None:
        if row < len(self._rows):
            self._show(self._rows[row].index)

    def _show(self, index: int, axis: int | None = None) -> None:
        def jump() -> None:
            if not self._context.loop.jump_to(index, axis):
                raise InputError(wording.NO_VIEW)

        attempt(jump, self._tell)

    def _mark_empty(self, *_arguments: Any) -> None:
        loop = self._context.loop
        index = slice_in_view(slicer.mrmlScene, loop.volume, loop.axis)
        if index is None:
            self._tell(wording.NO_VIEW)
        else:
            attempt(lambda: loop.mark_empty(index), self._tell)

    def _remove(self, *_arguments: Any) -> None:
        """Marks are taken back; a drawing stays, and does not count."""
        row, loop = self._current(), self._context.loop
        if row is not None:
            marked = row.empty or row.excluded
            attempt(lambda: (loop.unmark if marked else loop.exclude)(row.index), self._tell)

    def _tell(self, sentence: str) -> None:
        """Say why something could not be done, below why the suggested slice was suggested."""
        say(self._ui.suggestionLabel, "\n".join(filter(None, [self._reason, sentence])))
