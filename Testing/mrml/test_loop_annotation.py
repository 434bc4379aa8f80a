"""What counts as annotated, what may be pressed and why not: all that the loop knows without a worker."""

import numpy as np
import pytest
import slicer
from loop_driver import ANNOTATED, GEOMETRY, SHAPE, Driver, image_of

from sslseg.annotation import IGNORE
from sslseg.errors import InputError
from SSLSegmentLib import mrml
from SSLSegmentLib.loop_accept import Result
from SSLSegmentLib.loop_annotation import AnnotatedSlice
from SSLSegmentLib.loop_job import Suggestion
from SSLSegmentLib.loop_state import ACTIONS, State


@pytest.fixture
def driver(scene):
    made = Driver(scene)
    yield made
    made.end()


@pytest.fixture
def loop(driver, patient):
    patient.open_in(driver)
    return driver.loop


def indices(loop) -> list[int]:
    return [entry.index for entry in loop.annotated_slices()]


def with_result(loop, patient):
    """As after a training that predicted the truth."""
    uncertainty = np.zeros(SHAPE, np.float32)
    loop.result = Result(patient.truth, uncertainty, mrml.segments_from_node(patient.segmentation), 0)
    loop.suggestions = [Suggestion(3, 1.0, "unsure"), Suggestion(0, 0.5, "far")]


# Which slices count


def test_drawn_slices_and_marks(driver, loop):
    assert loop.annotated_slices() == [AnnotatedSlice(index, empty=False, excluded=False) for index in ANNOTATED]
    driver.do("mark_empty", 7)
    driver.do("exclude", 4)
    assert loop.annotated_slices() == [
        AnnotatedSlice(1, empty=False, excluded=False),
        AnnotatedSlice(4, empty=False, excluded=True),
        AnnotatedSlice(6, empty=False, excluded=False),
        AnnotatedSlice(7, empty=True, excluded=False),
    ]
    driver.do("unmark", 4)
    driver.do("unmark", 7)
    assert indices(loop) == list(ANNOTATED)


@pytest.mark.parametrize("index", [-1, SHAPE[0], 99])
@pytest.mark.parametrize("mark", ["mark_empty", "exclude", "unmark"])
def test_a_slice_that_does_not_exist_cannot_be_marked(driver, loop, mark, index):
    with pytest.raises(InputError, match=f"Slice {index} does not exist"):
        driver.do(mark, index)
    assert indices(loop) == list(ANNOTATED)


def test_a_drawn_slice_is_not_empty(loop):
    with pytest.raises(InputError, match="Slice 4 is not empty"):
        loop.mark_empty(4)


def test_without_a_volume_nothing_can_be_marked(driver):
    with pytest.raises(InputError, match="no volume"):
        driver.do("mark_empty", 0)


def test_what_the_training_gets(driver, loop, patient):
    driver.do("mark_empty", 7)
    driver.do("exclude", 4)
    inputs = loop.user.snapshot()
    expected = np.full(SHAPE, IGNORE, np.uint8)
    expected[[1, 6]] = patient.truth[[1, 6]]
    expected[7] = 0
    np.testing.assert_array_equal(inputs.annotation.labels, expected)
    assert inputs.axis == 0
    assert [segment.segment_id for segment in inputs.annotation.segments] == ["segment1", "segment2"]
    np.testing.assert_array_equal(inputs.array, image_of(patient.truth))
    assert inputs.annotation.geometry.difference(GEOMETRY) is None
    assert inputs.settings == loop.settings.training()


def test_scribbles_with_a_background_segment(driver, loop, patient, add_segmentation):
    scribbles = {name: np.zeros(SHAPE, bool) for name in ("organ", "background")}
    scribbles["organ"][2, 20:24, 12:16] = True
    scribbles["background"][2, 2:6, 2:30] = True
    driver.do("set_segmentation", add_segmentation(patient.volume, scribbles))
    loop.settings.background_segment_id = "background"
    annotation = loop.user.snapshot().annotation
    assert (annotation.labels == 1).sum() == 16
    assert (annotation.labels == 0).sum() == 4 * 28
    assert (annotation.labels == IGNORE).sum() == annotation.labels.size - 16 - 4 * 28
    assert len(annotation.segments) == 1
    with_result(loop, patient)
    assert loop.acceptance.open_slices(loop.result) == list(range(SHAPE[0])), "a scribble does not finish a slice"


