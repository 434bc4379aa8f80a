"""The top of the panel in a Slicer that lacks what training needs: one sentence and one button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from SSLSegmentLib.install import Installer
from SSLSegmentLib.panel_tools import attempt
from SSLSegmentLib.widget_tools import Context, enable, say


class FirstStep:
    """Says what to do first; gone once everything is there.

    Args:
        context: what every section works with.
        on_installed: called once nothing is missing any more.
    """

    def __init__(self, context: Context, on_installed: Callable[[], None]) -> None:
        self._ui = context.ui
        self._on_installed = on_installed
        self._fault = ""
        self.installer = Installer(context.store, _ask, self.update)
        context.ui.installButton.connect("clicked(bool)", self._install)

    def update(self) -> None:
        """Show what is missing."""
        installer, ui = self.installer, self._ui
        ui.firstStepFrame.setVisible(installer.needed or bool(installer.last_error))
        lines = filter(None, [installer.first_step, installer.last_error, self._fault])
        say(ui.firstStepLabel, "\n".join(map(_, lines)))
        enable(ui.installButton, installer.availability(), "Installs what training needs; you are asked before.")

    def _install(self, *_arguments: Any) -> None:
        attempt(self.installer.start, self._tell)
        self.update()
        if not self.installer.needed:
            self._on_installed()

    def _tell(self, sentence: str) -> None:
        self._fault = sentence


def _ask(question: str) -> bool:
    return bool(slicer.util.confirmYesNoDisplay(_(question)))
