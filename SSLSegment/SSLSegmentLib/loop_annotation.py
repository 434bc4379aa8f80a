"""What the user works on: the volume and the segmentation node, and which slices count as annotated.

Reads nodes and never writes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import slicer

from sslseg.annotation import check_slices, drawn_axis
from sslseg.errors import InputError
from SSLSegmentLib import mrml
from SSLSegmentLib.loop_job import Inputs
from SSLSegmentLib.segments import labels_in_box
from SSLSegmentLib.settings import AUTO_AXIS, LoopSettings


@dataclass(frozen=True)
class AnnotatedSlice:
    """One slice that the user has said something about."""

    index: int
    empty: bool
    excluded: bool


class _Drawing(NamedTuple):
    """What the segmentation node says: slices with a drawing along each array axis, the axis they were drawn along."""

    slices: tuple[list[int], ...] = ([], [], [])
    axis: int = 0
    problem: str = ""


class Marks(NamedTuple):
    """What the user has said about slices without drawing: the settings of these names."""

    axis: int
    empty_slices: list[int]
    excluded_slices: list[int]


class UserAnnotation:
    """The two nodes of the user, observed.

    Args:
        scene: its nodes are watched for removal.
        settings: holds the axis and the marks of slices, which this class changes.
        on_changed: called after the drawing or a mark has changed.
        on_removed: called with "volume", "segmentation" or "scene" when a node is gone from the scene.

    Attributes:
        volume: the volume node, or None.
        segmentation: the user's segmentation node, or None.
        revision: grows with every change of the segmentation.
    """

    def __init__(
        self, scene: Any, settings: LoopSettings, on_changed: Callable[[], None], on_removed: Callable[[str], None]
    ) -> None:
        self._scene = scene
        self.settings = settings
        self._on_changed = on_changed
        self._on_removed = on_removed
        self.volume: Any = None
        self.segmentation: Any = None
        self.revision = 0
        self._drawing: tuple[Any, _Drawing] = (None, _Drawing())
        events = slicer.vtkMRMLScene
        self._scene_tags = [
            scene.AddObserver(events.NodeRemovedEvent, self._on_node_removed),
            scene.AddObserver(events.StartCloseEvent, self._on_scene_closing),
        ]
        self._node_tags: list[int] = []

    def close(self) -> None:
        """Stop observing; the object is of no use afterwards."""
        self.set_segmentation(None)
        self.volume = None
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene_tags = []

    def set_volume(self, node: Any) -> None:
        """Work on another volume. The marks of the former one are forgotten."""
        if self.volume is not None:
            self._forget_marks()
        self.volume = node
        self._on_changed()

    def set_segmentation(self, node: Any) -> None:
        """Read annotations from another segmentation. The marks of the former one are forgotten."""
        if self.segmentation is not None:
            self._forget_marks()
            for tag in self._node_tags:
                self.segmentation.RemoveObserver(tag)
        self.segmentation = node
        self._node_tags = []
        if node is not None:
            changes = slicer.vtkSegmentation
            for event in (
                changes.SegmentAdded,
                changes.SegmentRemoved,
                changes.SegmentModified,
                changes.SourceRepresentationModified,
                node.SegmentationChangedEvent,
            ):
                self._node_tags.append(node.AddObserver(event, self._on_drawn))
        self._on_drawn()

    @property
    def axis(self) -> int:
        """Array axis of the annotated slices: the chosen one, or else the one along which the user draws."""
        return self.settings.axis if self.settings.axis != AUTO_AXIS else self._look().axis

    def set_axis(self, axis: int) -> None:
        """Choose the axis (0, 1, 2, or -1 to follow the drawing). Marks along another axis are forgotten."""
        if axis not in (AUTO_AXIS, 0, 1, 2):
            raise InputError(f"There is no slice axis {axis}: choose automatic, K, J or I.")
        if axis != self.settings.axis:
            self.settings.axis = axis
            self._forget_marks()
            self._on_changed()

    def slices(self) -> list[AnnotatedSlice]:
        """Every slice with a drawing or a mark, in order."""
        empty, excluded = set(self.settings.empty_slices), set(self.settings.excluded_slices)
        return [
            AnnotatedSlice(index, index in empty, index in excluded)
            for index in sorted(empty | excluded | set(self.drawn_slices()))
        ]

    def drawn_slices(self) -> list[int]:
        """Slices with something drawn on them, excluded ones too."""
        return self._look().slices[self.axis]

    @property
    def problem(self) -> str:
        """Why the nodes cannot be read, as a sentence; empty where they can, and while one is missing."""
        return self._look().problem

    def used_slices(self) -> list[int]:
        """The slices that a training would learn from."""
        return [entry.index for entry in self.slices() if not entry.excluded]

    @property
    def marks(self) -> Marks:
        """The marks as they are now."""
        settings = self.settings
        return Marks(settings.axis, settings.empty_slices, settings.excluded_slices)

    @marks.setter
    def marks(self, marks: Marks) -> None:
        settings = self.settings
        settings.axis, settings.empty_slices, settings.excluded_slices = marks
        self._on_changed()

    def mark(self, index: int, *, empty: bool = False, excluded: bool = False) -> None:
        """Say that a slice was looked at and is empty, or does not count, or (neither) take such a mark back.

        A mark settles the axis: it would mean nothing along another one.

        Raises:
            InputError: there is no volume or no such slice, or it is to be empty and something is drawn on it.
        """
        if self.volume is None:
            raise InputError("There is no volume: choose one before marking slices.")
        axis = self.axis
        check_slices([index], mrml.volume_geometry(self.volume).shape, axis)
        if empty and index in self.drawn_slices():
            raise InputError(f"Slice {index} is not empty: erase what is drawn on it, or exclude it.")
        _, empties, excludeds = self.marks
        self.marks = Marks(axis, _with(empties, [index], empty), _with(excludeds, [index], excluded))

    def count_as_annotated(self, slices: Sequence[int], axis: int) -> None:
        """Let ``slices`` count from now on, as drawn or as empty, and settle the axis."""
        marks = self.marks
        self.settings.axis = axis
        blank = set(slices) - set(self.drawn_slices())
        empties = _with(_with(marks.empty_slices, slices, False), blank, True)
        self.marks = Marks(axis, empties, _with(marks.excluded_slices, slices, False))

    def snapshot(self) -> Inputs:
        """What a training starts from, independent of the nodes from here on.

        The voxels of the volume are not copied (a large CT would hold up the viewer): they are the node's own memory,
        kept alive by the array.

        Raises:
            InputError: the nodes do not fit together, or nothing is annotated.
        """
        settings = self.settings
        annotation = mrml.annotation_from_nodes(
            self.volume,
            self.segmentation,
            self.axis,
            empty_slices=settings.empty_slices,
            excluded_slices=settings.excluded_slices,
            background_segment_id=settings.background_segment_id or None,
        )
        image = self.volume.GetImageData()
        return Inputs(
            volume_id=(self.volume.GetID(), image.GetMTime(), annotation.geometry),
            array=mrml.scalar_voxels(self.volume),
            annotation=annotation,
            axis=self.axis,
            settings=settings.training(),
            name=self.volume.GetName(),
        )

    def _look(self) -> _Drawing:
        """The drawing, looked at again only after something has changed."""
        if self.volume is None:
            return _Drawing()
        state = (self.revision, *map(_state_of, (self.volume, self.volume.GetImageData(), self.segmentation)))
        if self._drawing[0] != state:
            self._drawing = (state, self._read())
        return self._drawing[1]

    def _read(self) -> _Drawing:
        try:
            geometry = mrml.volume_geometry(self.volume)
            mrml.scalar_voxels(self.volume)
            if self.segmentation is None:
                return _Drawing(axis=geometry.default_axis())
            segments = mrml.segments_from_node(self.segmentation)
            painted, box = labels_in_box(self.segmentation, self.volume, geometry, segments)
        except InputError as error:
            return _Drawing(problem=str(error))
        slices = tuple(_slices_with(painted, axis, box[axis].start) for axis in range(3))
        in_the_open = np.pad(painted > 0, 1)  # else the drawing would fill the box, and with it whole slices
        return _Drawing(slices, drawn_axis(in_the_open, geometry))

    def _forget_marks(self) -> None:
        self.settings.empty_slices = []
        self.settings.excluded_slices = []

    def _on_drawn(self, *_: Any) -> None:
        self.revision += 1
        self._on_changed()

    def _on_node_removed(self, *_: Any) -> None:
        if self.volume is not None and not self._scene.IsNodePresent(self.volume):
            self.set_volume(None)
            self._on_removed("volume")
        if self.segmentation is not None and not self._scene.IsNodePresent(self.segmentation):
            self.set_segmentation(None)
            self._on_removed("segmentation")

    def _on_scene_closing(self, *_: Any) -> None:
        if self.volume is not None or self.segmentation is not None:
            self.set_segmentation(None)
            self.set_volume(None)
            self._on_removed("scene")


def _state_of(item: Any) -> tuple[int, ...]:
    """Differs once a node, its parent transform, or an image has changed: VTK gives each change a number of its own."""
    transform = getattr(item, "GetParentTransformNode", lambda: None)()
    return tuple(thing.GetMTime() for thing in (item, transform) if thing is not None)


def _slices_with(painted: np.ndarray, axis: int, first: int) -> list[int]:
    others = tuple(a for a in range(3) if a != axis)
    return [first + int(index) for index in np.flatnonzero(painted.any(axis=others))]


def _with(indices: Iterable[int], changed: Iterable[int], present: bool) -> list[int]:
    others = set(indices) - set(changed)
    return sorted(others | set(changed) if present else others)
