"""The segments of a segmentation node as class indices on any grid, and edits of them.

Slicer keeps segments in layers: label maps that several segments share, each with a label value of its own. A layer
has its own extent, and may have its own lattice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import slicer
import vtk

from sslseg.annotation import MAX_CLASSES, Segment
from sslseg.errors import InputError
from sslseg.geometry import Geometry
from SSLSegmentLib.oriented_image import (
    Box,
    bounding_box,
    box_around,
    boxed,
    grown_to_hold,
    image_grid,
    image_lattice,
    lps_transform,
    moved,
    onto,
    oriented_image,
    voxels,
)

LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()

_NOWHERE: Box = (slice(0, 0), slice(0, 0), slice(0, 0))

_Layer = tuple[slicer.vtkOrientedImageData, dict[int, int]]
"""A shared label map, and the class index for each of its label values that is asked for."""


def segments_from_node(segmentation_node: slicer.vtkMRMLSegmentationNode) -> tuple[Segment, ...]:
    """All segments in the node's order, with label values 1, 2, 3, ...

    Raises:
        InputError: more segments than there can be classes.
    """
    segmentation = segmentation_node.GetSegmentation()
    ids = segmentation.GetSegmentIDs()
    if len(ids) > MAX_CLASSES:
        raise InputError(
            f"The segmentation '{segmentation_node.GetName()}' has {len(ids)} segments and {MAX_CLASSES} is the most "
            "that can be learnt: remove some."
        )
    found = []
    for value, segment_id in enumerate(ids, start=1):
        segment = segmentation.GetSegment(segment_id)
        found.append(Segment(segment.GetName(), segment.GetColor(), value, segment_id, segment.GetTerminology()))
    return tuple(found)


def require_labelmaps(segmentation_node: slicer.vtkMRMLSegmentationNode) -> None:
    """Raise :class:`InputError` unless the segments are stored as binary label maps; nothing is converted."""
    stored_as = segmentation_node.GetSegmentation().GetSourceRepresentationName()
    if stored_as != LABELMAP:
        raise InputError(
            f"The segmentation '{segmentation_node.GetName()}' is stored as {stored_as.lower()}: create its binary "
            "label map representation and make that the source, in the Segmentations module."
        )


def labels_on_grid(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    grid: Geometry,
    segments: Sequence[Segment],
) -> np.ndarray:
    """Class indices on ``grid``: uint8 (K, J, I), 0 where nothing is painted, c for ``segments[c - 1]``.

    Where segments overlap the later one wins. The segmentation node is not changed in any way.

    Args:
        segmentation_node: the segmentation to read.
        volume_node: ``grid`` is given in its coordinates; the two nodes may be under different linear transforms.
        grid: where labels are wanted.
        segments: the classes, matched by id. One that the node lacks stays empty.

    Raises:
        InputError: the segmentation is not stored as binary label maps, or a non-linear transform is between the nodes.
    """
    labels = np.zeros(grid.shape, np.uint8)
    painted, box = labels_in_box(segmentation_node, volume_node, grid, segments)
    labels[box] = painted
    return labels


def labels_in_box(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    grid: Geometry,
    segments: Sequence[Segment],
) -> tuple[np.ndarray, Box]:
    """:func:`labels_on_grid` where anything can be painted, which is much faster in a large volume.

    Returns:
        The labels in a box of ``grid``, and the box; it is empty where nothing is painted.
    """
    to_volume = transform_between(segmentation_node, volume_node)
    found = []
    for image, classes in _layers(segmentation_node, segments):
        layer = moved(image_grid(image, image_lattice(image)), to_volume)
        box = box_around(layer, grid) if image.GetNumberOfPoints() > 0 else _NOWHERE
        if all(part.start < part.stop for part in box):
            found.append((_lookup(classes, np.uint8)[_label_values(voxels(image))], layer, box))
    box = _union([box for _, _, box in found])
    part = boxed(grid, box)
    labels = np.zeros(part.shape, np.uint8)
    for values, layer, _ in found:
        np.maximum(labels, onto(values, layer, part), out=labels)
    return labels, box


def replace_labels(
    segmentation_node: slicer.vtkMRMLSegmentationNode, edit: np.ndarray, grid: Geometry, segments: Sequence[Segment]
) -> None:
    """Set what each voxel of ``grid`` belongs to, among ``segments``; all other segments and voxels stay.

    Args:
        segmentation_node: the segmentation to change; each segment keeps the lattice that it is stored on.
        edit: uint8 (K, J, I); 0 leaves the voxel as it is, 1 takes it from ``segments``, c + 1 gives it to
            ``segments[c - 1]``.
        grid: where ``edit`` lies, in the segmentation node's own coordinates.
        segments: the segments concerned. ``edit`` gives nothing to those that the node lacks.
    """
    changed = bounding_box(edit)
    if changed is None:
        return
    here = edit[changed], boxed(grid, changed)
    room = boxed(grid, bounding_box(edit > 1) or changed)
    segmentation = segmentation_node.GetSegmentation()
    in_the_way: set[int] = set()
    while True:
        # Segments that are not listed keep their voxels: one that is about to be painted over them gets its own layer.
        for index in in_the_way:
            segmentation.SeparateSegmentLabelmap(segments[index - 1].segment_id)
        layers = [
            (image, classes, _sharing(segmentation, image)) for image, classes in _layers(segmentation_node, segments)
        ]
        edited = [_with_room(image, room, grid) for image, _, _ in layers]
        in_the_way = set()
        for image, (_, classes, sharing) in zip(edited, layers, strict=True):
            in_the_way |= _paint(image, classes, set(sharing.values()) - classes.keys(), *here)
        if not in_the_way:
            break
    for image, (_, _, sharing) in zip(edited, layers, strict=True):
        set_layer(segmentation, sharing, image)


def set_layer(
    segmentation: slicer.vtkSegmentation, segment_ids: Iterable[str], image: slicer.vtkOrientedImageData
) -> None:
    """Let ``segment_ids`` share the label map ``image``, and tell the views."""
    for segment_id in segment_ids:
        segmentation.GetSegment(segment_id).AddRepresentation(LABELMAP, image)
    image.Modified()  # a replaced representation alone neither redraws 2-D views nor drops surfaces made of the old one


def transform_between(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> np.ndarray:
    """The 4 x 4 matrix (LPS) from the coordinates of one node to those of the other, by their parent transforms.

    Raises:
        InputError: they are under different transforms, and one is not linear.
    """
    parents = segmentation_node.GetParentTransformNode(), volume_node.GetParentTransformNode()
    if parents[0] is parents[1]:
        return np.eye(4)
    if not all(parent is None or parent.IsTransformToWorldLinear() for parent in parents):
        raise InputError(
            f"The segmentation '{segmentation_node.GetName()}' and the volume '{volume_node.GetName()}' are under "
            "different transforms, one of them not linear: harden it, or put both under the same transform."
        )
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(*parents, matrix)
    return lps_transform(matrix)


def fingerprint(segmentation_node: slicer.vtkMRMLSegmentationNode) -> str:
    """A digest of all that the user made: segments, names, colours, terminology, voxels, extents and geometry.

    Surfaces that a 3-D view derives from the label maps do not count, nor does how segments are shown.

    Raises:
        InputError: the segmentation is not stored as binary label maps.
    """
    segments = segments_from_node(segmentation_node)
    parameters = segmentation_node.GetSegmentation().SerializeAllConversionParameters()
    digest = hashlib.blake2b(repr((segments, parameters)).encode("utf-8"), digest_size=16)
    for image, classes in _layers(segmentation_node, segments):
        lies = image.GetExtent(), image_lattice(image), image.GetScalarTypeAsString()
        digest.update(repr((classes, lies)).encode("utf-8"))
        if image.GetNumberOfPoints() > 0:
            digest.update(voxels(image).data)
    return digest.hexdigest()


def _union(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of ``boxes``."""
    if not boxes:
        return _NOWHERE
    k, j, i = (slice(min(p.start for p in parts), max(p.stop for p in parts)) for parts in zip(*boxes, strict=True))
    return k, j, i


