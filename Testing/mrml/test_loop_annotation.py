"""What counts as annotated, what may be pressed and why not: all that the loop knows without a worker."""

import numpy as np
import pytest
import slicer
import vtk
from loop_driver import ANNOTATED, GEOMETRY, SHAPE, Driver, image_of, with_result

from sslseg.annotation import IGNORE
from sslseg.errors import InputError
from SSLSegmentLib.loop_annotation import AnnotatedSlice
from SSLSegmentLib.loop_state import ACTIONS, State


def indices(loop) -> list[int]:
    return [entry.index for entry in loop.annotated_slices()]


# Which slices count


def test_drawn_slices_and_marks(idle_driver, loop):
    both = ("segment1", "segment2")
    assert loop.annotated_slices() == [AnnotatedSlice(index, False, False, both) for index in ANNOTATED]
    idle_driver.do("mark_empty", 7)
    idle_driver.do("exclude", 4)
    assert loop.annotated_slices() == [
        AnnotatedSlice(1, empty=False, excluded=False, segments=both),
        AnnotatedSlice(4, empty=False, excluded=True, segments=both),
        AnnotatedSlice(6, empty=False, excluded=False, segments=both),
        AnnotatedSlice(7, empty=True, excluded=False),
    ]
    idle_driver.do("unmark", 4)
    idle_driver.do("unmark", 7)
    assert indices(loop) == list(ANNOTATED)


@pytest.mark.parametrize("index", [-1, SHAPE[0], 99])
@pytest.mark.parametrize("mark", ["mark_empty", "exclude", "unmark"])
def test_a_slice_that_does_not_exist_cannot_be_marked(idle_driver, loop, mark, index):
    with pytest.raises(InputError, match=f"Slice {index} does not exist"):
        idle_driver.do(mark, index)
    assert indices(loop) == list(ANNOTATED)


def test_a_drawn_slice_is_not_empty(loop):
    with pytest.raises(InputError, match="Slice 5 is not empty"):
        loop.mark_empty(4)


def test_without_a_volume_nothing_can_be_marked(idle_driver):
    with pytest.raises(InputError, match="no volume"):
        idle_driver.do("mark_empty", 0)


def test_what_the_training_gets(idle_driver, loop, patient):
    idle_driver.do("mark_empty", 7)
    idle_driver.do("exclude", 4)
    inputs = loop.user.snapshot()
    annotation = inputs.annotate()
    expected = np.full(SHAPE, IGNORE, np.uint8)
    expected[[1, 6]] = patient.truth[[1, 6]]
    expected[7] = 0
    np.testing.assert_array_equal(annotation.labels, expected)
    assert inputs.axis == 0
    assert [segment.segment_id for segment in annotation.segments] == ["segment1", "segment2"]
    np.testing.assert_array_equal(inputs.array, image_of(patient.truth))
    assert annotation.geometry.difference(GEOMETRY) is None
    assert inputs.settings == loop.settings.training()


def test_scribbles_with_a_background_segment(idle_driver, loop, patient, add_segmentation):
    scribbles = {name: np.zeros(SHAPE, bool) for name in ("organ", "background")}
    scribbles["organ"][2, 20:24, 12:16] = True
    scribbles["background"][2, 2:6, 2:30] = True
    idle_driver.do("set_segmentation", add_segmentation(patient.volume, scribbles))
    loop.settings.background_segment_id = "background"
    annotation = loop.user.snapshot().annotate()
    assert (annotation.labels == 1).sum() == 16
    assert (annotation.labels == 0).sum() == 4 * 28
    assert (annotation.labels == IGNORE).sum() == annotation.labels.size - 16 - 4 * 28
    assert len(annotation.segments) == 1
    with_result(loop, patient)
    assert loop.acceptance.open_slices(loop.result) == list(range(SHAPE[0])), "a scribble does not finish a slice"


def test_the_axis_follows_the_drawing_until_it_is_settled(idle_driver, loop, patient, add_segmentation):
    assert loop.axis == 0
    drawn = patient.truth == 1
    sagittal = np.zeros(SHAPE, bool)
    sagittal[:, :, [12, 15]] = drawn[:, :, [12, 15]]
    idle_driver.do("set_segmentation", add_segmentation(patient.volume, {"organ": sagittal}))
    assert loop.axis == 2
    assert indices(loop) == [12, 15]
    idle_driver.do("mark_empty", 0)
    assert loop.settings.axis == 2
    loop.axis = 0
    assert loop.settings.empty_slices == [], "a mark means nothing along another axis"
    loop.axis = -1
    assert loop.axis == 2
    with pytest.raises(InputError, match="no slice axis 3"):
        loop.axis = 3


def test_an_empty_segmentation_has_the_coarsest_axis(idle_driver, patient, add_segmentation):
    idle_driver.do("set_volume", patient.volume)
    assert idle_driver.loop.axis == 0
    idle_driver.do("set_segmentation", add_segmentation(patient.volume, {"organ": np.zeros(SHAPE, bool)}))
    assert idle_driver.loop.axis == 0
    assert idle_driver.loop.annotated_slices() == []


