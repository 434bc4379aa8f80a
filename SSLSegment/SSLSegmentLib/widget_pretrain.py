"""Section 7 of the panel: a backbone of one's own from scans that nobody has drawn on."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SSLSegmentLib import wording
from SSLSegmentLib.choices import BACKBONES, METHODS
from SSLSegmentLib.panel_tools import attempt
from SSLSegmentLib.widget_paths import PathInputs
from SSLSegmentLib.widget_plot import PlotPanel
from SSLSegmentLib.widget_tools import Context, ValueBox, enable, say, show_progress

SHOWN_MESSAGES = 2


class PretrainSection:
    """Scans, method, time, how far it is, and its curve."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._fault = ""
        self._paths = PathInputs(context, {"pretrainFolderPath": "pretraining_folder"})
        self._method = ValueBox(ui.pretrainMethodComboBox, lambda value: context.choose("pretraining_method", value))
        self._backbone = ValueBox(
            ui.pretrainBackboneComboBox, lambda value: context.choose("pretraining_backbone", value)
        )
        self._plot = PlotPanel(ui.pretrainPlotWidget, "SSLSegmentPretraining")
        ui.pretrainButton.connect("clicked(bool)", self._start_or_cancel)

    def close(self) -> None:
        """Give back what belongs to the scene."""
        self._plot.close()

    def update(self) -> None:
        """Show what may be done, and how far it is."""
        ui, job, settings = self._ui, self._context.loop.pretraining, self._context.loop.settings
        busy = job.state.busy
        self._paths.update()
        self._method.show(METHODS, settings.pretraining_method)
        self._backbone.show(BACKBONES, settings.pretraining_backbone)
        ui.pretrainButton.setText(_("Stop pretraining") if busy else _("Start pretraining"))
        explanation = "Ends with what was learned so far." if busy else "Learns from the scans of the folder."
        enable(ui.pretrainButton, job.availability("cancel" if busy else "start"), explanation)
        show_progress(ui.pretrainProgressBar, busy=busy, fraction=job.fraction)
        lines = [self._fault, self._status(), job.last_error, *job.messages[-SHOWN_MESSAGES:]]
        say(ui.pretrainLabel, "\n".join(map(_, dict.fromkeys(filter(None, lines)))))
        self._plot.show(job.chart_node)

    def _status(self) -> str:
        job = self._context.loop.pretraining
        if not job.state.busy:
            return str(job.resumes)
        left = job.progress.eta_s
        return f"{job.progress.stage}, {wording.duration(left)} left" if left is not None else job.progress.stage

    def _start_or_cancel(self, *_arguments: Any) -> None:
        job = self._context.loop.pretraining
        attempt(job.cancel if job.state.busy else job.start, self._tell)
        self.update()

    def _tell(self, sentence: str) -> None:
        self._fault = sentence
