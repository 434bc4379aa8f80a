"""Pretrain a backbone on a folder of unlabelled scans, in a worker of its own, so that annotation goes on. No Qt."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import slicer

from sslseg.errors import CheckpointError, InputError, SSLSegError
from sslseg.pretrain_settings import PretrainSettings
from sslseg.progress import Progress
from SSLSegmentLib.background_job import BackgroundJob, JobState
from SSLSegmentLib.chart import Chart
from SSLSegmentLib.loop_session import WorkerFactory, WorkerSession
from SSLSegmentLib.loop_state import Availability
from SSLSegmentLib.requirements import unmet
from SSLSegmentLib.user_store import weights_folder
from SSLSegmentLib.weights import cached_header

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop

_CHART = "SSLSegment pretraining"
_POINTS = 1000  # of the curve: more are not seen, and slow the plot down
_STATE_FILE = "state.safetensors"
_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]|^\.|[. ]$')  # in a file name, on one system or another


class PretrainingJob(BackgroundJob):
    """One run of self-supervised pretraining, as ``settings.pretraining_*`` say.

    The weights go to "NAME.safetensors" in the user's weights folder, beside a folder "NAME.run" with which a run
    that was stopped goes on when it is started again under its name. The time budget is that of the whole run. A
    cancel keeps what was learned. The worker ends with the run.

    Attributes:
        weights: the file of the latest run, once it is finished or cancelled with something learned; None otherwise.
        writes: the file that the latest run writes.
    """

    _jobs: ClassVar[weakref.WeakSet[PretrainingJob]] = weakref.WeakSet()

    def __init__(
        self,
        loop: AnnotationLoop,
        scene: slicer.vtkMRMLScene,
        worker_factory: WorkerFactory,
        on_changed: Callable[[], None],
    ) -> None:
        super().__init__(on_changed)
        self._loop = loop
        self._scene = scene
        self._factory = worker_factory
        self._own: WorkerSession | None = None
        self._chart: Chart | None = None
        self._next_point_s = 0.0
        self._budget_s = 0.0
        self.weights: Path | None = None
        self.writes: Path | None = None
        self._jobs.add(self)

    @property
    def chart_node(self) -> Any:
        """The plot chart node of the loss curve; None before the first report, and where somebody removed it."""
        return self._chart.node if self._chart is not None and self._chart.present else None

    @property
    def alive(self) -> bool:
        """Whether a process of this job still runs."""
        return self._own is not None and self._own.alive

    @property
    def log_path(self) -> Path | None:
        """The complete log of the latest run's worker; None before the first run."""
        return self._own.log_path if self._own is not None else None

    @property
    def fraction(self) -> float | None:
        """How much of the time budget is used, 0 to 1; None while images are prepared without an end in sight."""
        if self.progress.eta_s is not None and self._budget_s:
            return min(1.0, max(0.0, 1 - self.progress.eta_s / self._budget_s))
        return super().fraction

    @property
    def resumes(self) -> str:
        """A sentence where a run of the chosen name is there and would go on; empty otherwise."""
        training = self._earlier() if self.availability().allowed else None
        if training is None:
            return ""
        name, minutes = self._loop.settings.pretraining_name, training["seconds"] / 60
        return f"The run '{name}' goes on: it has learned for {minutes:.0f} min ({training['step']} steps)."

    def availability(self, action: str = "start") -> Availability:
        """What is missing for "start" or "cancel"."""
        if action == "cancel":
            return self._for_cancel("No pretraining is running.")
        reasons = unmet()
        if self.state.busy:
            reasons.append("A pretraining is running: wait for it, or stop it.")
        if not self._loop.settings.pretraining_folder:
            reasons.append("Choose a folder of unlabelled scans.")
        problem = self._problem_of_name() or self._problem_of_run()
        return Availability(tuple([*reasons, problem] if problem else reasons))

    def start(self) -> None:
        """Begin, or go on with the run of that name.

        Raises:
            InputError: something is missing.
            SSLSegError: the worker cannot be started.
        """
        self._require(self.availability())
        settings = self._settings()
        file = self._file()
        request = {"do": "pretrain", "data": [self._loop.settings.pretraining_folder], "weights": str(file)}
        resume = self._earlier() is not None
        if self._own is None:
            self._own = WorkerSession(self._factory, self.fail)
        self._own.start()
        self._loop.hardware.give_way()
        self.weights, self.writes = None, file
        self._budget_s = settings.time_limit_s or 0.0
        self._next_point_s = 0.0
        self._begin("starting")
        if self._chart is not None:
            self._chart.clear()
        self._ask(self._own, {**request, "settings": settings.as_dict(), "resume": resume}, self._finished)

    def fail(self, error: SSLSegError) -> None:
        """End with an error, or as cancelled where that kept the images from being prepared."""
        if not self.state.busy:
            return
        if self._stopping:
            self._take_messages([str(error)])
            self._end(JobState.CANCELLED)
        else:
            super().fail(error)

    def poll(self) -> None:
        """Let the run go on."""
        if self._own is not None:
            self._own.poll()

    def close(self) -> None:
        """End the worker; what it has learned since the last checkpoint is lost."""
        super()._end(JobState.IDLE)
        if self._own is not None:
            self._own.close()

    def _finished(self, reply: dict[str, Any]) -> None:
        self._take_messages([f"Skipped: {reason}" for reason in reply.get("skipped", [])])
        self._take_messages(reply.get("messages", []))
        if reply.get("weights"):
            self.weights = Path(reply["weights"])
            self.messages.append(f"{reply['steps']} steps on {reply['slices']} slices were learned: {self.weights}.")
        self._end(JobState.CANCELLED if reply["stopped"] == "request" else JobState.DONE)

    def _end(self, state: JobState, error: SSLSegError | None = None) -> None:
        """Be over. The worker's memory, perhaps a GPU's, is given back at once: everything is written."""
        super()._end(state, error)
        if self._own is not None:
            self._own.kill()

    def _on_progress(self, progress: Progress) -> None:
        super()._on_progress(progress)
        left = progress.eta_s if progress.eta_s is not None else 0.0
        used = self._budget_s - left
        if progress.loss is None or used < self._next_point_s:
            return
        self._next_point_s = used + self._budget_s / _POINTS
        if self._chart is None or not self._chart.present:
            self._chart = Chart(self._scene, _CHART, "Pretraining", curves=("Loss",))
        self._chart.add(progress.step, progress.loss)

    def _settings(self) -> PretrainSettings:
        chosen = self._loop.settings
        return PretrainSettings(
            method=chosen.pretraining_method,
            backbone=chosen.pretraining_backbone,
            time_limit_s=chosen.pretraining_minutes * 60,
            device=chosen.device,
            seed=chosen.seed,
        )

    def _file(self) -> Path:
        return weights_folder(self._loop.store) / f"{self._loop.settings.pretraining_name}.safetensors"

    def _problem_of_name(self) -> str:
        name = self._loop.settings.pretraining_name
        if not name:
            return "Give the weights a name."
        if _FORBIDDEN.search(name):
            return f"'{name}' cannot be the name of a file: use letters, digits and spaces."
        return ""

    def _problem_of_run(self) -> str:
        """Why these settings do not fit each other, or what is there under that name already."""
        if any(job.state.busy and job.writes == self._file() for job in self._jobs if job is not self):
            return "Another panel is learning these weights: wait for it, or choose another name."
        try:
            settings = self._settings()
            training = self._earlier()
            if training is None:
                return self._problem_of_file()
            settings.check_same(training["settings"], str(self._run_folder()))
        except InputError as error:
            return str(error)
        if training["seconds"] >= (settings.time_limit_s or 0.0):
            minutes = training["seconds"] / 60
            return f"This run has learned for {minutes:.0f} min already: give it more time, or choose another name."
        return ""

    def _problem_of_file(self) -> str:
        name = self._loop.settings.pretraining_name
        return f"There are weights called '{name}' already: choose another name." if self._file().exists() else ""

    def _run_folder(self) -> Path:
        return self._file().with_suffix(".run")

    def _earlier(self) -> dict[str, Any] | None:
        """What the checkpoint of a run of this name says of it; None where there is none.

        Raises:
            CheckpointError: there is one that cannot be read.
        """
        file = self._run_folder() / _STATE_FILE
        if not file.is_file():
            return None
        training = cached_header(file).get("training")
        if not isinstance(training, dict):
            raise CheckpointError(f"{file} is not the state of a pretraining: choose another name.")
        return training