def test_marks_go_with_their_nodes_but_a_restored_scene_keeps_them(idle_driver, patient, add_volume):
    loop = idle_driver.loop
    loop.settings.axis, loop.settings.empty_slices = 0, [7]
    patient.open_in(idle_driver)
    assert loop.settings.empty_slices == [7]
    idle_driver.do("set_volume", add_volume(image_of(patient.truth), GEOMETRY, "other"))
    assert loop.settings.empty_slices == []


def test_painting_erasing_and_removing_segments_is_noticed(idle_driver, loop, patient):
    before = idle_driver.changes
    mask = patient.truth == 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), patient.segmentation, "segment1", patient.volume
    )
    assert idle_driver.changes > before
    assert indices(loop) == list(range(SHAPE[0]))
    patient.segmentation.GetSegmentation().RemoveSegment("segment1")
    assert indices(loop) == list(ANNOTATED)
    patient.segmentation.GetSegmentation().RemoveAllSegments()
    assert indices(loop) == []
    assert not loop.availability("train").allowed


def a_surface(patient):
    segmentation = patient.segmentation.GetSegmentation()
    segmentation.CreateRepresentation("Closed surface")
    segmentation.SetSourceRepresentationName("Closed surface")


def a_color_image(patient):
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    patient.volume.SetAndObserveImageData(image)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (a_surface, "is stored as closed surface"),
        (a_color_image, "has 3 values in each voxel"),
        (lambda patient: patient.volume.SetAndObserveImageData(None), "holds no image"),
        (lambda patient: [patient.segmentation.GetSegmentation().AddEmptySegment() for _ in range(254)], "has 256 seg"),
    ],
    ids=["surface", "color", "no image", "too many segments"],
)
def test_nodes_that_cannot_be_read_are_a_reason_not_a_crash(idle_driver, loop, patient, spoil, sentence):
    spoil(patient)
    assert loop.annotated_slices() == []
    assert loop.axis in (0, 1, 2)
    for action in ("train", "export"):
        (reason,) = loop.availability(action).reasons
        assert sentence in reason
    with pytest.raises(InputError, match=sentence):
        idle_driver.do("train")
    assert loop.state is State.IDLE


def test_the_drawing_is_looked_at_once(loop, patient):
    loop.annotated_slices()
    looked_at = loop.user._drawing
    for action in ACTIONS:
        loop.availability(action)
    loop.annotated_slices()
    assert loop.user._drawing is looked_at
    patient.segmentation.GetSegmentation().RemoveSegment("segment1")
    loop.annotated_slices()
    assert loop.user._drawing is not looked_at


def test_a_moved_volume_is_noticed(loop, patient, scene):
    assert indices(loop) == list(ANNOTATED)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    patient.volume.SetAndObserveTransformNodeID(transform.GetID())
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, -GEOMETRY.spacing[2])
    transform.SetMatrixTransformToParent(matrix)
    assert indices(loop) == [k + 1 for k in ANNOTATED]


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
def test_every_reason_why_not_is_listed(idle_driver, patient, situation):
    prepare, expected = AVAILABILITY[situation]
    prepare(idle_driver, patient)
    for action, reasons in expected.items():
        found = idle_driver.loop.availability(action)
        assert list(found.reasons) == reasons, action
        assert found.allowed == (not reasons)
    idle_driver.loop.state = State.IDLE


@pytest.mark.parametrize("action", [name for name in ACTIONS if name not in ("stop", "suggest_next")])
def test_what_is_not_available_is_refused_with_the_same_words(idle_driver, action):
    arguments = {"accept_slice": [3], "save_model": ["model.safetensors"], "export": ["folder"]}.get(action, [])
    with pytest.raises(InputError) as caught:
        idle_driver.do(action, *arguments)
    assert str(caught.value) == " ".join(idle_driver.loop.availability(action).reasons)


def test_an_action_that_does_not_exist_is_our_fault(idle_driver):
    with pytest.raises(KeyError):
        idle_driver.loop.availability("fly")


# The rest


def test_export_needs_a_folder(loop):
    with pytest.raises(InputError, match="Choose a folder"):
        loop.export()


def test_export_uses_the_settings(loop, tmp_path):
    loop.settings.export_folder = str(tmp_path / "neu é")
    loop.settings.export_formats = ["nrrd"]
    assert [path.name for path in loop.export()] == ["heart drawn.nrrd"]


def test_a_handler_that_polls_again_does_no_harm(idle_driver, loop):
    depth = []

    def poll_again(*_):
        depth.append(1)
        assert len(depth) == 1
        loop.poll()
        depth.pop()

    loop.worker.submit(lambda: "done", poll_again, poll_again)
    seen = []
    loop.worker.submit(lambda: "done", seen.append, seen.append)
    idle_driver.poll_until(lambda: seen)
    assert seen == ["done"]


def test_a_loop_that_is_shut_down_sees_nothing_any_more(scene, patient):
    driver = Driver(scene)
    patient.open_in(driver)
    driver.end()
    changes = driver.changes
    patient.segmentation.GetSegmentation().RemoveAllSegments()
    scene.Clear(0)
    assert driver.changes == changes
