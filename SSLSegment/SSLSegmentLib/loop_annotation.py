"""What the user works on: the volume and the segmentation node, and which slices count as annotated.

Reads nodes and never writes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import slicer

from sslseg.annotation import check_slices
from sslseg.errors import InputError, SSLSegError
from SSLSegmentLib import mrml
from SSLSegmentLib.drawing import Drawing, read_drawing
from SSLSegmentLib.loop_job import Inputs
from SSLSegmentLib.loop_session import Submit
from SSLSegmentLib.segments import drawn_state, layers_of, transform_between
from SSLSegmentLib.settings import AUTO_AXIS, LoopSettings


@dataclass(frozen=True)
class AnnotatedSlice:
    """One slice that the user has said something about.

    Attributes:
        index: along the axis.
        empty: marked as holding no structure.
        excluded: does not count, whatever is drawn on it.
        segments: ids of the segments that are drawn on it.
    """

    index: int
    empty: bool
    excluded: bool
    segments: tuple[str, ...] = ()


class Marks(NamedTuple):
    """What the user has said about slices without drawing: the settings of these names."""

    axis: int
    empty_slices: list[int]
    excluded_slices: list[int]

    def with_annotated(self, slices: Sequence[int], drawn: Iterable[int], axis: int) -> Marks:
        """The marks once ``slices`` along ``axis`` count, as drawn or (those not in ``drawn``) as empty."""
        blank = set(slices) - set(drawn)
        empties = _with(_with(self.empty_slices, slices, False), blank, True)
        return Marks(axis, empties, _with(self.excluded_slices, slices, False))


class UserAnnotation:
    """The two nodes of the user, observed.

    Args:
        scene: its nodes are watched for removal.
        settings: holds the axis and the marks of slices, which this class changes.
        on_changed: called after the drawing or a mark has changed.
        on_removed: called with "volume", "segmentation" or "scene" when a node is gone from the scene.
        submit: runs what takes a while, see :meth:`SSLSegmentLib.loop_session.WorkerSession.submit`.

    A small drawing is looked at at once. A large one is looked at in another thread: until that is done, what is said
    of it is how it was before the last change.

    Attributes:
        volume: the volume node, or None.
        segmentation: the user's segmentation node, or None.
        revision: grows with every change of the segmentation.
    """

    def __init__(
        self,
        scene: Any,
        settings: LoopSettings,
        on_changed: Callable[[], None],
        on_removed: Callable[[str], None],
        submit: Submit,
    ) -> None:
        self._scene = scene
        self.settings = settings
        self._on_changed = on_changed
        self._on_removed = on_removed
        self.volume: Any = None
        self.segmentation: Any = None
        self.revision = 0
        self._submit = submit
        self._drawing: tuple[Any, Drawing] = (None, Drawing())
        self._looking: Any = None
        self._writing = False
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
        self._forget_drawing()
        self._on_changed()

    def set_segmentation(self, node: Any) -> None:
        """Read annotations from another segmentation. Marks and background of the former one are forgotten."""
        if self.segmentation is not None:
            self._forget_marks()
            self.settings.background_segment_id = ""  # ids like "Segment_2" are found in every segmentation
            for tag in self._node_tags:
                self.segmentation.RemoveObserver(tag)
        self.segmentation = node
        self._forget_drawing()
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

    def slices(self, axis: int | None = None) -> list[AnnotatedSlice]:
        """Every slice with a drawing or a mark, in order; along another axis than the chosen one there are no marks."""
        drawn = self._look().slices[self.axis if axis is None else axis]
        _, empty, excluded = self.marks_along(self.axis if axis is None else axis)
        return [
            AnnotatedSlice(index, index in empty, index in excluded, drawn.get(index, ()))
            for index in sorted({*empty, *excluded, *drawn})
        ]

    def drawn_slices(self) -> list[int]:
        """Slices with something drawn on them, excluded ones too."""
        return list(self._look().slices[self.axis])

    @property
    def drawing(self) -> Drawing:
        """What is drawn, as far as it was looked at."""
        return self._look()

    @property
    def known(self) -> bool:
        """Whether the drawing was looked at, now or before its last changes."""
        self._look()
        return self._drawing[0] is not None

    @property
    def up_to_date(self) -> bool:
        """Whether the drawing was looked at since it last changed."""
        self._look()
        return self._looking is None

    @property
    def problem(self) -> str:
        """Why the nodes cannot be read, as a sentence; empty where they can, and while one is missing."""
        return self._look().problem

    @property
    def lacks_background(self) -> bool:
        """Whether the segment that stands for background is gone: what is drawn would mean something else."""
        background = self.settings.background_segment_id
        node = self.segmentation
        return bool(background) and node is not None and node.GetSegmentation().GetSegment(background) is None

    def used_slices(self, axis: int | None = None) -> list[int]:
        """The slices that a training would learn from; see :meth:`slices`."""
        return [entry.index for entry in self.slices(axis) if not entry.excluded]

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

    def marks_along(self, axis: int) -> Marks:
        """The marks, which mean nothing along another axis than theirs."""
        return self.marks if axis == self.axis else Marks(axis, [], [])

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
            raise InputError(f"Slice {index + 1} is not empty: erase what is drawn on it, or exclude it.")
        _, empties, excludeds = self.marks
        self.marks = Marks(axis, _with(empties, [index], empty), _with(excludeds, [index], excluded))

    def replace(self, write: Callable[[], None], drawing: Drawing, marks: Marks) -> None:
        """Let ``write`` change the segmentation into what is known to be ``drawing`` then, and set the marks."""
        self._writing = True
        try:
            write()
            self._looking = None
            self.settings.axis, self.settings.empty_slices, self.settings.excluded_slices = marks
            self._drawing = (self._state(), drawing)
        finally:
            self._writing = False
            self._on_changed()

    def snapshot(self) -> Inputs:
        """What a training starts from, independent of the nodes from here on.

        The voxels of the volume are not copied (a large CT would hold up the viewer): they are the node's own memory,
        kept alive by the array.

        Raises:
            InputError: the nodes do not fit together, or nothing is annotated.
        """
        settings = self.settings
        background = settings.background_segment_id
        read = mrml.annotation_reader(
            self.volume,
            self.segmentation,
            self.axis,
            empty_slices=settings.empty_slices,
            excluded_slices=settings.excluded_slices,
            background_segment_id=background or None,
        )
        state, geometry = drawn_state(self.segmentation), mrml.volume_geometry(self.volume)
        segments = mrml.segments_from_node(self.segmentation)
        return Inputs(
            volume_id=(self.volume.GetID(), self.volume.GetImageData().GetMTime(), geometry),
            array=mrml.scalar_voxels(self.volume),
            geometry=geometry,
            segments=tuple(segment for segment in segments if segment.segment_id != background),
            annotate=read,
            outdated=lambda: state != drawn_state(self.segmentation),
            axis=self.axis,
            settings=settings.training(),
            name=self.volume.GetName(),
        )

    def _state(self) -> Any:
        """Differs once anything has changed that the drawing depends on."""
        nodes = (self.volume, self.volume.GetImageData(), self.segmentation)
        return (self.revision, self._find_axis, *map(_state_of, nodes))

    @property
    def _find_axis(self) -> bool:
        return self.settings.axis == AUTO_AXIS

    def _look(self) -> Drawing:
        """The drawing, looked at again only after something has changed, and by one thread at a time."""
        if self.volume is None:
            return Drawing()
        if self._looking is None and not self._writing:
            state = self._state()
            if self._drawing[0] != state:
                self._begin_to_look(state)
        return self._drawing[1]

    def _begin_to_look(self, state: Any) -> None:
        try:
            geometry = mrml.volume_geometry(self.volume)
            mrml.scalar_voxels(self.volume)
            if self.segmentation is None:
                self._drawing = (state, Drawing(axis=geometry.default_axis()))
                return
            segments = mrml.segments_from_node(self.segmentation)
            layers = layers_of(self.segmentation, segments)
            to_volume = transform_between(self.segmentation, self.volume)
        except InputError as error:
            self._drawing = (state, Drawing(problem=str(error)))
            return
        if self._drawing[0] is None:
            self._drawing = (None, Drawing(axis=geometry.default_axis()))
        self._looking, ids = state, [segment.segment_id for segment in segments]
        find_axis = self._find_axis

        def seen(drawing: Drawing) -> None:
            if self._looking == state:
                self._looking, self._drawing = None, (state, drawing)
                if not at_once:
                    self._on_changed()

        def failed(error: SSLSegError) -> None:
            seen(Drawing(problem=str(error)))

        at_once = True
        voxels = sum(layer.values.size for layer in layers)
        self._submit(
            lambda: read_drawing(layers, to_volume, geometry, ids, find_axis=find_axis), seen, failed, voxels=voxels
        )
        at_once = False

    def _forget_drawing(self) -> None:
        self._drawing, self._looking = (None, Drawing()), None

    def _forget_marks(self) -> None:
        self.settings.empty_slices = []
        self.settings.excluded_slices = []

    def _on_drawn(self, *_: Any) -> None:
        self.revision += 1
        if not self._writing:
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


def _with(indices: Iterable[int], changed: Iterable[int], present: bool) -> list[int]:
    others = set(indices) - set(changed)
    return sorted(others | set(changed) if present else others)
