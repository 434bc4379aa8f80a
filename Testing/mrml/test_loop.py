"""The annotation loop with real worker processes on small volumes."""

import time

import numpy as np
import psutil
import pytest
import slicer
from loop_driver import ANNOTATED, GEOMETRY, HIDDEN, SHAPE, Patient, dice, fast_settings, image_of, truth_of

from sslseg.errors import InputError, OutputError
from SSLSegmentLib import mrml
from SSLSegmentLib.loop_state import State


@pytest.fixture
def driver(scene, shared_driver):
    loop = shared_driver.loop
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert loop.volume is None
    assert loop.segmentation is None
    assert loop.state is State.IDLE
    loop.settings.__init__(**vars(fast_settings()))
    shared_driver.states.clear()
    return shared_driver


def drawn_like(patient, mask):
    """Paint ``mask`` into the patient's first segment, as an editor does."""
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), patient.segmentation, "segment1", patient.volume
    )


# From slices to a result


def test_from_annotated_slices_to_files(driver, patient, tmp_path):
    loop = driver.loop
    patient.open_in(driver)
    assert [entry.index for entry in loop.annotated_slices()] == list(ANNOTATED)
    driver.train()
    assert driver.states == [State.IDLE, State.PREPARING, State.TRAINING, State.DONE], loop.last_error
    assert patient.is_untouched()

    labels = loop.result.labels
    for label in (1, 2):
        assert dice(labels[list(HIDDEN)] == label, patient.truth[list(HIDDEN)] == label) > 0.8
    overlay = loop.overlay.prediction
    assert overlay is not patient.segmentation
    np.testing.assert_array_equal(mrml.class_array(overlay, patient.volume), labels)
    shown = slicer.util.arrayFromVolume(loop.overlay.uncertainty)
    np.testing.assert_array_equal(shown, loop.result.uncertainty)
    assert {entry.index for entry in loop.suggestions} == set(HIDDEN)
    best = loop.suggest_next()
    assert best == loop.suggestions[0]

    driver.do("accept_slice", best.index)
    accepted = mrml.class_array(patient.segmentation, patient.volume)
    np.testing.assert_array_equal(accepted[best.index], labels[best.index])
    assert [entry.index for entry in loop.annotated_slices()] == sorted({*ANNOTATED, best.index})
    assert loop.suggest_next() == loop.suggestions[1]

    driver.do("accept_all")
    np.testing.assert_array_equal(mrml.class_array(patient.segmentation, patient.volume), labels)
    assert [entry.index for entry in loop.annotated_slices()] == list(range(SHAPE[0]))
    assert "Every slice is annotated already." in loop.availability("accept_all").reasons
    assert loop.axis == 0

    model = tmp_path / "Modell größer.safetensors"
    driver.do("save_model", model)
    assert model.read_bytes() == loop.model_path.read_bytes()
    with pytest.raises(OutputError):
        driver.do("save_model", tmp_path / "no such folder" / "model.safetensors")
    files = loop.export(tmp_path, ["seg.nrrd", "nii.gz", "stl"])
    assert sorted(path.name for path in files) == sorted(path.name for path in tmp_path.iterdir() if path != model)
    assert len(files) == 4

    driver.do("undo")
    driver.do("undo")
    assert patient.is_untouched()
    assert [entry.index for entry in loop.annotated_slices()] == list(ANNOTATED)
    driver.do("discard")
    assert loop.result is None
    assert loop.state is State.IDLE
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert driver.changes > 10


def test_the_second_training_sees_the_new_annotation_and_updates_the_overlay(driver, patient):
    loop = driver.loop
    patient.open_in(driver)
    driver.train()
    overlay, model, first = loop.overlay.prediction, loop.model_path, loop.result
    hidden = HIDDEN[0]
    mask = mrml.class_array(patient.segmentation, patient.volume) == 1
    mask[hidden, 20:30, 5:9] = True
    drawn_like(patient, mask)
    assert hidden in [entry.index for entry in loop.annotated_slices()]
    driver.train()
    assert loop.state is State.DONE, loop.last_error
    assert loop.overlay.prediction is overlay
    assert loop.result is not first
    np.testing.assert_array_equal(loop.result.labels[hidden] == 1, mask[hidden])
    assert loop.model_path != model
    assert not model.exists(), "models of former trainings are cleared away"
    assert not list(loop.worker.folder.rglob("*.npy")), "so are the arrays"


