"""Predictions in nodes of their own, never at the cost of the user's segmentation."""

import numpy as np
import pytest
import slicer
from mrml_cases import KIDNEY, LABELMAP, SURFACE, linear_transform, masks_of, some_labels, some_segments

from sslseg.annotation import Segment
from sslseg.errors import InputError
from SSLSegmentLib import mrml
from SSLSegmentLib.accepting import accept


def test_prediction_comes_back_on_every_grid(scene, add_volume, geometry):
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    labels = some_labels(geometry.shape)
    node = mrml.show_prediction(scene, volume, labels, some_segments())
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)
    for segment in some_segments():
        of_slicer = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment.segment_id, volume)
        np.testing.assert_array_equal(of_slicer > 0, labels == segment.label_value)
    assert mrml.segments_from_node(node) == some_segments()
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume


def test_prediction_is_updated_in_place(scene, volume, labels):
    node = mrml.show_prediction(scene, volume, labels, some_segments(2))
    node.GetDisplayNode().SetOpacity2DFill(0.77)
    node.CreateClosedSurfaceRepresentation()
    heard = []
    node.GetSegmentation().AddObserver(slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: heard.append(1))
    now = (Segment("new", (1, 0, 0), 1, "id9", KIDNEY), Segment("renamed", (0, 1, 0), 2, "id1"))
    other = some_labels(labels.shape, seed=5)
    again = mrml.show_prediction(scene, volume, other, now, node=node)
    assert again is node
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert mrml.segments_from_node(node) == now
    np.testing.assert_array_equal(mrml.class_array(node, volume), other)
    assert node.GetDisplayNode().GetOpacity2DFill() == pytest.approx(0.77)
    assert not node.GetSegmentation().ContainsRepresentation(SURFACE), "a surface of the old prediction is still shown"
    assert heard


def test_prediction_of_background_only(scene, volume, labels):
    node = mrml.show_prediction(scene, volume, np.zeros_like(labels), some_segments())
    assert not mrml.class_array(node, volume).any()
    assert len(mrml.segments_from_node(node)) == 2


@pytest.mark.parametrize("dtype", [np.int64, bool, np.float32])
def test_labels_of_any_type_are_taken(scene, volume, labels, dtype):
    node = mrml.show_prediction(scene, volume, (labels == 1).astype(dtype), some_segments(1))
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels == 1)


def test_as_many_segments_as_there_can_be(scene, volume, labels):
    many = (np.arange(labels.size) % 255).astype(np.uint8).reshape(labels.shape)
    node = mrml.show_prediction(scene, volume, many, some_segments(254))
    np.testing.assert_array_equal(mrml.class_array(node, volume), many)
    accept(node, volume, many[::-1], mrml.segments_from_node(node), slices=[0, 3], axis=0)
    expected = many.copy()
    expected[[0, 3]] = many[::-1][[0, 3]]
    np.testing.assert_array_equal(mrml.class_array(node, volume), expected)


def test_prediction_follows_the_volumes_transform(scene, volume, labels):
    lps = np.eye(4)
    lps[:3, 3] = 5, 6, 7
    transform = linear_transform(scene, lps)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = mrml.show_prediction(scene, volume, labels, some_segments())
    assert node.GetParentTransformNode() is transform
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)


def test_map_of_another_shape_is_refused_and_no_node_is_left(scene, volume, labels):
    for show, extra in ((mrml.show_prediction, [some_segments()]), (mrml.show_uncertainty, [])):
        before = scene.GetNumberOfNodes()
        with pytest.raises(InputError, match="does not fit the volume 'volume'"):
            show(scene, volume, labels[1:], *extra)
        assert scene.GetNumberOfNodes() == before


def test_users_segmentation_is_not_touched(scene, volume, labels, add_segmentation):
    node = add_segmentation(volume, masks_of(labels), shared=True)
    segmentation = node.GetSegmentation()
    stored = [segmentation.GetNthSegment(n) for n in range(2)]
    objects = [node, segmentation, *stored, *(segment.GetRepresentation(LABELMAP) for segment in stored)]

    def state():
        return mrml.fingerprint(node), [item.GetMTime() for item in objects]

    before = state()
    segments = mrml.segments_from_node(node)
    mrml.class_array(node, volume)
    mrml.annotation_from_nodes(volume, node, 0, empty_slices=[0])
    prediction = mrml.show_prediction(scene, volume, labels[::-1], segments)
    mrml.show_uncertainty(scene, volume, labels * 30)
    assert prediction is not node
    assert state() == before
    assert not segmentation.ContainsRepresentation(SURFACE)


def test_fingerprint_sees_every_change(volume, labels, add_segmentation):
    node = add_segmentation(volume, masks_of(labels))
    segment = node.GetSegmentation().GetSegment("first")
    image = segment.GetRepresentation(LABELMAP)
    seen = [mrml.fingerprint(node)]
    for change in (
        lambda: segment.SetName("other"),
        lambda: segment.SetColor(0.3, 0.3, 0.3),
        lambda: segment.SetTerminology(KIDNEY),
        lambda: node.GetSegmentation().ReorderSegments(["second", "first"]),
        lambda: image.SetScalarComponentFromDouble(2, 3, 1, 0, 1 - image.GetScalarComponentAsDouble(2, 3, 1, 0)),
        lambda: image.SetOrigin(1, 2, 3),
        lambda: node.GetSegmentation().RemoveSegment("second"),
    ):
        change()
        seen.append(mrml.fingerprint(node))
    assert len(set(seen)) == len(seen)
    node.CreateClosedSurfaceRepresentation()
    assert mrml.fingerprint(node) == seen[-1]


def test_uncertainty_lies_on_the_volume(scene, add_volume, geometry):
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    values = np.random.default_rng(2).integers(0, 101, geometry.shape).astype(np.uint8)
    node = mrml.show_uncertainty(scene, volume, values)
    assert np.shares_memory(mrml.scalar_voxels(node), values)
    np.testing.assert_array_equal(mrml.scalar_voxels(node), values)
    assert geometry.difference(mrml.volume_geometry(node)) is None
    display = node.GetDisplayNode()
    assert display.GetColorNode().GetName() == "Iron"
    assert (display.GetLowerThreshold(), display.GetApplyThreshold()) == (mrml.SHOWN_UNCERTAINTY, 1)
    display.SetThreshold(40, 100)
    heard = []
    node.AddObserver(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, lambda *_: heard.append(1))
    assert mrml.show_uncertainty(scene, volume, values // 2, node=node) is node
    np.testing.assert_array_equal(mrml.scalar_voxels(node), values // 2)
    assert display.GetLowerThreshold() == 40
    assert heard
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2


def test_everything_survives_a_saved_scene(app, scene, volume, labels, add_segmentation, tmp_path):
    node = add_segmentation(volume, masks_of(labels), name="mine")
    node.GetSegmentation().GetSegment("first").SetTerminology(KIDNEY)
    mrml.show_prediction(scene, volume, labels[::-1], some_segments(), name="theirs")
    mine = mrml.segments_from_node(node)
    path = tmp_path / "Szene mit Leerzeichen.mrb"
    app.save_scene(path)
    scene.Clear(0)
    assert scene.ReadFromMRB(str(path), True)
    volume = scene.GetFirstNodeByName("volume")
    for name, segments, expected in (("mine", mine, labels), ("theirs", some_segments(), labels[::-1])):
        again = scene.GetFirstNodeByName(name)
        assert mrml.segments_from_node(again) == segments
        np.testing.assert_array_equal(mrml.class_array(again, volume), expected)
