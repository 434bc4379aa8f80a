"""Nodes that are chosen or made for the user."""

import numpy as np
import pytest
import slicer
from loop_driver import GEOMETRY, SHAPE
from mrml_cases import linear_transform

from sslseg.errors import InputError
from SSLSegmentLib import mrml


def test_the_only_volume_is_chosen(idle_driver, add_volume, scene):
    loop = idle_driver.loop
    idle_driver.do("choose_defaults")
    assert loop.volume is None
    hidden = add_volume(np.zeros(SHAPE, np.int16), GEOMETRY, "hidden")
    hidden.SetHideFromEditors(True)
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    image = add_volume(np.zeros(SHAPE, np.int16), GEOMETRY, "image")
    idle_driver.do("choose_defaults")
    assert loop.volume is image


def test_of_two_volumes_none_is_chosen_and_a_choice_stays(idle_driver, add_volume):
    first, second = (add_volume(np.zeros(SHAPE, np.int16), GEOMETRY, name) for name in "ab")
    idle_driver.do("choose_defaults")
    assert idle_driver.loop.volume is None
    idle_driver.do("set_volume", second)
    slicer.mrmlScene.RemoveNode(first)
    idle_driver.do("choose_defaults")
    assert idle_driver.loop.volume is second


def test_a_segmentation_is_made_for_the_volume_once(idle_driver, add_volume, scene):
    loop = idle_driver.loop
    with pytest.raises(InputError, match="Choose a volume first"):
        idle_driver.do("create_segmentation")
    volume = add_volume(np.zeros(SHAPE, np.int16), GEOMETRY, "heart")
    shift = np.eye(4)
    shift[:3, 3] = 5, 6, 7
    volume.SetAndObserveTransformNodeID(linear_transform(scene, shift).GetID())
    idle_driver.do("set_volume", volume)
    node = idle_driver.do("create_segmentation")
    assert idle_driver.do("create_segmentation") is node is loop.segmentation
    assert node.GetName() == "heart segmentation"
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    assert node.GetParentTransformNode() is volume.GetParentTransformNode()
    assert node.GetDisplayNode() is not None
    assert len(mrml.segments_from_node(node)) == 1
    assert loop.availability("train").reasons == ("Draw at least one structure on one slice.",)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2, 5:9, 5:9] = 1
    (segment,) = mrml.segments_from_node(node)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment.segment_id, volume)
    np.testing.assert_array_equal(mrml.class_array(node, volume), mask)
    assert loop.availability("train").allowed
