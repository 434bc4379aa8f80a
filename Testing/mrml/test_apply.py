"""A finished model on other volumes of the scene and on folders of images, with real workers."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer
from loop_driver import ANNOTATED, GEOMETRY, dice, fast_settings, image_of, truth_of
from test_loop_faults import DEAF

from main_thread import Ledger
from sslseg.annotation import IGNORE, Annotation, Segment
from sslseg.errors import CheckpointError, InputError
from sslseg.finetune import Case, finetune
from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels
from sslseg.model import Model
from sslseg.predict import predict
from sslseg.presets import PRESETS
from sslseg.settings import Settings
from sslseg.volume import Volume, write_array
from SSLSegmentLib import mrml
from SSLSegmentLib.apply_targets import plan_folder
from SSLSegmentLib.background_job import JobState
from SSLSegmentLib.settings import LoopSettings

SEGMENTS = (Segment("Größe 1", (0.2, 0.5, 0.9), 1, "first"), Segment("zwei", (0.9, 0.1, 0.3), 2, "second"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved model of the two discs."""
    truth = truth_of()
    labels = np.full(truth.shape, IGNORE, np.uint8)
    labels[list(ANNOTATED)] = truth[list(ANNOTATED)]
    case = Case(Volume(image_of(truth).astype(np.float32), GEOMETRY), Annotation(labels, GEOMETRY, SEGMENTS), 0)
    short = replace(PRESETS["fast"], max_pixels=48, patch=32, propagated=0, steps=60)
    path = tmp_path_factory.mktemp("Modelle größer") / "discs.safetensors"
    finetune([case], Settings(device="cpu", weights="none"), preset=short).model.save(path)
    return path


@pytest.fixture(scope="module")
def expected(model):
    """What the core says of the image, without worker and viewer."""
    image = Volume(image_of(truth_of()).astype(np.float32), GEOMETRY)
    labels = predict(Model.load(model), image, device="cpu").labels
    assert dice(labels > 0, truth_of() > 0) > 0.2  # it is no good model, but one
    return labels


@pytest.fixture
def driver(scene, shared_driver, model):
    assert not scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    shared_driver.loop.settings.__init__(**vars(fast_settings(apply_model=str(model))))
    return shared_driver


def finish(driver):
    """Poll to the end; returns the apply job."""
    job = driver.loop.apply
    driver.poll_until(lambda: not job.state.busy)
    return job


