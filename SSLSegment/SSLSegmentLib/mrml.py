"""MRML nodes in, numpy arrays out, and back: volumes, the user's segmentation, predictions.

Everything here works in desktop Slicer (5.12 or newer) and on slicer-core, on the main thread only, without Qt.

Transforms: a volume is always read on its own voxel grid, whatever transform it is under. A segmentation under
another *linear* transform than the volume is brought onto that grid as the views show it; nodes made here are put
under the volume's transform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import slicer
import vtk

from sslseg.annotation import IGNORE, Annotation, Segment, check_slices, slice_index
from sslseg.errors import InputError
from sslseg.geometry import Geometry
from sslseg.volume import Volume
from SSLSegmentLib.layers import painted_in_box
from SSLSegmentLib.oriented_image import (
    fill_image,
    image_grid,
    label_image,
    lps_affine,
    ras_matrix,
    shared_image,
    voxels,
)
from SSLSegmentLib.segments import (
    LABELMAP,
    fingerprint,
    labels_on_grid,
    layers_of,
    segments_from_node,
    set_layer,
    transform_between,
)

__all__ = [
    "annotation_from_nodes",
    "annotation_reader",
    "checked_geometry",
    "class_array",
    "fill_segmentation",
    "fill_volume",
    "fingerprint",
    "scalar_voxels",
    "segments_from_node",
    "show_prediction",
    "show_surfaces",
    "show_uncertainty",
    "volume_from_node",
    "volume_geometry",
]

CLOSED_SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()

UNCERTAINTY_COLORS = "vtkMRMLColorTableNodeIron"
SHOWN_UNCERTAINTY = 15
"""Voxels below this percentage are transparent, so that the anatomy can be seen where the model is sure."""


def volume_geometry(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Geometry:
    """The voxel grid of a volume node, in LPS, without its parent transform.

    Raises:
        InputError: the node holds no image.
    """
    image = volume_node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise InputError(f"The volume '{volume_node.GetName()}' holds no image: choose another volume.")
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return image_grid(image, Geometry.from_affine((1, 1, 1), lps_affine(matrix)))


def scalar_voxels(volume_node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """The voxels of a scalar volume as a (K, J, I) view of the node's own memory, in its own type: don't write to it.

    Raises:
        InputError: no image, or more than one value in each voxel.
    """
    volume_geometry(volume_node)
    components = volume_node.GetImageData().GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            f"The volume '{volume_node.GetName()}' has {components} values in each voxel (a colour or vector image): "
            "choose a volume with one value in each voxel."
        )
    return voxels(volume_node.GetImageData())


def volume_from_node(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """A float32 copy of a scalar volume node.

    Raises:
        InputError: no image, more than one value in each voxel, NaN or infinite values, or a constant image.
    """
    array, name = scalar_voxels(volume_node).astype(np.float32), volume_node.GetName()
    if not np.isfinite(array).all():
        raise InputError(f"The volume '{name}' has voxels that are NaN or infinite: replace them first.")
    if array.min() == array.max():
        raise InputError(f"The volume '{name}' has the same value in every voxel: choose another volume.")
    return Volume(array, volume_geometry(volume_node), name)


def fill_volume(volume_node: slicer.vtkMRMLScalarVolumeNode, array: np.ndarray, geometry: Geometry) -> None:
    """Make a copy of ``array`` (K, J, I) the image of a scalar volume node, and tell the views."""
    image = volume_node.GetImageData() or vtk.vtkImageData()
    fill_image(image, array)
    volume_node.SetIJKToRASMatrix(ras_matrix(geometry.affine))
    volume_node.SetAndObserveImageData(image)
    volume_node.StorableModified()
    volume_node.Modified()
    volume_node.InvokeEvent(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, volume_node)


def class_array(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    segments: Sequence[Segment] | None = None,
) -> np.ndarray:
    """Class indices on the volume's grid, whatever the extent, lattice or layers of the segments.

    See :func:`SSLSegmentLib.segments.labels_on_grid`; ``segments`` are all of the node where not given.
    """
    if segments is None:
        segments = segments_from_node(segmentation_node)
    return labels_on_grid(segmentation_node, volume_node, volume_geometry(volume_node), segments)


def annotation_from_nodes(
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    axis: int,
    **marks: Any,
) -> Annotation:
    """What the user has annotated; see :func:`annotation_reader`."""
    return annotation_reader(volume_node, segmentation_node, axis, **marks)()


def annotation_reader(  # noqa: PLR0913 - the nodes, and one argument for each way to say what is known
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    axis: int,
    *,
    empty_slices: Sequence[int] = (),
    excluded_slices: Sequence[int] = (),
    background_segment_id: str | None = None,
) -> Callable[[], Annotation]:
    """A function that reads what the user has annotated, for a thread that may take its time over a large volume.

    A slice with any painted voxel is annotated as a whole: what is not painted there is background. With a background
    segment only painted voxels are annotated (scribbles), and that segment means background.

    Args:
        volume_node: gives the grid.
        segmentation_node: the user's segmentation; it is only read.
        axis: the array axis (0 = K, 1 = J, 2 = I) along which slices are drawn.
        empty_slices: slices that were looked at and hold no structure.
        excluded_slices: slices that are not used, whatever is painted there.
        background_segment_id: the segment that means background; None where whole slices are annotated.

    Raises:
        InputError: a slice index that the volume does not have, or see :func:`class_array`.
    """
    geometry = volume_geometry(volume_node)
    for named in (empty_slices, excluded_slices):
        if named:
            check_slices(named, geometry.shape, axis)
    everything = segments_from_node(segmentation_node)
    layers, to_volume = layers_of(segmentation_node, everything), transform_between(segmentation_node, volume_node)
    segments = tuple(segment for segment in everything if segment.segment_id != background_segment_id)
    class_of = np.zeros(len(everything) + 1, np.uint8)
    class_of[[segment.label_value for segment in segments]] = np.arange(1, len(segments) + 1)
    empty, excluded = list(empty_slices), list(excluded_slices)

    def read() -> Annotation:
        painted, box = painted_in_box(layers, to_volume, geometry)
        labels = np.full(geometry.shape, IGNORE, np.uint8)
        labels[slice_index(empty, axis)] = 0
        for index in map(int, np.flatnonzero(painted.any(axis=tuple(a for a in range(3) if a != axis)))):
            if background_segment_id is None:
                labels[slice_index(box[axis].start + index, axis)] = 0
            plane, target = (array[slice_index(index, axis)] for array in (painted, labels[box]))
            np.copyto(target, class_of[plane], where=plane > 0)
        labels[slice_index(excluded, axis)] = IGNORE
        return Annotation(labels, geometry, segments)

    return read


def show_prediction(  # noqa: PLR0913 - what to show, and as which node
    scene: slicer.vtkMRMLScene,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    labels: np.ndarray,
    segments: Sequence[Segment],
    *,
    node: slicer.vtkMRMLSegmentationNode | None = None,
    name: str = "Prediction",
    image: slicer.vtkOrientedImageData | None = None,
) -> slicer.vtkMRMLSegmentationNode:
    """Write class indices into a segmentation node of their own.

    Args:
        scene: where a new node goes.
        volume_node: gives the grid and the parent transform.
        labels: uint8 (K, J, I) on the volume's grid; c stands for ``segments[c - 1]``.
        segments: ids, names, colours and terminology, as in the user's segmentation.
        node: an earlier prediction, updated in place with its display as the user set it; None makes a new one.
        name: of a new node.
        image: what :func:`~SSLSegmentLib.oriented_image.label_image` made of the labels in another thread, if it did.

    Returns:
        The node. All segments share one layer, cropped to what is not background.

    Raises:
        InputError: the labels have another shape than the volume.
    """
    if node is None:
        checked_geometry(labels, volume_node)
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        _show_lightly(node)
    fill_segmentation(node, volume_node, labels, segments, image)
    return node


def fill_segmentation(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    labels: np.ndarray,
    segments: Sequence[Segment],
    image: slicer.vtkOrientedImageData | None = None,
) -> None:
    """Make ``segments`` all that a segmentation node holds, in one layer; see :func:`show_prediction`.

    Raises:
        InputError: the labels have another shape than the volume.
    """
    geometry = checked_geometry(labels, volume_node)
    segmentation_node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    segmentation = segmentation_node.GetSegmentation()
    segmentation.InvalidateNonSourceRepresentations()  # else new segments would be converted to surfaces at once
    wanted = [segment.segment_id for segment in segments]
    unwanted = set(segmentation.GetSegmentIDs()) - set(wanted)
    empty_segments(segmentation_node, unwanted)
    for segment_id in unwanted:
        segmentation.RemoveSegment(segment_id)
    for value, segment in enumerate(segments, start=1):
        if segmentation.GetSegment(segment.segment_id) is None:
            segmentation.AddSegment(slicer.vtkSegment(), segment.segment_id)
        target = segmentation.GetSegment(segment.segment_id)
        target.SetName(segment.name)
        target.SetColor(segment.color)
        if segment.terminology:
            target.SetTerminology(segment.terminology)
        else:
            target.RemoveTag(target.GetTerminologyEntryTagName())  # other readers stumble over an empty one
        target.SetLabelValue(value)
    segmentation.ReorderSegments(wanted)
    set_layer(segmentation, wanted, image or label_image(labels, geometry))


def empty_segments(segmentation_node: slicer.vtkMRMLSegmentationNode, segment_ids: Iterable[str]) -> None:
    """Take the label maps from segments that are about to go: Slicer would first erase each of them voxel by voxel."""
    for segment_id in segment_ids:
        segmentation_node.GetSegmentation().GetSegment(segment_id).RemoveRepresentation(LABELMAP)


def show_surfaces(node: slicer.vtkMRMLSegmentationNode, surfaces: Sequence[vtk.vtkPolyData]) -> None:
    """Give the segments of a prediction their surfaces, in their order."""
    segmentation = node.GetSegmentation()
    for segment_id, surface in zip(segmentation.GetSegmentIDs(), surfaces, strict=True):
        segmentation.GetSegment(segment_id).AddRepresentation(CLOSED_SURFACE, surface)
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)


def show_uncertainty(
    scene: slicer.vtkMRMLScene,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    uncertainty: np.ndarray,
    *,
    node: slicer.vtkMRMLScalarVolumeNode | None = None,
    name: str = "Uncertainty",
) -> slicer.vtkMRMLScalarVolumeNode:
    """Let a scalar volume node show an uncertainty map, to be laid over the volume as a foreground.

    Args:
        scene: where a new node goes.
        volume_node: gives the grid and the parent transform.
        uncertainty: uint8 (K, J, I) on the volume's grid, 0 (sure) to 100 percent; the node shares its memory.
        node: an earlier map, updated in place with its display as the user set it; None makes a new one.
        name: of a new node.

    Returns:
        The node: dark red to white, transparent below :data:`SHOWN_UNCERTAINTY`. No view is made to show it.

    Raises:
        InputError: the map has another shape than the volume.
    """
    geometry = checked_geometry(uncertainty, volume_node)
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        _show_as_heat(node)
    node.SetIJKToRASMatrix(ras_matrix(geometry.affine))
    node.SetAndObserveImageData(shared_image(uncertainty))
    node.StorableModified()
    node.Modified()
    node.InvokeEvent(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, node)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    return node


def checked_geometry(array: np.ndarray, volume_node: slicer.vtkMRMLScalarVolumeNode) -> Geometry:
    """The grid of a volume that ``array`` (K, J, I) belongs to.

    Raises:
        InputError: the array has another shape.
    """
    geometry = volume_geometry(volume_node)
    if array.shape != geometry.shape:
        raise InputError(
            f"A map of {array.shape} voxels does not fit the volume '{volume_node.GetName()}' of {geometry.shape}: "
            "predict that volume again."
        )
    return geometry


def _show_lightly(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Clear outlines and a faint fill, so that the user's own segments stay the stronger ones."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.2)
    display.SetSliceIntersectionThickness(2)


def _show_as_heat(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Before the node has voxels: Slicer would look through all of them for a good window."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(UNCERTAINTY_COLORS)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 100)
    display.SetThreshold(SHOWN_UNCERTAINTY, 100)
    display.ApplyThresholdOn()
