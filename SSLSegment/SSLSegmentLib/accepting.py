"""Copying slices of a prediction into the user's segmentation: look at the nodes, work in any thread, write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from sslseg.annotation import Segment, check_slices, slice_index
from SSLSegmentLib.drawing import Drawing, read_drawing
from SSLSegmentLib.layers import EditedLayer, Layer, edited, layer_of
from SSLSegmentLib.mrml import checked_geometry
from SSLSegmentLib.oriented_image import boxed, moved
from SSLSegmentLib.segments import (
    LABELMAP,
    drawn_state,
    layers_of,
    segments_from_node,
    set_layer,
    transform_between,
    write_layers,
)

SAVE = ("SaveStateForUndo", "saveStateForUndo", "SaveState")
UNDO = ("Undo", "undo", "RestorePreviousState")


class Accepting:
    """One acceptance. In the chosen slices each of ``segments`` becomes what was predicted.

    Every other voxel, every segment that is not listed, names, colours and the order stay as they are. Segments are
    matched by id, so that a renamed one is found. Made on the main thread, which costs next to nothing.

    Args:
        segmentation_node: the user's segmentation.
        volume_node: the volume that was predicted.
        prediction_labels: uint8 (K, J, I) on the volume's grid; c stands for ``segments[c - 1]``.
        segments: the predicted classes.
        slices: indices along ``axis``.
        axis: array axis, 0 = K, 1 = J, 2 = I.

    Attributes:
        left_out: the segments that cannot be filled because the user has removed them since the prediction.
        voxels: how many have to be looked at, which says how long :meth:`work` takes.

    Raises:
        InputError: no slice, a slice that the volume does not have, another shape, label maps that are not the source,
            or a non-linear transform between the nodes.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - two nodes, what to copy, and where
        self,
        segmentation_node: slicer.vtkMRMLSegmentationNode,
        volume_node: slicer.vtkMRMLScalarVolumeNode,
        prediction_labels: np.ndarray,
        segments: Sequence[Segment],
        slices: Sequence[int],
        axis: int,
    ) -> None:
        self._node = segmentation_node
        self._geometry = checked_geometry(prediction_labels, volume_node)
        check_slices(slices, self._geometry.shape, axis)
        self._labels, self._segments, self._slices, self._axis = prediction_labels, segments, slices, axis
        self._layers: list[Layer] = layers_of(segmentation_node, segments)
        self._to_volume = transform_between(segmentation_node, volume_node)
        self._ids = [segment.segment_id for segment in segments_from_node(segmentation_node)]
        self._everything: list[Layer] = layers_of(segmentation_node, segments_from_node(segmentation_node))
        self._values = {i: value for layer in self._everything for i, value in layer.sharing.items()}
        self._state = drawn_state(segmentation_node)
        self._made: list[EditedLayer] = []
        kept = set(segmentation_node.GetSegmentation().GetSegmentIDs())
        self.left_out = tuple(segment for segment in segments if segment.segment_id not in kept)
        self.voxels = prediction_labels.size + sum(layer.values.size for layer in self._layers)

    @property
    def outdated(self) -> bool:
        """Whether the user has drawn since; to be asked on the main thread."""
        return self._state != drawn_state(self._node)

    def work(self) -> None:
        """Make the new label maps; in any thread."""
        edit_of = np.arange(1, len(self._segments) + 2, dtype=np.uint8)
        for index, segment in enumerate(self._segments, start=1):
            if segment in self.left_out:
                edit_of[index] = 1
        first, last = min(self._slices), max(self._slices)
        box = tuple(
            slice(first, last + 1) if axis == self._axis else slice(0, n) for axis, n in enumerate(self._geometry.shape)
        )
        here = slice_index([index - first for index in self._slices], self._axis)
        part = self._labels[box]
        edit = np.zeros(part.shape, np.uint8)
        edit[here] = edit_of[part[here]]
        place = moved(boxed(self._geometry, (box[0], box[1], box[2])), np.linalg.inv(self._to_volume))
        self._made = edited(self._layers, edit, place, self._segments)

    def drawing(self) -> Drawing:
        """What will be drawn once that is written; in any thread, after :meth:`work`."""
        class_of = {segment_id: index for index, segment_id in enumerate(self._ids, start=1)}
        replaced = {segment_id for layer in self._made for segment_id in layer.segment_ids}
        layers = [layer for layer in self._everything if not replaced & layer.sharing.keys()]
        for ids, image in self._made:
            layers.append(
                layer_of(image, {self._values[i]: class_of[i] for i in ids}, {i: self._values[i] for i in ids})
            )
        return read_drawing(layers, self._to_volume, self._geometry, self._ids, find_axis=False)

    def write(self, history: Any = None) -> None:
        """Put the new label maps into the segmentation; on the main thread.

        Args:
            history: the ``vtkSegmentationHistory`` of the segmentation, or what edits it
                (``vtkSlicerSegmentEditorLogic``, ``qMRMLSegmentEditorWidget``): its state is saved before the change,
                once. None: the change cannot be undone.
        """
        if history is not None:
            one_of(history, SAVE)()
        write_layers(self._node, self._made)


def accept(  # noqa: PLR0913 - two nodes, what to copy, where, and how it is undone
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    prediction_labels: np.ndarray,
    segments: Sequence[Segment],
    *,
    slices: Sequence[int],
    axis: int,
    history: Any = None,
) -> tuple[Segment, ...]:
    """All steps of :class:`Accepting` at once, for who may wait; returns the segments that were left out."""
    accepting = Accepting(segmentation_node, volume_node, prediction_labels, segments, slices, axis)
    accepting.work()
    accepting.write(history)
    return accepting.left_out


def one_of(history: Any, names: Sequence[str]) -> Any:
    """The first of several methods that ``history`` has: those of an editor, of its widget, and of a plain history."""
    return next(getattr(history, name) for name in names if hasattr(history, name))


class LayerHistory:
    """An undo history that copies nothing: accepting replaces label maps and leaves the old ones as they are.

    It restores voxels only, and only while nothing else has changed them since.

    Args:
        segmentation_node: whose label maps are kept.
    """

    def __init__(self, segmentation_node: slicer.vtkMRMLSegmentationNode) -> None:
        self._node = segmentation_node
        self._states: list[list[tuple[str, Any]]] = []

    def SaveState(self) -> None:  # noqa: N802 - as vtkSegmentationHistory calls it
        """Remember which label maps there are."""
        segmentation = self._node.GetSegmentation()
        stored = {segment_id: segmentation.GetSegment(segment_id) for segment_id in segmentation.GetSegmentIDs()}
        self._states.append([(i, segment.GetRepresentation(LABELMAP)) for i, segment in stored.items()])

    def RestorePreviousState(self) -> None:  # noqa: N802 - as vtkSegmentationHistory calls it
        """Take the label maps of the last remembered state again."""
        segmentation = self._node.GetSegmentation()
        replaced: dict[Any, list[str]] = {}
        for segment_id, image in self._states.pop():
            if segmentation.GetSegment(segment_id).GetRepresentation(LABELMAP) is not image:
                replaced.setdefault(image, []).append(segment_id)
        for image, segment_ids in replaced.items():
            set_layer(segmentation, segment_ids, image)