def test_a_first_overlay_is_shown_while_the_network_still_learns(driver, patient):
    loop = driver.loop
    patient.open_in(driver)
    driver.begin_training()
    driver.poll_until(lambda: loop.result is not None)
    assert loop.state is State.TRAINING
    first, overlay = loop.result, loop.overlay.prediction
    for label in (1, 2):
        assert dice(first.labels[list(HIDDEN)] == label, patient.truth[list(HIDDEN)] == label) > 0.8
    np.testing.assert_array_equal(mrml.class_array(overlay, patient.volume), first.labels)
    assert not loop.availability("accept_all").allowed, "the training goes on"
    assert patient.is_untouched()
    driver.do("stop")
    driver.poll_until(lambda: not loop.state.busy)
    assert loop.result is not first
    assert loop.overlay.prediction is overlay
    assert loop.suggestions


def test_the_first_overlay_can_be_used_where_the_prediction_was_given_up(driver, patient):
    loop = driver.loop
    patient.open_in(driver)
    driver.begin_training()
    driver.poll_until(lambda: loop.result is not None)
    first = loop.result
    driver.do("stop")
    driver.do("stop")
    driver.poll_until(lambda: not loop.state.busy)
    assert loop.state is State.CANCELLED
    assert loop.result is first
    driver.do("accept_all")
    driver.poll_until(lambda: not loop.accepting)
    np.testing.assert_array_equal(mrml.class_array(patient.segmentation, patient.volume), first.labels)


def test_changed_voxels_are_sent_again(driver, patient):
    loop = driver.loop
    patient.open_in(driver)
    driver.train()
    held = loop.worker.holds
    driver.train()
    assert loop.worker.holds == held
    slicer.util.updateVolumeFromArray(patient.volume, np.full(SHAPE, 3, np.int16))
    driver.train()
    assert loop.state is State.FAILED
    assert "the value 3 in every voxel" in loop.last_error


def test_one_class_with_an_empty_slice(driver, add_volume, add_segmentation):
    truth = (truth_of() == 1) & (np.arange(SHAPE[0]) < 5)[:, None, None]
    volume = add_volume(image_of(truth.astype(np.uint8)), GEOMETRY)
    drawn = truth & np.isin(np.arange(SHAPE[0]), (1, 4))[:, None, None]
    driver.do("set_volume", volume)
    driver.do("set_segmentation", add_segmentation(volume, {"only": drawn}))
    driver.do("mark_empty", 7)
    driver.train()
    assert driver.loop.state is State.DONE, driver.loop.last_error
    assert not driver.loop.result.labels[7].any()
    assert driver.loop.settings.axis == 0
    driver.do("accept_slice", 6)
    marks = {entry.index: entry for entry in driver.loop.annotated_slices()}
    assert marks[6].empty == (not driver.loop.result.labels[6].any())


# Stopping


def test_a_cancel_is_honoured_within_two_seconds_and_leaves_a_usable_model(driver, patient, tmp_path):
    loop = driver.loop
    patient.open_in(driver)
    driver.begin_training()
    begin = time.monotonic()
    driver.do("stop")
    assert loop.state is State.STOPPING
    driver.poll_until(lambda: loop.progress.stage == "predicting" or not loop.state.busy)
    assert time.monotonic() - begin < 2
    driver.poll_until(lambda: not loop.state.busy)
    assert driver.states[-3:] == [State.TRAINING, State.STOPPING, State.CANCELLED]
    assert loop.result is not None
    assert loop.overlay.prediction is not None
    driver.do("save_model", tmp_path / "partial.safetensors")
    assert patient.is_untouched()
    assert loop.availability("train").allowed


def test_a_stop_before_training_leaves_nothing(driver, patient):
    loop = driver.loop
    patient.open_in(driver)
    driver.do("train")
    driver.do("stop")
    assert loop.state is State.CANCELLED
    assert loop.result is None
    assert loop.model_path is None
    pid = loop.worker.pid
    driver.train()
    assert loop.state is State.DONE
    assert loop.worker.pid == pid


# Faults


def test_a_killed_worker_is_a_failure_and_the_next_training_works(driver, patient):
    loop = driver.loop
    patient.open_in(driver)
    driver.begin_training()
    psutil.Process(loop.worker.pid).kill()
    driver.poll_until(lambda: not loop.state.busy, seconds=10)
    assert loop.state is State.FAILED
    assert "The worker was ended from outside" in loop.last_error or "ended unexpectedly" in loop.last_error
    assert loop.log_path.is_file()
    assert patient.is_untouched()
    driver.train()
    assert loop.state is State.DONE
    assert loop.last_error == ""


