"""Accepting a prediction, and taking that back."""

import numpy as np
import pytest
import slicer
from loop_driver import Driver, with_result

from sslseg.errors import InputError
from SSLSegmentLib import mrml


def test_accepting_one_slice_leaves_every_other_voxel(idle_driver, loop, patient):
    before = mrml.class_array(patient.segmentation, patient.volume)
    with_result(loop, patient)
    idle_driver.do("accept_slice", 3)
    after = mrml.class_array(patient.segmentation, patient.volume)
    before[3] = patient.truth[3]
    np.testing.assert_array_equal(after, before)
    idle_driver.do("undo")
    assert patient.is_untouched()
    assert not loop.availability("undo").allowed


def test_accepting_nothing_on_a_slice_makes_it_an_empty_one(idle_driver, loop, patient):
    with_result(loop, patient)
    loop.result.labels[0] = 0
    idle_driver.do("exclude", 4)
    marks = loop.settings.empty_slices, loop.settings.excluded_slices
    idle_driver.do("accept_all")
    assert loop.settings.empty_slices == [0]
    assert loop.settings.excluded_slices == [], "an excluded slice was replaced, so it counts from now on"
    idle_driver.do("undo")
    assert (loop.settings.empty_slices, loop.settings.excluded_slices) == marks


def test_drawing_after_accepting_is_never_undone_by_accident(idle_driver, loop, patient):
    with_result(loop, patient)
    idle_driver.do("accept_slice", 3)
    patient.segmentation.CreateClosedSurfaceRepresentation()
    patient.segmentation.GetSegmentation().GetSegment("segment1").SetName("renamed")
    assert loop.availability("undo").allowed, "no voxel has changed"
    mask = mrml.class_array(patient.segmentation, patient.volume) == 1
    mask[0, 5:9, 5:9] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), patient.segmentation, "segment1", patient.volume
    )
    assert loop.availability("undo").reasons == (
        "The segmentation was changed after accepting: undo that change first.",
    )
    with pytest.raises(InputError, match="changed after accepting"):
        idle_driver.do("undo")
    np.testing.assert_array_equal(mrml.class_array(patient.segmentation, patient.volume)[0, 5:9, 5:9], 1)


def test_a_segment_that_is_gone_is_left_out_and_named(idle_driver, loop, patient):
    with_result(loop, patient)
    patient.segmentation.GetSegmentation().RemoveSegment("segment2")
    idle_driver.do("accept_slice", 3)
    after = mrml.class_array(patient.segmentation, patient.volume)
    np.testing.assert_array_equal(after[3], patient.truth[3] == 1)
    assert loop.messages == ["'Name of segment2' was left out: there is no such segment any more."]


def test_an_editors_history_can_be_shared(scene, patient):
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(patient.segmentation.GetSegmentation())
    driver = Driver(scene, history=history)
    patient.open_in(driver)
    with_result(driver.loop, patient)
    driver.do("accept_all")
    assert history.IsRestorePreviousStateAvailable()
    driver.do("undo")
    assert patient.is_untouched()
    driver.end()