def test_the_axis_follows_the_drawing_until_it_is_settled(driver, loop, patient, add_segmentation):
    assert loop.axis == 0
    drawn = patient.truth == 1
    sagittal = np.zeros(SHAPE, bool)
    sagittal[:, :, [12, 15]] = drawn[:, :, [12, 15]]
    driver.do("set_segmentation", add_segmentation(patient.volume, {"organ": sagittal}))
    assert loop.axis == 2
    assert indices(loop) == [12, 15]
    driver.do("mark_empty", 0)
    assert loop.settings.axis == 2
    loop.axis = 0
    assert loop.settings.empty_slices == [], "a mark means nothing along another axis"
    loop.axis = -1
    assert loop.axis == 2
    with pytest.raises(InputError, match="no slice axis 3"):
        loop.axis = 3


def test_an_empty_segmentation_has_the_coarsest_axis(driver, patient, add_segmentation):
    driver.do("set_volume", patient.volume)
    assert driver.loop.axis == 0
    driver.do("set_segmentation", add_segmentation(patient.volume, {"organ": np.zeros(SHAPE, bool)}))
    assert driver.loop.axis == 0
    assert driver.loop.annotated_slices() == []


def test_marks_go_with_their_nodes_but_a_restored_scene_keeps_them(driver, patient, add_volume):
    loop = driver.loop
    loop.settings.axis, loop.settings.empty_slices = 0, [7]
    patient.open_in(driver)
    assert loop.settings.empty_slices == [7]
    driver.do("set_volume", add_volume(image_of(patient.truth), GEOMETRY, "other"))
    assert loop.settings.empty_slices == []


def test_painting_erasing_and_removing_segments_is_noticed(driver, loop, patient):
    before = driver.changes
    mask = patient.truth == 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), patient.segmentation, "segment1", patient.volume
    )
    assert driver.changes > before
    assert indices(loop) == list(range(SHAPE[0]))
    patient.segmentation.GetSegmentation().RemoveSegment("segment1")
    assert indices(loop) == list(ANNOTATED)
    patient.segmentation.GetSegmentation().RemoveAllSegments()
    assert indices(loop) == []
    assert not loop.availability("train").allowed


# What may be done


EVERYTHING = set(ACTIONS)
NO_PREDICTION = "There is no prediction yet: train first."
AVAILABILITY = {
    "nothing chosen": (lambda _d, _p: None, {
        "train": ["Choose a volume.", "Choose or create a segmentation."],
        "stop": ["No training is running."],
        "suggest_next": [NO_PREDICTION],
        "accept_slice": [NO_PREDICTION],
        "accept_all": [NO_PREDICTION],
        "undo": ["Nothing was accepted."],
        "discard": [NO_PREDICTION],
        "save_model": ["There is no model yet: train first."],
        "export": ["Choose a volume and a segmentation."],
    }),
    "only a volume": (lambda d, p: d.do("set_volume", p.volume), {
        "train": ["Choose or create a segmentation."],
        "export": ["Choose a volume and a segmentation."],
    }),
    "only a segmentation": (lambda d, p: d.do("set_segmentation", p.segmentation), {
        "train": ["Choose a volume."],
        "export": ["Choose a volume and a segmentation."],
    }),
    "no segment": (lambda d, p: (p.segmentation.GetSegmentation().RemoveAllSegments(), p.open_in(d)), {
        "train": ["Add a segment and draw it on at least one slice."],
        "export": ["The segmentation is empty: draw, or accept a prediction."],
    }),
    "nothing drawn": (lambda d, p: (erase(p), p.open_in(d)), {
        "train": ["Draw at least one structure on one slice."],
        "export": ["The segmentation is empty: draw, or accept a prediction."],
    }),
    "only empty slices": (lambda d, p: (erase(p), p.open_in(d), d.do("mark_empty", 3)), {
        "train": ["Draw at least one structure on one slice."],
    }),
    "all drawn slices excluded": (lambda d, p: (p.open_in(d), [d.do("exclude", k) for k in ANNOTATED]), {
        "train": ["Draw at least one structure on one slice."],
        "export": [],
    }),
    "wrong settings and nothing chosen": (lambda d, _p: setattr(d.loop.settings, "preset", "magic"), {
        "train": ["Choose a volume.", "Choose or create a segmentation.",
                  "There is no preset 'magic': choose one of fast, balanced, accurate."],
    }),
    "drawn": (lambda d, p: p.open_in(d), {"train": [], "export": [], "stop": ["No training is running."]}),
    "predicted": (lambda d, p: (p.open_in(d), with_result(d.loop, p)), {
        "train": [], "suggest_next": [], "accept_slice": [], "accept_all": [], "discard": [], "export": [],
    }),
    "suggestions used up": (lambda d, p: (p.open_in(d), with_result(d.loop, p), d.loop.suggestions.clear()), {
        "suggest_next": ["No slice is suggested."], "accept_all": [],
    }),
    "all accepted": (lambda d, p: (p.open_in(d), with_result(d.loop, p), d.do("accept_all")), {
        "accept_all": ["Every slice is annotated already."], "suggest_next": ["No slice is suggested."], "undo": [],
    }),
    "training": (lambda d, p: (p.open_in(d), setattr(d.loop, "state", State.TRAINING)), {
        "stop": [],
        "train": ["A training is running: wait for it, or stop it."],
        "undo": ["A training is running: wait for it, or stop it.", "Nothing was accepted."],
        "export": ["A training is running: wait for it, or stop it."],
    }),
}  # fmt: skip


