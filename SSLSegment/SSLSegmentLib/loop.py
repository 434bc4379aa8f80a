"""The work of a user with one volume: annotate, train, look, accept, export. A state machine without Qt.

The desktop panel, the browser panel and the headless command bind to :class:`AnnotationLoop`; none of them decides
anything by itself. All methods are called on the main thread, and none of them waits for the worker.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer

from sslseg.errors import InputError, SSLSegError
from sslseg.files import atomic_path
from sslseg.progress import Progress
from SSLSegmentLib import export
from SSLSegmentLib.loop_accept import Acceptance, Result
from SSLSegmentLib.loop_annotation import AnnotatedSlice, UserAnnotation
from SSLSegmentLib.loop_job import Inputs, Outcome, Suggestion, TrainingJob
from SSLSegmentLib.loop_overlay import Overlay
from SSLSegmentLib.loop_session import WorkerFactory, WorkerSession
from SSLSegmentLib.loop_state import Availability, State, availability
from SSLSegmentLib.settings import LoopSettings
from SSLSegmentLib.worker_process import WorkerProcess


class AnnotationLoop:
    """The states of the work, what may be done in each, and what was found.

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
    """

    state: State
    progress: Progress
    messages: list[str]
    error: SSLSegError | None
    result: Result | None
    suggestions: list[Suggestion]
    model_path: Path | None

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        *,
        worker_factory: WorkerFactory = WorkerProcess,
        settings: LoopSettings | None = None,
        on_changed: Callable[[], None] | None = None,
        history: Any = None,
    ) -> None:
        self._scene = scene
        self._on_changed = on_changed or (lambda: None)
        self._settings = settings or LoopSettings()
        self.worker = WorkerSession(worker_factory, self._on_worker_lost)
        self.user = UserAnnotation(scene, self.settings, self._changed, self._on_removed)
        self.acceptance = Acceptance(self.user, history)
        self._job: TrainingJob | None = None
        self._inputs: Inputs | None = None
        self._jobs = 0
        self._polling = False
        self.overlay = Overlay(scene, self.settings, self._drop_result)
        self._forget_results()

    # What the user works on

    @property
    def settings(self) -> LoopSettings:
        """The user's choices: change its fields, it cannot be replaced."""
        return self._settings

    @property
    def volume(self) -> Any:
        """The volume node, or None."""
        return self.user.volume

    @property
    def segmentation(self) -> Any:
        """The user's segmentation node, or None."""
        return self.user.segmentation

    def set_volume(self, node: Any) -> None:
        """Work on another volume (None: on none). A running training is cancelled, results and marks are forgotten."""
        if node is not self.user.volume:
            self._cancel_for("Another volume was chosen.")
            self.user.set_volume(node)

    def set_segmentation(self, node: Any) -> None:
        """Read annotations from another segmentation (None: from none), with the consequences of :meth:`set_volume`."""
        if node is not self.user.segmentation:
            self._cancel_for("Another segmentation was chosen.")
            self.user.set_segmentation(node)
            self.acceptance.forget()

    @property
    def axis(self) -> int:
        """Array axis of the annotated slices, 0 (K), 1 (J) or 2 (I); set it to -1 to follow the drawing."""
        return self.user.axis

    @axis.setter
    def axis(self, axis: int) -> None:
        self.user.set_axis(axis)

    def annotated_slices(self) -> list[AnnotatedSlice]:
        """Every slice with a drawing or a mark, in order."""
        return self.user.slices()

    def mark_empty(self, index: int) -> None:
        """Say that a slice was looked at and holds no structure: it is then annotated.

        Raises:
            InputError: there is no such slice, or something is drawn on it.
        """
        self.user.mark(index, empty=True)

    def exclude(self, index: int) -> None:
        """Let a slice not count as annotated, whatever is drawn on it.

        Raises:
            InputError: there is no such slice.
        """
        self.user.mark(index, excluded=True)

    def unmark(self, index: int) -> None:
        """Take back :meth:`mark_empty` or :meth:`exclude`."""
        self.user.mark(index)

    # What may be done

    def availability(self, action: str) -> Availability:
        """Whether one of :data:`SSLSegmentLib.loop_state.ACTIONS` is possible now, and all that is missing for it."""
        return availability(self, action)

    def _require(self, action: str) -> None:
        reasons = self.availability(action).reasons
        if reasons:
            raise InputError(" ".join(reasons))

    # Training

    def train(self) -> None:
        """Train on all annotated slices, from the pretrained weights, then predict the whole volume.

        Raises:
            InputError: something is missing (see :meth:`availability`), or the nodes do not fit together.
            SSLSegError: the worker cannot be started.
        """
        self._require("train")
        inputs = self.user.snapshot()
        self._jobs += 1
        job = TrainingJob(self.worker, inputs, self._jobs, on_progress=self._on_progress, on_end=self._on_end)
        job.start()
        self._job, self._inputs = job, inputs
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
        finally:
            self._polling = False

    # Results

    def suggest_next(self) -> Suggestion | None:
        """The slice that it would help most to annotate; those annotated meanwhile are left out."""
        annotated = set(self.user.used_slices())
        return next((entry for entry in self.suggestions if entry.index not in annotated), None)

    def accept_slice(self, index: int) -> None:
        """Copy one predicted slice into the user's segmentation, as one undo step. It is annotated from then on.

        Raises:
            InputError: there is no prediction, or no such slice.
        """
        self._require("accept_slice")
        self._accept([index])

    def accept_all(self) -> None:
        """Copy every slice that is not annotated into the user's segmentation, as one undo step.

        Where single voxels are annotated rather than slices (there is a background segment), that is every slice.

        Raises:
            InputError: there is no prediction, or every slice is annotated.
        """
        self._require("accept_all")
        self._accept(None)

    def undo(self) -> None:
        """Take the last accepting back.

        Raises:
            InputError: nothing was accepted, or the segmentation has been changed since.
        """
        self._require("undo")
        self.acceptance.undo()

    def discard(self) -> None:
        """Remove the prediction and its uncertainty from the scene. The model stays.

        Raises:
            InputError: there is no prediction, or a training is running.
        """
        self._require("discard")
        self.overlay.remove()
        self._drop_result()

    def save_model(self, path: str | Path) -> None:
        """Copy the latest model to ``path``.

        Raises:
            InputError: there is no model.
            OutputError: the file cannot be written.
        """
        self._require("save_model")
        with atomic_path(path) as temporary:
            shutil.copyfile(str(self.model_path), temporary)

    def export(self, folder: str | Path | None = None, formats: Sequence[str] | None = None) -> list[Path]:
        """Write the user's segmentation to files named after it; without arguments, as the settings say.

        Raises:
            InputError: there is nothing to export, no folder is chosen, or there is no such format.
            OutputError: a file cannot be written.
        """
        self._require("export")
        target = folder or self.settings.export_folder
        if not target:
            raise InputError("Choose a folder to export to.")
        return export.export_segmentation(
            self.segmentation,
            self.volume,
            target,
            formats=formats or self.settings.export_formats,
            base_name=self.segmentation.GetName(),
            on_message=self.messages.append,
        )

    # The end

    def shutdown(self) -> None:
        """End the worker and stop observing the scene. Poll until :attr:`alive` is false, or leave it to exit."""
        if self._job is not None:
            self._job.abandon()
        self._on_changed = lambda: None
        self._leave(State.IDLE)
        self.overlay.close()
        self.user.close()
        self.worker.close()

    @property
    def alive(self) -> bool:
        """Whether a worker process of this loop still runs."""
        return self.worker.alive

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
        if outcome.labels is None or outcome.uncertainty is None or self._inputs is None:
            return
        annotation, axis = self._inputs.annotation, self._inputs.axis
        result = Result(outcome.labels, outcome.uncertainty, annotation.segments, axis)
        self.overlay.show(self.volume, result, self.segmentation.GetName())
        self.result, self.suggestions = result, outcome.suggestions

    def _on_worker_lost(self, error: SSLSegError) -> None:
        if self._job is not None:
            self._job.fail(error)
        else:
            self.messages.append(str(error))
            self._changed()

    def _on_removed(self, what: str) -> None:
        self._cancel_for(f"The {what} was removed.")
        self.acceptance.forget()

    def _cancel_for(self, reason: str) -> None:
        """Back to ``IDLE``, because what results belong to is gone."""
        was_busy = self.state.busy
        if self._job is not None:
            self._job.abandon()
        self._forget_results()
        self._leave(State.IDLE)
        if was_busy:
            self.messages.append(f"{reason} The training was cancelled.")
        self._changed()

    def _drop_result(self) -> None:
        """What cannot be seen any more cannot be accepted."""
        self.result = None
        self.suggestions = []
        self._enter(self.state if self.state.busy else State.IDLE)

    def _forget_results(self) -> None:
        self.state = State.IDLE
        self.progress = Progress("")
        self.messages = []
        self.error = None
        self.model_path = None
        self.result = None
        self.suggestions = []
        self.overlay.forget()

    def _accept(self, slices: Sequence[int] | None) -> None:
        assert self.result is not None
        left_out = self.acceptance.accept(self.result, slices or self.acceptance.open_slices(self.result))
        self.messages += [f"'{segment.name}' was left out: there is no such segment any more." for segment in left_out]
        self._changed()

    def _enter(self, state: State) -> None:
        self.state = state
        self._changed()

    def _leave(self, state: State) -> None:
        self._job = self._inputs = None
        self._enter(state)

    def _changed(self) -> None:
        self._on_changed()
