"""What the sections of the panel have in common: where they look, and how lists, tables and sentences are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from SSLSegmentLib.loop import AnnotationLoop


class Section(Protocol):
    """One section of the panel."""

    def update(self) -> None:
        """Show what the loop says now."""
        ...


class Context:
    """What every section works with.

    Args:
        ui: the widgets of ``SSLSegment.ui`` by name.
        loop: the work; the sections call it and read it, and decide nothing.
        store: the user's own settings (``QSettings``).

    Attributes:
        parameters: the parameter node; None while the scene is being closed and before the module is entered.
    """

    def __init__(self, ui: Any, loop: AnnotationLoop, store: Any) -> None:
        self.ui = ui
        self.loop = loop
        self.store = store
        self.parameters: Any = None

    def choose(self, name: str, value: Any) -> None:
        """Note a choice of the user in the parameter node, from which the loop gets it."""
        if self.parameters is not None:
            setattr(self.parameters, name, value)


class ValueBox:
    """A combo box whose entries stand for values.

    Args:
        box: the ``QComboBox``.
        on_chosen: called with the value of the entry that the user has chosen; not for changes by :meth:`show`.
    """

    def __init__(self, box: Any, on_chosen: Callable[[Any], None]) -> None:
        self._box = box
        self._on_chosen = on_chosen
        self._entries: list[tuple[Any, str, str]] = []
        box.connect("activated(int)", self._on_activated)

    def show(self, entries: Sequence[tuple[Any, str, str]], value: Any) -> None:
        """Offer ``entries`` (value, title, tooltip) and show that of ``value``."""
        if list(entries) != self._entries:
            self._entries = list(entries)
            self._box.clear()
            for index, (data, title, tooltip) in enumerate(entries):
                self._box.addItem(_(title), data)
                self._box.setItemData(index, _(tooltip), qt.Qt.ToolTipRole)
        values = [entry[0] for entry in self._entries]
        index = values.index(value) if value in values else -1
        if index != self._box.currentIndex:
            self._box.setCurrentIndex(index)

    def _on_activated(self, index: int) -> None:
        self._on_chosen(self._entries[index][0])


class TextTable:
    """A table of texts that is built anew only when a text has changed.

    Args:
        table: the ``QTableWidget``, with its columns.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._rows: list[tuple[str, ...]] = []

    def show(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Show ``rows``, a text for each column; the current row stays where it is."""
        if list(rows) == self._rows:
            return
        self._rows = list(rows)
        self._table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(_(text))
                item.setToolTip(_(text))
                self._table.setItem(row, column, item)
        self._table.resizeColumnsToContents()


def say(label: Any, text: str) -> None:
    """Show a sentence; a label without one takes no room."""
    label.setText(_(text) if text else "")
    label.setVisible(bool(text))


def warn(sentence: str) -> None:
    """Show a sentence in front of everything else, where the panel has no place for it."""
    if sentence:
        slicer.util.warningDisplay(_(sentence))


def enable(button: Any, availability: Any, explanation: str) -> None:
    """Enable a button where nothing is missing; below ``explanation`` its tooltip lists what is."""
    button.setEnabled(availability.allowed)
    button.setToolTip("\n".join([_(explanation), *map(_, availability.reasons)]))


def show_progress(bar: Any, *, busy: bool, fraction: float | None) -> None:
    """A bar that is there while something goes on, and only moves while nobody knows how far it is."""
    bar.setVisible(busy)
    bar.setRange(0, 0 if busy and fraction is None else 100)
    bar.setValue(round(100 * (fraction or 0.0)))