def erase(patient):
    for segment_id in patient.segmentation.GetSegmentation().GetSegmentIDs():
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            np.zeros(SHAPE, np.uint8), patient.segmentation, segment_id, patient.volume
        )


@pytest.mark.parametrize("situation", AVAILABILITY)
def test_every_reason_why_not_is_listed(driver, patient, situation):
    prepare, expected = AVAILABILITY[situation]
    prepare(driver, patient)
    for action, reasons in expected.items():
        found = driver.loop.availability(action)
        assert list(found.reasons) == reasons, action
        assert found.allowed == (not reasons)
    driver.loop.state = State.IDLE


@pytest.mark.parametrize("action", [name for name in ACTIONS if name not in ("stop", "suggest_next")])
def test_what_is_not_available_is_refused_with_the_same_words(driver, action):
    arguments = {"accept_slice": [3], "save_model": ["model.safetensors"], "export": ["folder"]}.get(action, [])
    with pytest.raises(InputError) as caught:
        driver.do(action, *arguments)
    assert str(caught.value) == " ".join(driver.loop.availability(action).reasons)


def test_an_action_that_does_not_exist_is_our_fault(driver):
    with pytest.raises(KeyError):
        driver.loop.availability("fly")


# Accepting


def test_accepting_one_slice_leaves_every_other_voxel(driver, loop, patient):
    before = mrml.class_array(patient.segmentation, patient.volume)
    with_result(loop, patient)
    driver.do("accept_slice", 3)
    after = mrml.class_array(patient.segmentation, patient.volume)
    before[3] = patient.truth[3]
    np.testing.assert_array_equal(after, before)
    driver.do("undo")
    assert patient.is_untouched()
    assert not loop.availability("undo").allowed


def test_accepting_nothing_on_a_slice_makes_it_an_empty_one(driver, loop, patient):
    with_result(loop, patient)
    loop.result.labels[0] = 0
    driver.do("exclude", 4)
    marks = loop.settings.empty_slices, loop.settings.excluded_slices
    driver.do("accept_all")
    assert loop.settings.empty_slices == [0]
    assert loop.settings.excluded_slices == [], "an excluded slice was replaced, so it counts from now on"
    driver.do("undo")
    assert (loop.settings.empty_slices, loop.settings.excluded_slices) == marks


def test_drawing_after_accepting_is_never_undone_by_accident(driver, loop, patient):
    with_result(loop, patient)
    driver.do("accept_slice", 3)
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
        driver.do("undo")
    np.testing.assert_array_equal(mrml.class_array(patient.segmentation, patient.volume)[0, 5:9, 5:9], 1)


def test_a_segment_that_is_gone_is_left_out_and_named(driver, loop, patient):
    with_result(loop, patient)
    patient.segmentation.GetSegmentation().RemoveSegment("segment2")
    driver.do("accept_slice", 3)
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


# The rest


def test_export_needs_a_folder(loop):
    with pytest.raises(InputError, match="Choose a folder"):
        loop.export()


def test_export_uses_the_settings(loop, tmp_path):
    loop.settings.export_folder = str(tmp_path / "neu é")
    loop.settings.export_formats = ["nrrd"]
    assert [path.name for path in loop.export()] == ["heart drawn.nrrd"]


def test_a_handler_that_polls_again_does_no_harm(driver, loop):
    depth = []

    def poll_again(*_):
        depth.append(1)
        assert len(depth) == 1
        loop.poll()
        depth.pop()

    loop.worker.submit(lambda: "done", poll_again, poll_again)
    seen = []
    loop.worker.submit(lambda: "done", seen.append, seen.append)
    driver.poll_until(lambda: seen)
    assert seen == ["done"]


def test_a_loop_that_is_shut_down_sees_nothing_any_more(scene, patient):
    driver = Driver(scene)
    patient.open_in(driver)
    driver.end()
    changes = driver.changes
    patient.segmentation.GetSegmentation().RemoveAllSegments()
    scene.Clear(0)
    assert driver.changes == changes