def test_what_the_core_refuses_is_told_in_its_words(driver, patient):
    patient.open_in(driver)
    slicer.util.updateVolumeFromArray(patient.volume, np.full(SHAPE, 3, np.int16))
    driver.train()
    assert driver.loop.state is State.FAILED
    assert "the value 3 in every voxel" in driver.loop.last_error
    assert isinstance(driver.loop.error, InputError), "bad input, not a failure of ours"
    assert patient.is_untouched()


# Nodes that go away


REMOVALS = {
    "volume": lambda scene, patient: scene.RemoveNode(patient.volume),
    "segmentation": lambda scene, patient: scene.RemoveNode(patient.segmentation),
    "scene": lambda scene, _: scene.Clear(0),
}


@pytest.mark.parametrize("what", REMOVALS)
def test_a_node_that_goes_away_cancels_the_training(driver, scene, patient, add_volume, add_segmentation, what):
    loop = driver.loop
    patient.open_in(driver)
    driver.begin_training()
    assert loop.worker._waiting
    REMOVALS[what](scene, patient)
    assert loop.state is State.IDLE
    assert loop.result is None
    assert loop.suggestions == []
    assert loop.overlay.prediction is None
    assert loop.messages == [f"The {what} was removed. The training was cancelled."]
    assert (loop.volume is None) == (what in ("volume", "scene"))
    assert (loop.segmentation is None) == (what in ("segmentation", "scene"))
    nodes = scene.GetNumberOfNodes()
    pid = loop.worker.pid
    driver.poll_until(lambda: not loop.worker._waiting)
    assert scene.GetNumberOfNodes() == nodes, "late results made nodes"
    assert loop.state is State.IDLE

    other = Patient(add_volume, add_segmentation, seed=1, name="other")
    other.open_in(driver)
    driver.train()
    assert loop.state is State.DONE, loop.last_error
    assert loop.worker.pid == pid
    np.testing.assert_array_equal(loop.result.labels[list(ANNOTATED)], other.truth[list(ANNOTATED)])


def test_results_for_another_volume_are_dropped(driver, add_volume, add_segmentation):
    first = Patient(add_volume, add_segmentation, name="first")
    second = Patient(add_volume, add_segmentation, seed=1, name="second")
    loop = driver.loop
    first.open_in(driver)
    driver.begin_training()
    second.open_in(driver)
    assert loop.state is State.IDLE
    driver.train()
    assert loop.state is State.DONE, loop.last_error
    np.testing.assert_array_equal(loop.result.labels[list(ANNOTATED)], second.truth[list(ANNOTATED)])
    assert loop.overlay.prediction.GetName() == "second drawn prediction"
    assert first.is_untouched()
    assert second.is_untouched()


def test_a_prediction_that_the_user_removes_is_forgotten(driver, scene, patient):
    loop = driver.loop
    patient.open_in(driver)
    driver.train()
    scene.RemoveNode(loop.overlay.uncertainty)
    assert loop.result is not None
    scene.RemoveNode(loop.overlay.prediction)
    assert loop.result is None
    assert not loop.availability("accept_all").allowed
    driver.train()
    assert loop.overlay.prediction is not None


def test_two_loops_do_not_mix(driver, new_driver, add_volume, add_segmentation):
    patients = [Patient(add_volume, add_segmentation, seed=seed, name=f"patient {seed}") for seed in (0, 1)]
    drivers = [driver, new_driver()]
    for each, patient in zip(drivers, patients, strict=True):
        patient.open_in(each)
        each.do("train")
    driver.poll_until(lambda: drivers[1].do("poll") or not any(each.loop.state.busy for each in drivers))
    for each, patient in zip(drivers, patients, strict=True):
        assert each.loop.state is State.DONE, each.loop.last_error
        np.testing.assert_array_equal(each.loop.result.labels[list(ANNOTATED)], patient.truth[list(ANNOTATED)])
        np.testing.assert_array_equal(
            mrml.class_array(each.loop.overlay.prediction, patient.volume), each.loop.result.labels
        )
        assert patient.is_untouched()
    assert drivers[0].loop.worker.pid != drivers[1].loop.worker.pid
