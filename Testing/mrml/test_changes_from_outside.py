"""What changes beside a loop that has a result: an editor's own undo, another axis, segments and charts removed."""

import numpy as np
import pytest
import slicer
from loop_driver import Driver, with_result

from sslseg.progress import Progress
from SSLSegmentLib import mrml, wording
from SSLSegmentLib.slice_views import slice_in_view


@pytest.fixture
def editor(patient):
    """The undo history of an editor."""
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(patient.segmentation.GetSegmentation())
    return history


@pytest.fixture
def shared(scene, patient, editor):
    """A loop that shares the editor's history, with a prediction that finds nothing on the first slice."""
    driver = Driver(scene, history=editor)
    patient.open_in(driver)
    with_result(driver.loop, patient)
    driver.loop.result.labels[0] = 0
    yield driver
    driver.end()


def test_an_editors_own_undo_takes_marks_back_too(shared, patient, editor):
    loop = shared.loop
    before = loop.annotated_slices()
    shared.do("accept_all")
    assert loop.settings.empty_slices == [0]
    editor.RestorePreviousState()
    assert patient.is_untouched()
    assert loop.annotated_slices() == before, "nobody has looked at the first slice"
    assert loop.availability("undo").reasons == ("Nothing was accepted.",)


def test_an_editor_undoes_one_acceptance_after_the_other(shared, patient, editor):
    loop = shared.loop
    shared.do("exclude", 4)
    excluded = loop.annotated_slices()
    shared.do("accept_slice", 3)
    between = loop.annotated_slices()
    shared.do("accept_all")
    assert loop.settings.excluded_slices == []
    editor.RestorePreviousState()
    assert loop.annotated_slices() == between
    editor.RestorePreviousState()
    assert loop.annotated_slices() == excluded
    assert patient.is_untouched()


def test_marks_stay_where_the_user_draws_on(shared, patient):
    shared.do("accept_all")
    mask = mrml.class_array(patient.segmentation, patient.volume) == 1
    mask[5, 2:4, 2:4] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), patient.segmentation, "segment1", patient.volume
    )
    assert shared.loop.settings.empty_slices == [0]


def test_a_suggestion_belongs_to_the_axis_of_its_prediction(scene, idle_driver, loop, patient):
    with_result(loop, patient)
    view = scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientationToAxial()
    best = loop.suggest_next()
    loop.axis = 2
    idle_driver.do("mark_empty", best.index)
    assert loop.suggest_next() == best, "a mark along another axis says nothing about this slice"
    idle_driver.do("jump_to", best.index, loop.result_axis)
    assert slice_in_view(scene, loop.volume, 0) == best.index
    assert wording.suggestion_text(loop, best).startswith(f"Slice {best.index + 1} (S ")


@pytest.mark.usefixtures("loop")
def test_a_jump_says_whether_any_view_followed(scene, idle_driver):
    view = scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientationToSagittal()
    for other in scene.GetNodesByClass("vtkMRMLSliceNode"):
        other.SetOrientationToSagittal()
    assert idle_driver.do("jump_to", 2) == 0
    view.SetOrientationToAxial()
    assert idle_driver.do("jump_to", 2) == 1


def test_scribbles_are_not_learned_from_without_their_background(loop, patient):
    loop.settings.background_segment_id = "segment2"
    assert loop.availability("train").allowed
    patient.segmentation.GetSegmentation().RemoveSegment("segment2")
    assert loop.availability("train").reasons == (
        "The background segment is not there any more: choose another one, or none.",
    )
    loop.settings.background_segment_id = ""
    assert loop.availability("train").allowed


def test_curves_go_on_where_the_user_has_removed_the_chart(scene, loop):
    loop.overlay.add_to_curves(Progress("training", 1, 10, loss=0.9))
    first = loop.overlay.chart_node
    scene.RemoveNode(first)
    assert loop.overlay.chart_node is None
    loop.overlay.add_to_curves(Progress("training", 2, 10, loss=0.8))
    assert scene.IsNodePresent(loop.overlay.chart_node)


def test_a_background_belongs_to_its_segmentation(loop, patient, add_segmentation):
    loop.settings.background_segment_id = "segment2"
    other = add_segmentation(
        patient.volume, {name: patient.truth == c for c, name in ((1, "segment1"), (2, "segment2"))}
    )
    loop.set_segmentation(other)
    assert loop.settings.background_segment_id == "", "another segment of that id is not known to be background"


def test_no_training_on_a_device_that_is_known_not_to_be_there(loop):
    loop.settings.device = "cuda:7"
    assert loop.availability("train").allowed, "nobody has looked for devices yet"
    loop.worker.ready = {"devices": [{"name": "cpu", "description": "CPU"}]}
    assert loop.availability("train").reasons == ("Device 'cuda:7' is not there: choose another one.",)
    loop.settings.device = "auto"
    assert loop.availability("train").allowed
