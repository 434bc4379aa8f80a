"""Keys that work while the module is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer


class Shortcuts:
    """Bound when the module is entered, gone when it is left.

    Args:
        actions: what each key does.
        window: where the keys work if Slicer has no main window.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]], window: Any) -> None:
        self._actions = actions
        self._window = window
        self._shortcuts: list[Any] = []

    def install(self) -> None:
        """Bind the keys."""
        self.remove()
        for keys, action in self._actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(keys), slicer.util.mainWindow() or self._window)
            shortcut.connect("activated()", action)
            self._shortcuts.append(shortcut)

    def remove(self) -> None:
        """Free the keys."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)  # at once; the object goes when Qt has time for it
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
