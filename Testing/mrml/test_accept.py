"""Slices of a prediction copied into the user's segmentation: nothing else changes, and it can be undone."""

import numpy as np
import pytest
import slicer
from mrml_cases import LABELMAP, SURFACE, masks_of, some_labels

from sslseg.errors import InputError
from sslseg.geometry import Geometry
from SSLSegmentLib import mrml
from SSLSegmentLib.accepting import accept
from SSLSegmentLib.oriented_image import voxels


def accepted(before, prediction, slices, axis):
    """The slow, obvious way: voxel after voxel of the slices named."""
    after = before.copy()
    for index in np.ndindex(before.shape):
        if index[axis] in slices:
            after[index] = prediction[index]
    return after


@pytest.mark.parametrize(("slices", "axis"), [([2], 0), ([0, 3, 5], 0), ([4, 5], 1), ([9], 2), (range(10), 2)])
@pytest.mark.parametrize("shared", [False, True])
def test_accept_copies_slices_and_nothing_else(volume, labels, add_segmentation, slices, axis, shared):
    node = add_segmentation(volume, masks_of(labels), shared=shared)
    prediction = np.random.default_rng(3).integers(0, 3, labels.shape).astype(np.uint8)
    segments = mrml.segments_from_node(node)
    assert accept(node, volume, prediction, segments, slices=slices, axis=axis) == ()
    np.testing.assert_array_equal(mrml.class_array(node, volume), accepted(labels, prediction, slices, axis))
    assert mrml.segments_from_node(node) == segments
    for segment in segments:
        of_slicer = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment.segment_id, volume)
        expected = accepted(labels, prediction, slices, axis) == segment.label_value
        np.testing.assert_array_equal(of_slicer > 0, expected)


def test_accept_is_one_undo_step_and_undo_restores_every_byte(volume, labels, add_segmentation, history):
    node = add_segmentation(volume, masks_of(labels), shared=True)
    history.SetSegmentation(node.GetSegmentation())
    before = mrml.fingerprint(node)
    accept(node, volume, labels[::-1], mrml.segments_from_node(node), slices=[0, 1, 4], axis=0, history=history)
    after = mrml.fingerprint(node)
    assert after != before
    assert history.RestorePreviousState()
    assert mrml.fingerprint(node) == before
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)
    assert not history.IsRestorePreviousStateAvailable()
    assert history.RestoreNextState()
    assert mrml.fingerprint(node) == after


def test_accept_is_one_step_in_the_history_of_slicers_editor(scene, volume, labels, add_segmentation, history):
    node = add_segmentation(volume, masks_of(labels))
    editor = slicer.vtkSlicerSegmentEditorLogic()
    editor.SetMRMLScene(scene)
    editor.SetSegmentEditorNode(scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.SetSegmentationNode(node)
    editor.SetSourceVolumeNode(volume)
    history.SetSegmentation(node.GetSegmentation())
    editor.SetSegmentationHistory(history)
    before = mrml.fingerprint(node)
    accept(node, volume, labels[::-1], mrml.segments_from_node(node), slices=[1], axis=0, history=editor)
    assert mrml.fingerprint(node) != before
    assert editor.CanUndo()
    editor.Undo()
    assert mrml.fingerprint(node) == before
    assert not editor.CanUndo()


@pytest.mark.parametrize("shared", [False, True])
def test_accept_leaves_other_segments_alone(volume, labels, add_segmentation, shared, history):
    three = some_labels(labels.shape, n=3)
    node = add_segmentation(volume, masks_of(three), shared=shared)
    history.SetSegmentation(node.GetSegmentation())
    before = mrml.fingerprint(node)
    first, second, third = mrml.segments_from_node(node)
    prediction = np.where(three == 3, 1, 2).astype(np.uint8)
    accept(node, volume, prediction, (first, third), slices=[2, 3], axis=0, history=history)
    expected = {"first": three == 1, "second": three == 2, "third": three == 3}
    expected["first"][2:4], expected["third"][2:4] = prediction[2:4] == 1, prediction[2:4] == 2
    for segment in (first, second, third):
        found = mrml.class_array(node, volume, (segment,)) > 0
        np.testing.assert_array_equal(found, expected[segment.segment_id], segment.segment_id)
    assert history.RestorePreviousState()
    assert mrml.fingerprint(node) == before


def test_accept_after_the_user_renamed_and_removed_segments(volume, labels, add_segmentation):
    node = add_segmentation(volume, masks_of(labels), shared=True)
    segments = mrml.segments_from_node(node)
    node.GetSegmentation().GetSegment("first").SetName("called otherwise")
    node.GetSegmentation().RemoveSegment("second")
    prediction = labels[::-1].copy()
    left_out = accept(node, volume, prediction, segments, slices=[1], axis=0)
    assert [segment.segment_id for segment in left_out] == ["second"]
    expected = labels == 1
    expected[1] = prediction[1] == 1
    np.testing.assert_array_equal(mrml.class_array(node, volume), expected)
    assert mrml.segments_from_node(node)[0].name == "called otherwise"


def test_accept_into_segments_that_are_still_empty(volume, labels, add_segmentation):
    nothing = np.zeros(labels.shape, bool)
    node = add_segmentation(volume, {"first": nothing, "second": nothing, "third": nothing})
    accept(node, volume, labels, mrml.segments_from_node(node), slices=range(6), axis=0)
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)


