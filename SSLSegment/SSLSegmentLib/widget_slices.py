"""Section 2 of the panel: the slices that are annotated, and the one to annotate next."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SSLSegmentLib import labels, wording
from SSLSegmentLib.choices import axis_choices
from SSLSegmentLib.panel_slices import SlicesWork
from SSLSegmentLib.widget_tools import Context, TextTable, ValueBox, say


class SlicesSection:
    """The list of annotated slices, marks, the slice axis, and the suggestion."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._rows: list[wording.SliceRow] = []
        self._work = SlicesWork(context.loop)
        self._table = TextTable(ui.slicesTable)
        self._axis = ValueBox(ui.axisComboBox, self._choose_axis)
        ui.slicesTable.connect("cellClicked(int,int)", self._jump)
        ui.slicesTable.connect("currentCellChanged(int,int,int,int)", self._update_remove_button)
        ui.markEmptyButton.connect("clicked(bool)", self._mark_empty)
        ui.removeSliceButton.connect("clicked(bool)", self._remove)
        ui.suggestButton.connect("clicked(bool)", self.suggest)

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
        self._work.follow()
        say(ui.suggestionLabel, self._work.text)

    def suggest(self, *_arguments: Any) -> None:
        """Go to the slice that would teach the model most, and say why."""
        self._work.suggest()
        self.update()

    def _current(self) -> wording.SliceRow | None:
        row = self._ui.slicesTable.currentRow()
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def _update_remove_button(self, *_arguments: Any) -> None:
        row = self._current()
        self._ui.removeSliceButton.setEnabled(row is not None)
        self._ui.removeSliceButton.setText(
            _(labels.USE_AGAIN if row is not None and row.excluded else labels.REMOVE.title)
        )

    def _choose_axis(self, axis: int) -> None:
        self._context.loop.axis = axis

    def _jump(self, row: int, _column: int = 0) -> None:
        if row < len(self._rows):
            self._work.jump(self._rows[row].index)
            self.update()

    def _mark_empty(self, *_arguments: Any) -> None:
        self._work.mark_empty()
        self.update()

    def _remove(self, *_arguments: Any) -> None:
        row = self._current()
        if row is not None:
            self._work.remove(row)
            self.update()