def write_heart(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_array(image_of(truth_of(seed)), GEOMETRY, path)


def assert_same(labels, expected):
    """Sums in another order may turn a voxel."""
    assert np.count_nonzero(labels != expected) < 10


def assert_file_has(path, expected):
    found = read_dense_labels(path)
    assert found.geometry.difference(GEOMETRY) is None
    assert_same(found.labels, expected)
    return found


# Volumes of the scene


def test_each_volume_gets_a_segmentation_named_after_it(driver, patient, add_volume, expected):
    loop = driver.loop
    patient.open_in(driver)
    hearts = [add_volume(image_of(truth_of()), GEOMETRY, f"Herz größer {n}") for n in (1, 2)]
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert loop.apply.candidates() == [patient.volume, *hearts]
    saved, loop.settings.apply_model = loop.settings.apply_model, ""
    assert loop.apply.candidates() == hearts, "a training has predicted its own volume"
    loop.settings.apply_model = saved
    fractions = []
    driver.do("apply.start", hearts)
    assert "applied" in driver.loop.availability("train").reasons[0]
    driver.poll_until(lambda: fractions.append(loop.apply.fraction or 0.0) or not loop.apply.state.busy)
    assert loop.apply.state is JobState.DONE, loop.apply.last_error
    assert loop.apply.summary == "2 of 2 segmented."
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 2
    for heart, node in zip(hearts, loop.apply.results, strict=True):
        assert node.GetName() == f"{heart.GetName()} prediction"
        found = [(s.name, s.segment_id, pytest.approx(s.color)) for s in mrml.segments_from_node(node)]
        assert found == [(s.name, s.segment_id, s.color) for s in SEGMENTS]
        assert_same(mrml.class_array(node, heart), expected)
    assert patient.is_untouched()
    assert loop.availability("train").allowed
    assert list(loop.worker.folder.rglob("*.npy")) == []


def test_a_second_time_leaves_the_first_result_alone(driver, add_volume):
    heart = add_volume(image_of(truth_of()), GEOMETRY, "heart")
    driver.do("apply.start", [heart])
    (first,) = finish(driver).results
    before = mrml.fingerprint(first)
    driver.do("apply.start", [heart])
    (second,) = finish(driver).results
    assert second is not first
    assert second.GetName() != first.GetName()
    assert mrml.fingerprint(first) == before


def test_volumes_that_go_or_cannot_be_used_are_skipped(driver, add_volume, scene):
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    flat = add_volume(np.zeros(GEOMETRY.shape, np.int16), GEOMETRY, "flat")
    removed_early, removed_late, kept = (
        add_volume(image_of(truth_of()), GEOMETRY, name) for name in ("early", "late", "kept")
    )
    job = driver.loop.apply
    driver.do("apply.start", [empty, flat, removed_late, removed_early, kept])
    scene.RemoveNode(removed_early)
    driver.poll_until(lambda: job.progress.stage == "segmenting late" and job.progress.device)
    scene.RemoveNode(removed_late)
    finish(driver)
    assert job.state is JobState.DONE
    assert job.summary == "1 of 5 segmented, 4 skipped."
    assert [node.GetName() for node in job.results] == ["kept prediction"]
    for message, name in zip(job.messages, ("empty", "flat", "late", "early"), strict=True):
        assert message.startswith("Skipped: ")
        assert f"'{name}'" in message


def test_the_model_of_the_training_is_used_and_a_training_goes_on_afterwards(driver, patient, add_volume):
    loop = driver.loop
    loop.settings.apply_model = ""
    other = add_volume(image_of(truth_of()), GEOMETRY, "other")
    assert "train first" in loop.apply.availability().reasons[-1]
    with pytest.raises(InputError, match="train first"):
        driver.do("apply.start", [other])
    patient.open_in(driver)
    driver.begin_training()
    assert "training is running" in loop.apply.availability().reasons[0]
    driver.do("stop")
    driver.poll_until(lambda: not loop.state.busy)
    driver.train()
    driver.do("apply.start", [other])
    (node,) = finish(driver).results
    assert [s.name for s in mrml.segments_from_node(node)] == ["Name of segment1", "Name of segment2"]
    driver.train()
    assert loop.result is not None
    assert dice(loop.result.labels == 1, patient.truth == 1) > 0.8


# Folders


def test_a_folder_is_segmented_beside_the_images(driver, tmp_path, expected):
    folder = tmp_path / "Bilder größer"
    write_heart(folder / "b.nrrd")
    write_heart(folder / "deeper one" / "a.nii.gz")
    write_heart(folder / "done.nrrd")
    (folder / "done.seg.nrrd").write_bytes(b"mine")
    (folder / "broken.nii.gz").write_bytes(b"no image")
    driver.loop.settings.apply_folder = str(folder)
    driver.do("apply.start_folder")
    job = finish(driver)
    assert job.state is JobState.DONE, job.last_error
    assert job.summary == "2 of 4 segmented, 2 skipped."
    assert sorted(job.written) == [folder / "b.seg.nrrd", folder / "deeper one" / "a.seg.nrrd"]
    assert (folder / "done.seg.nrrd").read_bytes() == b"mine"
    assert any("done.seg.nrrd is there already" in message for message in job.messages)
    assert any("broken.nii.gz" in message for message in job.messages)
    found = assert_file_has(folder / "b.seg.nrrd", expected)
    assert [s.name for s in found.segments] == [s.name for s in SEGMENTS]

    driver.do("apply.start_folder", overwrite=True)
    assert finish(driver).summary == "3 of 4 segmented, 1 skipped."
    assert_file_has(folder / "done.seg.nrrd", expected)


def test_results_go_to_an_output_folder_in_the_same_tree(driver, tmp_path, expected):
    write_heart(tmp_path / "in" / "p1" / "image.nrrd")
    write_heart(tmp_path / "in" / "p2" / "image.nrrd")
    settings = driver.loop.settings
    settings.apply_folder, settings.apply_output_folder = str(tmp_path / "in"), str(tmp_path / "new" / "out")
    settings.apply_ending = ".nii.gz"
    driver.do("apply.start_folder")
    assert finish(driver).summary == "2 of 2 segmented."
    for patient in ("p1", "p2"):
        assert_file_has(tmp_path / "new" / "out" / patient / "image_seg.nii.gz", expected)
    assert len(list((tmp_path / "in").rglob("*.*"))) == 2


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_images_fails_with_a_sentence(driver, tmp_path, name):
    (tmp_path / "empty").mkdir()
    driver.loop.settings.apply_folder = str(tmp_path / name)
    driver.do("apply.start_folder")
    job = finish(driver)
    assert job.state is JobState.FAILED
    assert name in job.last_error


def test_a_full_or_locked_place_ends_the_job(driver, tmp_path):
    write_heart(tmp_path / "in" / "a.nrrd")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    settings = driver.loop.settings
    settings.apply_folder, settings.apply_output_folder = str(tmp_path / "in"), str(tmp_path / "file")
    driver.do("apply.start_folder")
    job = finish(driver)
    assert job.state is JobState.FAILED
    assert "file" in job.last_error
    assert job.written == []


def test_a_cancel_keeps_what_is_finished(driver, tmp_path):
    for n in range(30):
        write_heart(tmp_path / f"{n:02}.nrrd")
    driver.loop.settings.apply_folder = str(tmp_path)
    job = driver.loop.apply
    driver.do("apply.start_folder")
    driver.poll_until(lambda: job.written)
    driver.do("apply.cancel")
    assert job.state is JobState.STOPPING
    assert driver.poll_until(lambda: not job.state.busy) < 2
    assert job.state is JobState.CANCELLED
    assert 0 < len(job.written) < 30
    assert job.summary == f"Cancelled: {len(job.written)} of 30 segmented."
    assert all(path.is_file() for path in job.written)
    assert not job.availability("cancel").allowed
    driver.do("apply.cancel")
    assert job.state is JobState.CANCELLED


# Faults


def test_what_is_missing_is_listed(idle_driver, model, add_volume):
    loop = idle_driver.loop
    loop.settings.apply_ending = ".dcm"
    reasons = loop.apply.availability("start_folder").reasons
    assert [reason.split()[0] for reason in reasons] == ["There", "Choose", "There"]
    loop.settings.apply_model = str(model)
    with pytest.raises(InputError, match="at least one volume"):
        idle_driver.do("apply.start", [])
    loop.settings.apply_model = str(model.with_name("gone.safetensors"))
    with pytest.raises(CheckpointError, match="not there"):
        idle_driver.do("apply.start", [add_volume(image_of(truth_of()), GEOMETRY)])
    assert loop.apply.state is JobState.IDLE
    assert loop.worker.pid is None


def test_a_second_cancel_ends_a_worker_that_does_not_answer(new_driver, model, add_volume):
    driver = new_driver(DEAF, settings=LoopSettings(apply_model=str(model)))
    job = driver.loop.apply
    driver.do("apply.start", [add_volume(image_of(truth_of()), GEOMETRY)])
    driver.poll_until(lambda: list(driver.loop.worker.folder.rglob("volume.npy")) and driver.loop.worker.ready)
    for _ in range(3):
        driver.do("poll")
    driver.do("apply.cancel")
    driver.do("apply.cancel")
    assert job.state is JobState.CANCELLED


DYING = DEAF.replace("    pass", "    sys.exit('out of memory')")


def test_a_worker_that_dies_fails_the_job(new_driver, model, add_volume):
    driver = new_driver(DYING, settings=LoopSettings(apply_model=str(model)))
    driver.do("apply.start", [add_volume(image_of(truth_of()), GEOMETRY)])
    job = finish(driver)
    assert job.state is JobState.FAILED
    assert "out of memory" in job.last_error
    assert driver.loop.last_error == ""


def test_pretrained_weights_are_no_model(idle_driver, tmp_path, model, add_volume):
    weights = Path(shutil.copy(model, tmp_path / "w.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content.replace(b'\\"method\\": \\"finetune\\"', b'\\"method\\": \\"pix2repp\\"'))
    assert weights.read_bytes() != content
    idle_driver.loop.settings.apply_model = str(weights)
    with pytest.raises(CheckpointError, match="cannot segment yet"):
        idle_driver.do("apply.start", [add_volume(image_of(truth_of()), GEOMETRY)])


# Names of files


def image(folder, name, ending=".nrrd"):
    return {"path": str(folder / f"{name}{ending}"), "folder": str(folder), "name": name}


def test_images_of_one_name_get_results_of_their_own(tmp_path):
    images = [image(tmp_path, "a"), image(tmp_path, "a", ".nii.gz"), image(tmp_path, "b")]
    plan = plan_folder(images, LoopSettings(apply_folder=str(tmp_path)), overwrite=False)
    assert [target.output.name for target in plan.targets] == ["a.seg.nrrd", "a_2.seg.nrrd", "b.seg.nrrd"]
    (tmp_path / "a.seg.nrrd").touch()
    again = plan_folder(images, LoopSettings(apply_folder=str(tmp_path)), overwrite=False)
    assert [target.output.name for target in again.targets] == ["a_2.seg.nrrd", "b.seg.nrrd"]
    assert len(again.skipped) == 1


# Large volumes

QUICK_WORKER = """
import json, sys
import numpy as np
print('{"id": 0, "event": "result", "ready": true, "devices": []}', flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "load":
        volume = np.load(request["array"], mmap_mode="r")
    elif request["do"] == "predict":
        np.save(request["output"], (volume > 100).astype(np.uint8))
    print(json.dumps({"id": request["id"], "event": "result", "stopped": "schedule"}), flush=True)
    if request["do"] == "shutdown":
        break
"""


@pytest.mark.slow
def test_a_large_volume_does_not_hold_up_the_viewer(new_driver, model, add_volume):
    shape = (150, 512, 512)
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    ball = (((k - 75) / 70) ** 2 + ((j - 256) / 250) ** 2 + ((i - 256) / 250) ** 2 < 1).astype(np.uint8)
    volume = add_volume(200 * ball.astype(np.int16), Geometry(shape), "body")
    driver = new_driver(QUICK_WORKER, settings=LoopSettings(apply_model=str(model)))
    job, ledger = driver.loop.apply, Ledger(always=0)
    ledger.call("start", job.start, [volume])
    while job.state.busy:
        ledger.call("poll", driver.loop.poll)
        time.sleep(0.005)
    assert job.summary == "1 of 1 segmented.", job.messages
    assert not ledger.too_slow()
    np.testing.assert_array_equal(mrml.class_array(job.results[0], volume), ball)
