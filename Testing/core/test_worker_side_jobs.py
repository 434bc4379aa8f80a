"""What the worker does beside training and predicting, as its parent sees it."""

from dataclasses import asdict

import numpy as np
import psutil
import pytest
from pretrain_files import GRID, write_images
from test_dicom_series import write_series
from worker_parent import ANNOTATED, GEOMETRY, SHAPE, images, prediction, training

from sslseg.annotation import IGNORE
from sslseg.checkpoint import read_header
from sslseg.labelmap_io import read_dense_labels
from sslseg.measure import measure_training
from sslseg.pretrain_settings import PretrainSettings
from sslseg.priority import POSIX_IDLE, WINDOWS_IDLE
from sslseg.settings import Settings
from sslseg.volume import write_array


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("Aufnahmen größer"), 3)


def pretraining(scans, weights, **changes):
    settings = PretrainSettings(
        **{"method": "pix2rep", "backbone": "tiny", "steps": 4, "batch": 2, "patch": 32, "device": "cpu", **changes}
    )
    return {"data": [str(scans)], "settings": settings.as_dict(), "weights": str(weights)}


def test_images_of_a_folder_are_found_and_label_maps_left_out(parent, tmp_path):
    folder = write_images(tmp_path / "a b", 2)
    write_images(folder / "deeper", 1)
    write_array(np.ones(GRID.shape, np.uint8), GRID, folder / "image0_seg.nii.gz")
    series = folder / "Serie é"
    write_series(series)
    found = parent.ask("find", folder=str(folder))["images"]
    names = [(image["folder"], image["name"]) for image in found]
    assert names == [
        (str(folder), "image0"),
        (str(folder), "image1"),
        (str(series), "Serie é"),
        (str(folder / "deeper"), "image0"),
    ]
    for image in found:
        assert parent.ask("load", volume="any", image=image["path"])["event"] == "result"


def test_a_folder_without_images_is_told(parent, tmp_path):
    reply = parent.ask("find", folder=str(tmp_path))
    assert reply["kind"] == "InputError"
    assert "No images were found" in reply["message"]


def test_a_measurement_times_each_stage_of_a_training(parent):
    reply = parent.ask("measure", settings=Settings(preset="fast", device="cpu", weights="none").as_dict())
    assert reply["event"] == "result", reply
    assert reply["stopped"] == "schedule"
    assert reply["device"] == "cpu"
    assert 0.5 < reply["seconds"] < 600


def test_a_measurement_stops(parent):
    number = parent.send("measure", settings=Settings(preset="accurate", device="cpu", weights="none").as_dict())
    parent.wait_for(number, "progress")
    parent.send("cancel", job=number)
    reply = parent.wait_for(number)
    assert (reply["stopped"], reply["seconds"]) == ("request", None)


def test_pretrained_weights_add_the_linear_probe(parent, scans, tmp_path):
    weights = tmp_path / "w.safetensors"
    parent.ask("pretrain", **pretraining(scans, weights))
    stages = []
    measured = measure_training(
        Settings(preset="fast", device="cpu", weights=str(weights)),
        on_progress=lambda p: stages.append((p.step, p.steps)),
    )
    assert measured.seconds > 0
    assert stages.count((1, 4)) == 2


def test_pretraining_writes_weights_and_goes_on(parent, scans, tmp_path):
    weights = tmp_path / "new folder" / "größe.safetensors"
    number = parent.send("pretrain", **pretraining(scans, weights))
    losses, messages = [], []
    while (message := parent.receive())["event"] == "progress":
        losses.append(message["loss"])
        messages.append(message["message"])
    assert message["event"] == "result", message
    assert message["id"] == number
    assert message["weights"] == str(weights)
    assert (message["stopped"], message["steps"], message["skipped"]) == ("schedule", 4, [])
    assert [loss for loss in losses if loss is not None]
    assert read_header(weights)["method"] == "pix2rep"
    reply = parent.ask("pretrain", **pretraining(scans, weights), resume=True)
    assert reply["steps"] == 4


def test_a_pretraining_without_a_step_leaves_no_weights(parent, scans, tmp_path):
    weights = tmp_path / "w.safetensors"
    reply = parent.ask("pretrain", **pretraining(scans, weights, steps=None, time_limit_s=1e-9))
    assert (reply["event"], reply["kind"]) == ("error", "SSLSegError")
    assert "before its first step" in reply["message"]
    assert not weights.exists()


def test_pretraining_has_the_lowest_priority(parent):
    assert psutil.Process(parent.process.pid).nice() in (POSIX_IDLE, WINDOWS_IDLE)


def test_faults_of_a_pretraining_are_told(parent, tmp_path):
    reply = parent.ask("pretrain", **pretraining(tmp_path / "nowhere", tmp_path / "w.safetensors"))
    assert reply["kind"] == "InputError"
    assert "nowhere" in reply["message"]


@pytest.mark.parametrize("name", ["out.seg.nrrd", "out.nii.gz"])
def test_a_prediction_becomes_a_label_file(parent, tmp_path, name):
    voxels, truth = images()
    labels = np.full(SHAPE, IGNORE, np.uint8)
    labels[list(ANNOTATED)] = truth[list(ANNOTATED)]
    np.save(tmp_path / "volume.npy", voxels)
    np.save(tmp_path / "labels.npy", labels)
    parent.ask("load", volume="heart", array=str(tmp_path / "volume.npy"), geometry=asdict(GEOMETRY))
    assert parent.ask("finetune", **training(tmp_path, time_limit_s=0.5))["event"] == "result"
    reply = parent.ask("predict", **prediction(tmp_path) | {"output": str(tmp_path / name), "uncertainty": None})
    assert reply["event"] == "result", reply
    found = read_dense_labels(tmp_path / name)
    assert found.geometry.difference(GEOMETRY) is None
    np.testing.assert_array_equal(found.labels[list(ANNOTATED)], truth[list(ANNOTATED)])
