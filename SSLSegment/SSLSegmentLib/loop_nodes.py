"""The part of the loop about what the user works on: the volume, the segmentation, and marks of slices."""

from __future__ import annotations

from typing import Any

from SSLSegmentLib.loop_accept import Acceptance
from SSLSegmentLib.loop_annotation import AnnotatedSlice, UserAnnotation
from SSLSegmentLib.nodes import create_segmentation, only_volume
from SSLSegmentLib.settings import LoopSettings


class LoopNodes:
    """See :class:`SSLSegmentLib.loop.AnnotationLoop`, which this is a part of."""

    _scene: Any
    _settings: LoopSettings
    user: UserAnnotation
    acceptance: Acceptance

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

    def choose_defaults(self) -> None:
        """Choose the volume if none is chosen and the scene has exactly one that can be segmented."""
        if self.volume is None:
            self.set_volume(only_volume(self._scene))

    def create_segmentation(self) -> Any:
        """Make a segmentation for the chosen volume, with one segment to begin with, and choose it.

        Nothing happens where one is chosen already.

        Returns:
            The segmentation node.

        Raises:
            InputError: no volume is chosen.
        """
        if self.segmentation is None:
            self.set_segmentation(create_segmentation(self._scene, self.volume))
        return self.segmentation

    def _cancel_for(self, reason: str) -> None:
        """What results belong to is about to change."""
        raise NotImplementedError
