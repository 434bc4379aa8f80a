"""Volumes and the user's segmentation as arrays, voxel-exact on every kind of grid."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from mrml_cases import KIDNEY, LABELMAP, linear_transform, masks_of, some_labels

from sslseg.annotation import IGNORE, Segment
from sslseg.errors import InputError
from sslseg.geometry import Geometry
from SSLSegmentLib import mrml

# --- volumes


def test_volume_is_what_itk_reads_from_slicers_own_file(add_volume, geometry, tmp_path):
    array = np.random.default_rng(1).normal(size=geometry.shape).astype(np.float32)
    node = add_volume(array, geometry)
    path = tmp_path / "saved.nrrd"
    storage = node.CreateDefaultStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(node)
    image = sitk.ReadImage(str(path))
    volume = mrml.volume_from_node(node)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image))
    assert volume.array.dtype == np.float32
    for corner in ((0, 0, 0), tuple(n - 1 for n in image.GetSize())):
        np.testing.assert_allclose(
            (volume.geometry.affine @ (*corner, 1))[:3], image.TransformIndexToPhysicalPoint(corner), atol=1e-4
        )
    assert geometry.difference(volume.geometry) is None


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 4, 5), 7, np.int16), "'scan' has the same value in every voxel"),
        (np.array([[[0.0, 1.0], [np.nan, 2.0]]], np.float32), "'scan' has voxels that are NaN or infinite"),
        (np.array([[[0.0, 1.0], [np.inf, 2.0]]], np.float32), "'scan' has voxels that are NaN or infinite"),
    ],
)
def test_useless_volume_is_refused(add_volume, array, message):
    with pytest.raises(InputError, match=message):
        mrml.volume_from_node(add_volume(array, Geometry(array.shape), "scan"))


def test_volume_without_image_and_colour_volume_are_refused(scene):
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(InputError, match="'nothing' holds no image"):
        mrml.volume_from_node(empty)
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 3, 2)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colour.SetAndObserveImageData(image)
    with pytest.raises(InputError, match="'photo' has 3 values in each voxel"):
        mrml.volume_from_node(colour)


# --- reading a segmentation


@pytest.mark.parametrize("shared", [False, True])
def test_classes_are_voxel_exact(add_volume, add_segmentation, geometry, shared):
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    labels = some_labels(geometry.shape, n=3)
    node = add_segmentation(volume, masks_of(labels), shared=shared)
    assert node.GetSegmentation().GetNumberOfLayers() == (1 if shared else 3)
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)
    for value, segment_id in enumerate(masks_of(labels), start=1):
        of_slicer = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
        np.testing.assert_array_equal(of_slicer > 0, labels == value)


def test_cropped_extents_are_put_where_they_belong(volume, labels, add_segmentation):
    node = add_segmentation(volume, masks_of(labels))
    stored = node.GetSegmentation().GetNthSegment(0).GetRepresentation(LABELMAP)
    assert min(stored.GetExtent()[::2]) > 0, "the case is not a cropped one"
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)


def test_later_segment_wins_where_they_overlap(volume, labels, add_segmentation):
    masks = {"organ": labels > 0, "lesion": labels == 2}
    node = add_segmentation(volume, masks)
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)
    organ, lesion = mrml.segments_from_node(node)
    np.testing.assert_array_equal(mrml.class_array(node, volume, (lesion, organ)), np.where(labels > 0, 2, 0))
    np.testing.assert_array_equal(mrml.class_array(node, volume, (lesion,)), labels == 2)
    missing = Segment("gone", (0, 0, 0), 1, "no such id")
    np.testing.assert_array_equal(mrml.class_array(node, volume, (missing, lesion)), 2 * (labels == 2))


@pytest.mark.parametrize("other", ["flipped", "permuted", "finer", "coarser and turned"])
def test_segmentation_on_another_lattice(add_volume, add_segmentation, volume, other):
    geometry = mrml.volume_geometry(volume)
    affine = geometry.affine
    shapes = {"flipped": (6, 12, 10), "permuted": (12, 10, 6), "finer": (12, 24, 20), "coarser and turned": (9, 9, 9)}
    k, i = geometry.shape[0] - 1, geometry.shape[2] - 1
    changes = {
        "flipped": [[-1, 0, 0, i], [0, 1, 0, 0], [0, 0, -1, k], [0, 0, 0, 1]],
        "permuted": [[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]],
        "finer": [[0.5, 0, 0, -0.23], [0, 0.5, 0, -0.27], [0, 0, 0.5, -0.26], [0, 0, 0, 1]],
        "coarser and turned": [[1, -0.5, 0.1, 3], [0.5, 1, 0, -2], [0, 0.1, 0.8, -1], [0, 0, 0, 1]],
    }
    lattice = Geometry.from_affine(shapes[other], affine @ changes[other])
    stored = some_labels(lattice.shape)
    node = add_segmentation(add_volume(np.zeros(lattice.shape, np.int16), lattice, "other"), masks_of(stored))
    index = np.indices(geometry.shape)[::-1].reshape(3, -1)
    at = np.rint(np.linalg.solve(lattice.affine, affine @ np.vstack([index, np.ones(index.shape[1])])))[2::-1].astype(
        int
    )
    inside = (at >= 0).all(axis=0) & (at < np.reshape(lattice.shape, (3, 1))).all(axis=0)
    expected = np.zeros(index.shape[1], np.uint8)
    expected[inside] = stored[tuple(at[:, inside])]
    np.testing.assert_array_equal(mrml.class_array(node, volume), expected.reshape(geometry.shape))


def test_segmentation_is_read_as_seen_when_only_the_volume_is_moved(scene, volume, labels, add_segmentation):
    geometry = mrml.volume_geometry(volume)
    moved = np.eye(4)
    moved[:3, 3] = (geometry.affine @ (1, -2, 1, 0))[:3]  # one column, two rows and a slice on
    node = add_segmentation(volume, masks_of(labels))
    volume.SetAndObserveTransformNodeID(linear_transform(scene, moved).GetID())
    expected = np.zeros_like(labels)
    expected[:-1, 2:, :-1] = labels[1:, :-2, 1:]
    np.testing.assert_array_equal(mrml.class_array(node, volume), expected)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)
    assert geometry.difference(mrml.volume_geometry(volume)) is None


def test_non_linear_transform_matters_only_between_the_nodes(scene, volume, labels, add_segmentation):
    node = add_segmentation(volume, masks_of(labels))
    warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    volume.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(InputError, match="harden it, or put both under the same transform"):
        mrml.class_array(node, volume)
    node.SetAndObserveTransformNodeID(warp.GetID())
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)


def test_surface_segmentation_is_refused_and_not_converted(volume, labels, add_segmentation):
    node = add_segmentation(volume, masks_of(labels))
    node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface()
    segmentation = node.GetSegmentation()
    segmentation.RemoveRepresentation(LABELMAP)
    with pytest.raises(InputError, match="stored as closed surface: create its binary label map"):
        mrml.class_array(node, volume)
    assert not segmentation.ContainsRepresentation(LABELMAP)


def test_segment_names_colours_and_terminology(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "s")
    node.GetSegmentation().AddEmptySegment("a", "Nœud", (0.25, 0.5, 0.75))
    node.GetSegmentation().GetSegment("a").SetTerminology(KIDNEY)
    node.GetSegmentation().AddEmptySegment("b", "B", (1.0, 0.0, 0.0))
    node.GetSegmentation().GetSegment("b").SetTerminology("")
    assert mrml.segments_from_node(node) == (
        Segment("Nœud", (0.25, 0.5, 0.75), 1, "a", KIDNEY),
        Segment("B", (1.0, 0.0, 0.0), 2, "b", ""),
    )


def test_too_many_segments_are_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "many")
    for _ in range(255):
        node.GetSegmentation().AddEmptySegment()
    with pytest.raises(InputError, match="'many' has 255 segments and 254 is the most"):
        mrml.segments_from_node(node)


# --- annotation


def test_painted_and_empty_slices_are_annotated_as_a_whole(volume, add_segmentation):
    labels = np.zeros(mrml.volume_geometry(volume).shape, np.uint8)
    labels[1, 2:5, 3:6], labels[4, 5:7, 1:3], labels[3, 0, 0] = 1, 2, 1
    node = add_segmentation(volume, masks_of(labels))
    annotation = mrml.annotation_from_nodes(volume, node, 0, empty_slices=[5], excluded_slices=[3])
    expected = np.full(labels.shape, IGNORE, np.uint8)
    expected[[1, 4]], expected[5] = labels[[1, 4]], 0
    np.testing.assert_array_equal(annotation.labels, expected)
    assert (annotation.labels.dtype, annotation.n_classes) == (np.uint8, 3)
    assert annotation.annotated_slices(0) == [1, 4, 5]
    assert annotation.empty_slices(0) == [5]


def test_slices_along_another_axis(volume, add_segmentation):
    labels = np.zeros(mrml.volume_geometry(volume).shape, np.uint8)
    labels[:3, :4, 7] = 1
    node = add_segmentation(volume, masks_of(labels))
    annotation = mrml.annotation_from_nodes(volume, node, 2, empty_slices=[0])
    assert annotation.annotated_slices(2) == [0, 7]
    np.testing.assert_array_equal(annotation.labels[:, :, 7], labels[:, :, 7])


def test_scribbles_with_a_background_segment(volume, add_segmentation):
    labels = np.zeros(mrml.volume_geometry(volume).shape, np.uint8)
    labels[1, 2, 3:6], labels[1, 5, 1:9], labels[2, 7, 2:4] = 1, 2, 3
    node = add_segmentation(volume, masks_of(labels, ("organ", "outside", "lesion")))
    annotation = mrml.annotation_from_nodes(volume, node, 0, background_segment_id="outside", empty_slices=[5])
    expected = np.array([IGNORE, 1, 0, 2], np.uint8)[labels]
    expected[5] = 0
    np.testing.assert_array_equal(annotation.labels, expected)
    assert [segment.segment_id for segment in annotation.segments] == ["organ", "lesion"]


@pytest.mark.parametrize("named", ["empty_slices", "excluded_slices"])
def test_slice_that_does_not_exist_is_refused(volume, labels, add_segmentation, named):
    node = add_segmentation(volume, masks_of(labels))
    with pytest.raises(InputError, match="Slice 6 does not exist"):
        mrml.annotation_from_nodes(volume, node, 0, **{named: [6]})
