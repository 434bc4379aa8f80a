"""Section 4 of the panel: one button to train and to stop, how far it is, and what it printed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from SSLSegmentLib import wording
from SSLSegmentLib.widget_plot import PlotPanel
from SSLSegmentLib.widget_tools import Context, attempt, say, show_progress

DOUBLE_CLICK_S = 0.5
LOG_BYTES = 20_000
SHOWN_MESSAGES = 3


class TrainSection:
    """Train or Stop, status, curves, log."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._fault = ""
        self._stopped = -DOUBLE_CLICK_S
        self._shown_log: tuple[Path | None, int] = (None, 0)
        self._plot = PlotPanel(ui.plotWidget, "SSLSegmentCurves")
        ui.trainButton.connect("clicked(bool)", self.train_or_stop)
        ui.openLogButton.connect("clicked(bool)", self._open_log)
        ui.logGroupBox.connect("toggled(bool)", lambda *_arguments: self._show_log())

    def close(self) -> None:
        """Give back what belongs to the scene."""
        self._plot.close()

    def train_or_stop(self, *_arguments: Any) -> None:
        """What the button does: train, or stop the training that is under way."""
        loop = self._context.loop
        if loop.state.busy:
            loop.stop()
            self._stopped = time.monotonic()
        elif time.monotonic() - self._stopped > DOUBLE_CLICK_S:  # the second click of two on Stop starts nothing
            self._fault = ""
            attempt(loop.train, self._tell)
        self.update()

    def update(self) -> None:
        """Show where the training is."""
        loop, ui = self._context.loop, self._ui
        action = "stop" if loop.state.busy else "train"
        ui.trainButton.setText(_("Stop") if loop.state.busy else _("Train"))
        ui.trainButton.setEnabled(loop.availability(action).allowed)
        ui.trainButton.setToolTip(_(wording.tooltip(loop, action)))
        show_progress(ui.trainProgressBar, busy=loop.state.busy, fraction=wording.progress_fraction(loop))
        recent = dict.fromkeys(loop.messages[-SHOWN_MESSAGES:])
        say(ui.statusLabel, "\n".join([wording.status_line(loop), *map(_, recent)]))
        say(ui.errorLabel, wording.error_line(loop) or self._fault)
        ui.errorLabel.setToolTip(loop.last_error)
        ui.openLogButton.setEnabled(loop.log_path is not None)
        self._plot.show(loop.overlay.chart_node)
        self._show_log()

    def _tell(self, sentence: str) -> None:
        self._fault = sentence

    def _show_log(self) -> None:
        """The end of the log, while anybody looks at it."""
        path = self._context.loop.log_path
        if self._ui.logGroupBox.collapsed or path is None or not path.is_file():
            return
        size = path.stat().st_size
        if self._shown_log == (path, size):
            return
        self._shown_log = (path, size)
        with path.open("rb") as file:
            file.seek(max(0, size - LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
        self._ui.logTextEdit.setPlainText(text)
        self._ui.logTextEdit.moveCursor(qt.QTextCursor.End)

    def _open_log(self, *_arguments: Any) -> None:
        path = self._context.loop.log_path
        if path is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(os.fspath(path)))
