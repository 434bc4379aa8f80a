"""Accepting: the only way from a prediction into the user's segmentation, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from sslseg.annotation import Segment
from SSLSegmentLib import mrml
from SSLSegmentLib.loop_annotation import Marks, UserAnnotation
from SSLSegmentLib.result import Result
from SSLSegmentLib.segments import LABELMAP


class Acceptance:
    """Copies predicted slices into the user's segmentation, one undo step each.

    Args:
        user: the nodes and marks.
        history: ``vtkSegmentationHistory`` or ``vtkSlicerSegmentEditorLogic`` to save states in, so that an editor's
            own undo knows of them; None keeps a history of its own.
    """

    def __init__(self, user: UserAnnotation, history: Any = None) -> None:
        self._user = user
        self._shared = history
        self.forget()

    def forget(self) -> None:
        """Start anew with whatever segmentation there is: former steps cannot be undone any more."""
        self._marks: list[Marks] = []
        self._state: tuple[Any, ...] = ()
        self._history = self._shared
        if self._shared is None and self._user.segmentation is not None:
            self._history = slicer.vtkSegmentationHistory()
            self._history.SetSegmentation(self._user.segmentation.GetSegmentation())

    def open_slices(self, result: Result) -> list[int]:
        """The slices that accepting everything would write.

        Where a background segment makes single voxels annotated rather than slices, no slice is finished.
        """
        every = range(result.labels.shape[result.axis])
        if self._user.settings.background_segment_id:
            return list(every)
        annotated = set(self._user.used_slices())
        return [index for index in every if index not in annotated]

    def accept(self, result: Result, slices: Sequence[int]) -> tuple[Segment, ...]:
        """Copy ``slices``; they count as annotated from now on, also those in which nothing was found.

        Returns:
            The predicted segments that were left out because the user has removed them since.

        Raises:
            InputError: the volume or the segmentation has changed so that the prediction does not fit any more.
        """
        user = self._user
        marks = user.marks
        left_out = mrml.accept(
            user.segmentation,
            user.volume,
            result.labels,
            result.segments,
            slices=slices,
            axis=result.axis,
            history=self._history,
        )
        user.count_as_annotated(slices, result.axis)
        self._marks.append(marks)
        self._state = self._label_maps()
        return left_out

    def undo(self) -> None:
        """Take the last accepting back: voxels and marks."""
        restore = getattr(self._history, "Undo", None) or self._history.RestorePreviousState
        restore()
        self._user.marks = self._marks.pop()
        self._state = self._label_maps()

    def unmet(self) -> list[str]:
        """Why nothing can be undone; empty where it can."""
        if not self._marks or self._user.segmentation is None:
            return ["Nothing was accepted."]
        if self._state != self._label_maps():
            return ["The segmentation was changed after accepting: undo that change first."]
        return []

    def _label_maps(self) -> tuple[Any, ...]:
        """Changes whenever a voxel does; a surface that is made of the label maps, or a new name, changes nothing."""
        segmentation = self._user.segmentation.GetSegmentation()
        images = [(i, segmentation.GetSegment(i).GetRepresentation(LABELMAP)) for i in segmentation.GetSegmentIDs()]
        return tuple((segment_id, image.GetMTime() if image else 0) for segment_id, image in images)
