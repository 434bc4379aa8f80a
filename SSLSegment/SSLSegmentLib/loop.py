"""The work of a user with one volume: annotate, train, look, accept, export. A state machine without Qt.

The desktop panel, the browser panel and the headless command bind to :class:`AnnotationLoop`; none of them decides
anything by itself. All methods are called on the main thread, and none of them waits for the worker.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from sslseg.errors import SSLSegError
from sslseg.progress import Progress
from SSLSegmentLib.apply_job import ApplyJob
from SSLSegmentLib.hardware import Hardware
from SSLSegmentLib.loop_accept import Acceptance
from SSLSegmentLib.loop_annotation import UserAnnotation
from SSLSegmentLib.loop_job import Outcome, Suggestion, TrainingJob
from SSLSegmentLib.loop_overlay import Overlay
from SSLSegmentLib.loop_results import LoopResults
from SSLSegmentLib.loop_session import WorkerFactory, WorkerSession
from SSLSegmentLib.loop_state import State
from SSLSegmentLib.pretraining_job import PretrainingJob
from SSLSegmentLib.result import Outputs, Result
from SSLSegmentLib.settings import LoopSettings
from SSLSegmentLib.user_store import MemoryStore, UserStore
from SSLSegmentLib.worker_process import WorkerProcess


class AnnotationLoop(LoopResults):
    """The states of the work, what may be done in each, and what was found.

    A training shows a first overlay within seconds, before anything is learned: the labels of the annotated slices,
    carried to all others. The prediction of the trained network takes its place.

    The owner calls :meth:`poll` about 20 times a second and redraws itself in ``on_changed``. A training is stopped
    in steps: the first :meth:`stop` keeps the best model so far, predicts with it and ends as ``CANCELLED`` with the
    overlay shown; one more during that prediction gives the prediction up; and one while the worker has yet to answer
    the one before ends the worker at once. What there was before stays.
    A volume, segmentation or scene that goes away cancels the training and leads back to ``IDLE``; what the worker
    still sends for it is dropped. The user's segmentation is written by accepting and undoing only.

    Args:
        scene: the MRML scene.
        worker_factory: makes the worker process; tests and the panel may give their own.
        settings: the user's choices; kept by reference, so that a panel may change them at any time.
        on_changed: called after anything that a panel shows may have changed.
        history: an editor's undo history, see :class:`SSLSegmentLib.loop_accept.Acceptance`.
        store: what belongs to the user rather than to the scene; nothing is kept without one.

    Attributes:
        state: see :class:`State`.
        progress: the latest report of the running training: stage, step, loss, ETA, device.
        messages: sentences for the user, oldest first, since the training began.
        error: why the state is ``FAILED``; None otherwise.
        result: the latest prediction; None if there is none.
        overlay: the nodes that show it.
        suggestions: slices to annotate next, best first.
        model_path: file of the latest model, in the session's folder; None if there is none.
        worker: the worker; ``worker.start()`` before it is needed spares the first training the wait.
        user: the nodes of the user, and which slices count as annotated.
        acceptance: what was accepted.
        store: see the arguments.
        apply: the model on other volumes and on folders.
        pretraining: weights from unlabelled scans, beside everything else.
        hardware: the devices, and how long a training will take.
    """

    state: State
    progress: Progress
    messages: list[str]
    error: SSLSegError | None
    result: Result | None
    suggestions: list[Suggestion]
    model_path: Path | None

    def __init__(  # noqa: PLR0913 - what a face may bring along, each thing once
        self,
        scene: slicer.vtkMRMLScene,
        *,
        worker_factory: WorkerFactory = WorkerProcess,
        settings: LoopSettings | None = None,
        on_changed: Callable[[], None] | None = None,
        history: Any = None,
        store: UserStore | None = None,
    ) -> None:
        self._scene = scene
        self._on_changed = on_changed or (lambda: None)
        self._settings = settings or LoopSettings()
        self.worker = WorkerSession(worker_factory, self._on_worker_lost)
        self.user = UserAnnotation(scene, self.settings, self._on_user_changed, self._on_removed, self.worker.submit)
        self.acceptance = Acceptance(self.user, self.worker.submit, history)
        self._job: TrainingJob | None = None
        self._jobs = 0
        self._polling = False
        self.overlay = Overlay(scene, self.settings, self._drop_result, self._tell, self.worker.submit)
        self.store = store or MemoryStore()
        self.apply = ApplyJob(self, scene, self._changed)
        self.pretraining = PretrainingJob(self, scene, worker_factory, self._changed)
        self.hardware = Hardware(self, self._changed)
        self._forget_results()

    # Training

    def train(self) -> None:
        """Train on all annotated slices, from the pretrained weights, then predict the whole volume.

        Raises:
            InputError: something is missing (see :meth:`availability`), or the nodes do not fit together.
            SSLSegError: the worker cannot be started.
        """
        self._require("train")
        self._jobs += 1
        job = TrainingJob(
            self.worker,
            self.user.snapshot,
            self._jobs,
            with_surfaces=lambda: self.settings.show_in_3d,
            on_progress=self._on_progress,
            on_first=self._show_first,
            on_end=self._on_end,
        )
        self.hardware.give_way()
        job.start()
        self._job = job
        self.messages, self.error, self.progress = [], None, Progress("preparing")
        self.overlay.begin_curves()
        self._enter(State.PREPARING)

    def stop(self) -> None:
        """Stop what is under way; see the class for what a second and a third call do."""
        if self._job is None:
            return
        self._enter(State.STOPPING)
        if not self._job.stop():
            self._job.abandon()
            self.worker.kill()
            self._leave(State.CANCELLED)

    @property
    def last_error(self) -> str:
        """Why the state is ``FAILED``, with the last lines of the worker if it died; empty otherwise."""
        return str(self.error) if self.error else ""

    @property
    def log_path(self) -> Path | None:
        """The complete log of the latest worker."""
        return self.worker.log_path

    def poll(self) -> None:
        """Let the work go on. To be called about 20 times a second on the main thread, by a timer or a plain loop."""
        if self._polling:  # a handler made the viewer process its events, a timer's among them
            return
        self._polling = True
        try:
            self.worker.poll()
            self.pretraining.poll()
            self.hardware.poll()
        finally:
            self._polling = False

    # The end

    def rest(self) -> None:
        """End the workers because nobody is there to see what they do; what was drawn and found stays.

        A training is cancelled. The next one starts a worker anew.
        """
        if self._job is not None:
            self._job.abandon()
            self._leave(State.CANCELLED)
            self._tell(SSLSegError("The training was stopped because nobody was looking any more: train again."))
        for job in (self.apply, self.pretraining, self.hardware):
            job.close()
        self.worker.kill()

    def shutdown(self) -> None:
        """End the workers and stop observing the scene. Poll until :attr:`alive` is false, or leave it to exit."""
        if self._job is not None:
            self._job.abandon()
        self.acceptance.abandon()
        self._on_changed = lambda: None
        self._leave(State.IDLE)
        for job in (self.apply, self.pretraining, self.hardware):
            job.close()
        self.overlay.close()
        self.user.close()
        self.worker.close()

    @property
    def alive(self) -> bool:
        """Whether a worker process of this loop still runs."""
        return self.worker.alive or self.pretraining.alive

    # What happens by itself

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress
        if progress.message:
            self.messages.append(progress.message)
        self.overlay.add_to_curves(progress)
        self._enter(self.state if self.state is State.STOPPING else State.TRAINING)

    def _on_end(self, ending: Outcome | SSLSegError) -> None:
        if isinstance(ending, SSLSegError):
            self._fail(ending)
            return
        try:
            self._take(ending)
        except SSLSegError as error:
            self._fail(error)
        except Exception as error:
            self._fail(SSLSegError(f"internal error: {type(error).__name__}: {error}"))
            raise
        else:
            self._leave(State.CANCELLED if ending.stopped == "request" else State.DONE)

    def _fail(self, error: SSLSegError) -> None:
        self.error = error
        self._leave(State.FAILED)

    def _take(self, outcome: Outcome) -> None:
        """Keep what a training found, and show it."""
        self.messages += [message for message in outcome.messages if message not in self.messages]
        self.model_path = outcome.model or self.model_path
        if outcome.outputs is not None:
            self._show(outcome.outputs)
            self.suggestions = outcome.suggestions

    def _show_first(self, outputs: Outputs) -> None:
        """Show the labels that were carried to all slices; the prediction takes their place."""
        with contextlib.suppress(SSLSegError):  # the end of the training says why
            self._show(outputs)

    def _show(self, outputs: Outputs) -> None:
        self.overlay.show(self.volume, outputs, self.segmentation.GetName())
        self.result, self.suggestions = outputs.result, []
        self._changed()

    def _on_worker_lost(self, error: SSLSegError) -> None:
        if self._job is not None:
            self._job.fail(error)
        elif self.apply.state.busy:
            self.apply.fail(error)
        else:
            self._tell(error)

    def _tell(self, error: SSLSegError) -> None:
        self.messages.append(str(error))
        self._changed()

    def _on_user_changed(self) -> None:
        self.acceptance.follow()
        self._changed()

    def _on_removed(self, what: str) -> None:
        self._cancel_for(f"The {what} was removed.")
        self.acceptance.forget()

    def _cancel_for(self, reason: str) -> None:
        """Back to ``IDLE``, because what results belong to is gone."""
        was_busy = self.state.busy
        if self._job is not None:
            self._job.abandon()
        self.acceptance.abandon()
        self._forget_results()
        self._leave(State.IDLE)
        if was_busy:
            self.messages.append(f"{reason} The training was cancelled.")
        self._changed()

    def _forget_results(self) -> None:
        self.state = State.IDLE
        self.progress = Progress("")
        self.messages = []
        self.error = None
        self.model_path = None
        self.result = None
        self.suggestions = []
        self.overlay.forget()

    def _enter(self, state: State) -> None:
        self.state = state
        self._changed()

    def _leave(self, state: State) -> None:
        self._job = None
        self._enter(state)

    def _changed(self) -> None:
        self._on_changed()