def _layers(segmentation_node: slicer.vtkMRMLSegmentationNode, segments: Sequence[Segment]) -> list[_Layer]:
    require_labelmaps(segmentation_node)
    segmentation = segmentation_node.GetSegmentation()
    layers: dict[slicer.vtkOrientedImageData, dict[int, int]] = {}
    for index, segment in enumerate(segments, start=1):
        stored = segmentation.GetSegment(segment.segment_id)
        image = stored.GetRepresentation(LABELMAP) if stored else None
        if image is not None:
            layers.setdefault(image, {})[stored.GetLabelValue()] = index
    return list(layers.items())


def _label_values(array: np.ndarray) -> np.ndarray:
    """Voxels of a layer, usable as indices of a lookup table."""
    return array if array.dtype == np.uint8 else np.clip(array, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _lookup(pairs: dict[int, int], dtype: type) -> np.ndarray:
    """A table for all values that a layer may hold: 0 but at the keys of ``pairs``."""
    table: np.ndarray = np.zeros(np.iinfo(np.uint16).max + 1, dtype)
    table[list(pairs.keys())] = list(pairs.values())
    return table


def _with_room(image: slicer.vtkOrientedImageData, room: Geometry, volume: Geometry) -> slicer.vtkOrientedImageData:
    """A copy of a layer, large enough to paint in ``room``; one that is still empty is put on the volume's lattice."""
    if image.GetNumberOfPoints() == 0:
        return oriented_image(np.zeros(room.shape, np.uint8), room, volume)
    lattice = image_lattice(image)
    grid = image_grid(image, lattice)
    larger = grown_to_hold(grid, room)
    return oriented_image(onto(voxels(image), grid, larger), larger, lattice)


def _sharing(segmentation: slicer.vtkSegmentation, image: slicer.vtkOrientedImageData) -> dict[str, int]:
    """The ids of the segments in a layer, with their label values."""
    stored = {segment_id: segmentation.GetSegment(segment_id) for segment_id in segmentation.GetSegmentIDs()}
    return {i: segment.GetLabelValue() for i, segment in stored.items() if segment.GetRepresentation(LABELMAP) is image}


def _paint(
    image: slicer.vtkOrientedImageData, classes: dict[int, int], others: set[int], edit: np.ndarray, grid: Geometry
) -> set[int]:
    """Edit a layer, and tell the classes that were painted over ``others``, the values of segments not to be edited."""
    layer = image_grid(image, image_lattice(image))
    box = box_around(grid, layer)
    labels, edit = voxels(image)[box], onto(edit, grid, boxed(layer, box))
    labels[(edit > 0) & _lookup(dict.fromkeys(classes, 1), np.bool_)[_label_values(labels)]] = 0
    painted = _lookup({index + 1: value for value, index in classes.items()}, labels.dtype.type)[edit]
    new = painted > 0
    spoiled = edit[new & _lookup(dict.fromkeys(others, 1), np.bool_)[_label_values(labels)]] if others else edit[:0]
    np.copyto(labels, painted, where=new)
    return {int(index) - 1 for index in np.unique(spoiled)}
