"""Accepting: the only way from a prediction into the user's segmentation, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sslseg.annotation import Segment
from sslseg.errors import InputError, SSLSegError
from SSLSegmentLib.accepting import UNDO, Accepting, LayerHistory, one_of
from SSLSegmentLib.drawing import Drawing
from SSLSegmentLib.loop_annotation import Marks, UserAnnotation
from SSLSegmentLib.loop_session import Submit
from SSLSegmentLib.result import Result
from SSLSegmentLib.segments import drawn_state

OnAccepted = Callable[[tuple[Segment, ...]], None]
"""Called with the predicted segments that were left out because the user has removed them since."""


class _Step(NamedTuple):
    """How it was before an acceptance."""

    marks: Marks
    drawing: Drawing


class Acceptance:
    """Copies predicted slices into the user's segmentation, one undo step each.

    Args:
        user: the nodes and marks.
        submit: runs what takes a while, see :meth:`SSLSegmentLib.loop_session.WorkerSession.submit`.
        history: ``vtkSegmentationHistory``, ``vtkSlicerSegmentEditorLogic`` or ``qMRMLSegmentEditorWidget`` to save
            states in, so that an editor's own undo knows of them; None keeps a history of its own.
    """

    def __init__(self, user: UserAnnotation, submit: Submit, history: Any = None) -> None:
        self._user = user
        self._submit = submit
        self._shared = history
        self.forget()

    def forget(self) -> None:
        """Start anew with whatever segmentation there is: former steps cannot be undone any more."""
        self.abandon()
        self._steps: list[_Step] = []
        self._state: tuple[Any, ...] = ()
        self._accepted = Drawing()
        self._history = self._shared
        if self._shared is None and self._user.segmentation is not None:
            self._history = LayerHistory(self._user.segmentation)

    def abandon(self) -> None:
        """Let an acceptance that is under way come to nothing."""
        self._current: Accepting | None = None

    @property
    def busy(self) -> bool:
        """Whether an acceptance is under way."""
        return self._current is not None

    def open_slices(self, result: Result) -> list[int]:
        """The slices that accepting everything would write.

        Where a background segment makes single voxels annotated rather than slices, no slice is finished.
        """
        every = range(result.labels.shape[result.axis])
        if self._user.settings.background_segment_id:
            return list(every)
        annotated = set(self._user.used_slices(result.axis))
        return [index for index in every if index not in annotated]

    def accept(
        self, result: Result, slices: Sequence[int], then: OnAccepted, failed: Callable[[SSLSegError], None]
    ) -> None:
        """Copy ``slices``; they count as annotated from now on, also those in which nothing was found.

        Args:
            result: what to copy from.
            slices: along the axis of the result.
            then: called when it is done: before this returns if the volume is small, else in a later poll.
            failed: called instead with the reason; nothing is written then.

        Raises:
            InputError: the volume or the segmentation has changed so that the prediction does not fit any more.
        """
        user = self._user
        accepting = Accepting(user.segmentation, user.volume, result.labels, result.segments, slices, result.axis)

        def work() -> Drawing:
            accepting.work()
            return accepting.drawing()

        def made(drawing: Drawing) -> None:
            if self._current is not accepting:
                return
            self._current = None
            if accepting.outdated:
                failed(InputError("The segmentation was changed while the prediction was accepted: accept it again."))
                return
            step, self._accepted = _Step(user.marks, user.drawing), drawing
            marks = user.marks_along(result.axis).with_annotated(slices, drawing.slices[result.axis], result.axis)
            user.replace(lambda: self._write(accepting, step), drawing, marks)
            then(accepting.left_out)

        def not_made(error: SSLSegError) -> None:
            if self._current is accepting:
                self._current = None
                failed(error)

        self._current = accepting
        self._submit(work, made, not_made, voxels=accepting.voxels)

    def undo(self) -> None:
        """Take the last accepting back: voxels and marks."""
        marks, drawing = self._steps.pop()
        self._accepted = drawing
        self._user.replace(self._restore, drawing, marks)

    def follow(self) -> None:
        """An editor's own undo brings voxels back and knows of no marks: take those of the acceptance back as well.

        To be called after the drawing has changed.
        """
        if self._shared is None or not self._steps or not self._user.up_to_date:
            return
        slices = self._user.drawing.slices
        if slices == self._accepted.slices:
            return
        undone = [index for index, step in enumerate(self._steps) if step.drawing.slices == slices]
        if undone:
            step = self._steps[undone[-1]]
            self._steps, self._accepted = self._steps[: undone[-1]], step.drawing
            self._user.marks = step.marks

    def unmet(self) -> list[str]:
        """Why nothing can be undone; empty where it can."""
        if not self._steps or self._user.segmentation is None:
            return ["Nothing was accepted."]
        if self._state != drawn_state(self._user.segmentation):
            return ["The segmentation was changed after accepting: undo that change first."]
        return []

    def _write(self, accepting: Accepting, step: _Step) -> None:
        accepting.write(self._history)
        self._steps.append(step)
        self._state = drawn_state(self._user.segmentation)

    def _restore(self) -> None:
        one_of(self._history, UNDO)()
        self._state = drawn_state(self._user.segmentation)
