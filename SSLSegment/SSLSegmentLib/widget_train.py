"""Section 4 of the panel: one button to train and to stop, how far it is, and what it printed."""

from __future__ import annotations

import os
from typing import Any

import qt
from slicer.i18n import tr as _

from SSLSegmentLib import wording
from SSLSegmentLib.panel_train import TrainWork
from SSLSegmentLib.widget_plot import PlotPanel
from SSLSegmentLib.widget_tools import Context, say, show_progress


class TrainSection:
    """Train or Stop, status, curves, log."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._work = TrainWork(context.loop)
        self._shown_log = ""
        self._plot = PlotPanel(ui.plotWidget, "SSLSegmentCurves")
        ui.trainButton.connect("clicked(bool)", self.train_or_stop)
        ui.openLogButton.connect("clicked(bool)", self._open_log)
        ui.logGroupBox.connect("toggled(bool)", lambda *_arguments: self._show_log())

    def close(self) -> None:
        """Give back what belongs to the scene."""
        self._plot.close()

    def train_or_stop(self, *_arguments: Any) -> None:
        """What the button does: train, or stop the training that is under way."""
        self._work.press()
        self.update()

    def update(self) -> None:
        """Show where the training is."""
        loop, ui = self._context.loop, self._ui
        action = self._work.action
        ui.trainButton.setText(_(wording.TITLES[action]))
        ui.trainButton.setEnabled(loop.availability(action).allowed)
        ui.trainButton.setToolTip(_(wording.tooltip(loop, action)))
        show_progress(ui.trainProgressBar, busy=loop.state.busy, fraction=wording.progress_fraction(loop))
        say(ui.statusLabel, "\n".join(map(_, self._work.status)))
        say(ui.errorLabel, self._work.error)
        ui.errorLabel.setToolTip(loop.last_error)
        ui.openLogButton.setEnabled(loop.log_path is not None)
        self._plot.show(loop.overlay.chart_node)
        self._show_log()

    def _show_log(self) -> None:
        """The end of the log, while anybody looks at it."""
        text = "" if self._ui.logGroupBox.collapsed else self._work.log_tail()
        if text and text != self._shown_log:
            self._shown_log = text
            self._ui.logTextEdit.setPlainText(text)
            self._ui.logTextEdit.moveCursor(qt.QTextCursor.End)

    def _open_log(self, *_arguments: Any) -> None:
        path = self._context.loop.log_path
        if path is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(os.fspath(path)))
