"""The segments of a segmentation node as class indices on any grid, and edits of them.

Slicer keeps segments in layers: label maps that several segments share, each with a label value of its own. A layer
has its own extent, and may have its own lattice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import slicer
import vtk

from sslseg.annotation import MAX_CLASSES, Segment
from sslseg.errors import InputError
from sslseg.geometry import Geometry
from SSLSegmentLib.layers import EditedLayer, Layer, layer_of, painted_in_box
from SSLSegmentLib.oriented_image import lps_transform

LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


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
    to_volume = transform_between(segmentation_node, volume_node)
    painted, box = painted_in_box(layers_of(segmentation_node, segments), to_volume, grid)
    labels[box] = painted
    return labels


def layers_of(segmentation_node: slicer.vtkMRMLSegmentationNode, segments: Sequence[Segment]) -> list[Layer]:
    """The label maps that ``segments`` are stored in, as they are now; those of other segments are left out.

    Nothing is copied, so that this is fast: what reads the layers in another thread sees what is painted meanwhile, and
    may compare :func:`drawn_state` afterwards.

    Raises:
        InputError: the segmentation is not stored as binary label maps.
    """
    require_labelmaps(segmentation_node)
    segmentation = segmentation_node.GetSegmentation()
    images: dict[slicer.vtkOrientedImageData, dict[int, int]] = {}
    for index, segment in enumerate(segments, start=1):
        stored = segmentation.GetSegment(segment.segment_id)
        image = stored.GetRepresentation(LABELMAP) if stored else None
        if image is not None:
            images.setdefault(image, {})[stored.GetLabelValue()] = index
    return [layer_of(image, classes, _sharing(segmentation, image)) for image, classes in images.items()]


def drawn_state(segmentation_node: slicer.vtkMRMLSegmentationNode) -> tuple[Any, ...]:
    """Changes whenever a voxel does; a surface that is made of the label maps, or a new name, changes nothing."""
    segmentation = segmentation_node.GetSegmentation()
    images = [(i, segmentation.GetSegment(i).GetRepresentation(LABELMAP)) for i in segmentation.GetSegmentIDs()]
    return tuple((segment_id, image.GetMTime() if image else 0) for segment_id, image in images)


def write_layers(segmentation_node: slicer.vtkMRMLSegmentationNode, layers: Iterable[EditedLayer]) -> None:
    """Let the segments of a node share the label maps of ``layers``. Those that they had are left as they are."""
    for layer in layers:
        set_layer(segmentation_node.GetSegmentation(), layer.segment_ids, layer.image)


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
    for layer in layers_of(segmentation_node, segments):
        lies = layer.grid, layer.lattice, layer.values.dtype.str
        digest.update(repr((layer.classes, lies)).encode("utf-8"))
        digest.update(layer.values.data)
    return digest.hexdigest()


def _sharing(segmentation: slicer.vtkSegmentation, image: slicer.vtkOrientedImageData) -> dict[str, int]:
    """The ids of the segments in a layer, with their label values."""
    stored = {segment_id: segmentation.GetSegment(segment_id) for segment_id in segmentation.GetSegmentIDs()}
    return {i: segment.GetLabelValue() for i, segment in stored.items() if segment.GetRepresentation(LABELMAP) is image}