def test_accept_keeps_what_is_painted_outside_the_volume(add_volume, volume, labels, add_segmentation):
    geometry = mrml.volume_geometry(volume)
    affine = geometry.affine
    affine[:3, 3] = (affine @ (-3, -2, -1, 1))[:3]
    wider = Geometry.from_affine(tuple(n + 5 for n in geometry.shape), affine)
    painted = np.random.default_rng(4).integers(0, 3, wider.shape).astype(np.uint8)
    other = add_volume(np.zeros(wider.shape, np.int16), wider, "wider")
    node = add_segmentation(other, masks_of(painted))
    accept(node, volume, labels, mrml.segments_from_node(node), slices=[0, 5], axis=0)
    for k in (0, 5):
        painted[k + 1, 2:-3, 3:-2] = labels[k]
    np.testing.assert_array_equal(mrml.class_array(node, other), painted)


@pytest.mark.parametrize("lattice_change", [np.diag([0.5, 0.5, 0.5, 1]), np.diag([-1, -1, 1, 1])])
def test_accept_into_another_lattice_keeps_that_lattice(add_volume, volume, labels, add_segmentation, lattice_change):
    lattice = Geometry.from_affine((12, 24, 20), mrml.volume_geometry(volume).affine @ lattice_change)
    other = add_volume(np.zeros(lattice.shape, np.int16), lattice, "other")
    start = np.zeros(lattice.shape, np.uint8)
    start[2, 3:6, 2:8], start[3, 2:5, 2:6] = 1, 2
    node = add_segmentation(other, masks_of(start))
    before = mrml.class_array(node, volume)
    accept(node, volume, labels, mrml.segments_from_node(node), slices=[3], axis=0)
    np.testing.assert_array_equal(mrml.class_array(node, volume), accepted(before, labels, [3], 0))
    image = node.GetSegmentation().GetNthSegment(0).GetRepresentation(LABELMAP)
    np.testing.assert_allclose(image.GetSpacing(), lattice.spacing)
    untouched = np.array([k for k in range(12) if k not in {6, 7}] if lattice_change[0, 0] > 0 else range(12))
    np.testing.assert_array_equal(mrml.class_array(node, other)[untouched][start[untouched] > 0], start[start > 0])


def test_accept_paints_over_values_that_belong_to_no_segment(volume, labels, add_segmentation):
    node = add_segmentation(volume, {"first": labels == 1})
    image = node.GetSegmentation().GetSegment("first").GetRepresentation(LABELMAP)
    voxels(image)[voxels(image) == 0] = 9  # as in files of other programs
    prediction = (labels > 0).astype(np.uint8)
    accept(node, volume, prediction, mrml.segments_from_node(node), slices=[1, 2], axis=0)
    np.testing.assert_array_equal(mrml.class_array(node, volume), accepted(labels == 1, prediction, [1, 2], 0))


@pytest.mark.parametrize(("slices", "message"), [([], "No slice is named"), ([6], "Slice 6 does not exist")])
def test_accept_refuses_without_leaving_an_undo_step(volume, labels, add_segmentation, history, slices, message):
    node = add_segmentation(volume, masks_of(labels))
    history.SetSegmentation(node.GetSegmentation())
    with pytest.raises(InputError, match=message):
        accept(node, volume, labels, mrml.segments_from_node(node), slices=slices, axis=0, history=history)
    assert history.GetNumberOfStates() == 0


def test_accept_refuses_a_surface_segmentation_without_leaving_an_undo_step(volume, labels, add_segmentation, history):
    node = add_segmentation(volume, masks_of(labels))
    segments = mrml.segments_from_node(node)
    node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface()
    history.SetSegmentation(node.GetSegmentation())
    with pytest.raises(InputError, match="stored as closed surface"):
        accept(node, volume, labels, segments, slices=[1], axis=0, history=history)
    assert history.GetNumberOfStates() == 0


def test_accept_drops_surfaces_made_of_the_old_label_maps(volume, labels, add_segmentation):
    node = add_segmentation(volume, masks_of(labels))
    node.CreateClosedSurfaceRepresentation()
    heard = []
    node.GetSegmentation().AddObserver(slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: heard.append(1))
    accept(node, volume, labels[::-1], mrml.segments_from_node(node), slices=[1], axis=0)
    assert not node.GetSegmentation().ContainsRepresentation(SURFACE)
    assert heard
