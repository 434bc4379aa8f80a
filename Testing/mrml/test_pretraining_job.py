"""Pretraining beside everything else: a worker of its own, the curve, going on, and what is refused."""

import psutil
import pytest
import slicer
from loop_driver import Driver, fast_settings
from pretrain_files import write_images
from test_loop_faults import DEAF

from sslseg.errors import InputError
from sslseg.header import read_header
from SSLSegmentLib.background_job import JobState
from SSLSegmentLib.loop_state import State
from SSLSegmentLib.user_store import MemoryStore, set_weights_folder
from SSLSegmentLib.weights import weights_choices


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = write_images(tmp_path_factory.mktemp("Aufnahmen größer"), 3)
    (folder / "broken.nrrd").write_bytes(b"no image")
    return folder


@pytest.fixture
def own(tmp_path):
    """The user's weights folder, which does not exist yet."""
    return tmp_path / "meine Gewichte"


@pytest.fixture
def settings(scans):
    return fast_settings(
        pretraining_folder=str(scans),
        pretraining_backbone="tiny",
        pretraining_minutes=0.05,
        pretraining_name="Herzen größer v1.2",
    )


@pytest.fixture
def store(own):
    store = MemoryStore()
    set_weights_folder(store, own)
    return store


@pytest.fixture
def driver(new_driver, settings, store) -> Driver:
    return new_driver(settings=settings, store=store)


def begin(driver):
    """Start, and return as soon as something is learned."""
    job = driver.loop.pretraining
    driver.do("pretraining.start")
    driver.poll_until(lambda: job.progress.loss is not None or not job.state.busy)
    assert job.state is JobState.RUNNING, job.last_error
    return job


def finish(driver):
    job = driver.loop.pretraining
    driver.poll_until(lambda: not job.state.busy)
    return job


def losses(job):
    table = job.chart_node.GetNthPlotSeriesNode(0).GetTableNode()
    return slicer.util.arrayFromTableColumn(table, "Loss")


@pytest.mark.slow
def test_a_run_beside_a_training_from_its_start_to_its_end(driver, patient, own):
    loop = driver.loop
    loop.settings.pretraining_minutes = 60.0
    job = begin(driver)
    assert not job.availability().allowed
    patient.open_in(driver)
    driver.train()
    assert loop.state is State.DONE
    assert job.state is JobState.RUNNING
    pretrainer, trainer = (psutil.Process(session.pid) for session in (job._own, loop.worker))
    assert pretrainer.pid != trainer.pid
    assert psutil.WINDOWS or pretrainer.nice() > trainer.nice()
    driver.poll_until(lambda: len(losses(job)) > 1, seconds=60)
    assert job.chart_node.GetName() == "SSLSegment pretraining"
    assert 0 <= job.fraction < 0.5

    driver.do("pretraining.cancel")
    assert job.state is JobState.STOPPING
    driver.poll_until(lambda: not job.state.busy, seconds=20)  # the process has the lowest priority
    assert job.state is JobState.CANCELLED
    driver.poll_until(lambda: not job.alive, seconds=10)
    assert loop.alive
    assert job.weights == own / "Herzen größer v1.2.safetensors"
    header = read_header(job.weights)
    assert header["method"] == "pix2rep"
    assert any("broken.nrrd" in message for message in job.messages)
    assert "Herzen größer v1.2 (Pix2Rep)" in [choice.title for choice in weights_choices(own)]
    loop.settings.weights = str(job.weights)
    assert loop.availability("train").allowed

    assert job.resumes.startswith("The run 'Herzen größer v1.2' goes on")
    loop.settings.pretraining_method = "hssl"
    assert "method was pix2rep and is hssl" in job.availability().reasons[0]
    assert job.resumes == ""
    loop.settings.pretraining_method = "pix2rep"
    earlier = read_header(own / "Herzen größer v1.2.run" / "state.safetensors")["training"]["seconds"]
    loop.settings.pretraining_minutes = (earlier + 2) / 60
    driver.do("pretraining.start")
    finish(driver)
    assert job.state is JobState.DONE, job.last_error
    assert read_header(job.weights)["steps"] > header["steps"]
    assert "more time" in job.availability().reasons[0]
    loop.settings.pretraining_name = "another"
    assert job.availability().allowed


@pytest.mark.slow
def test_a_cancel_while_images_are_prepared_keeps_nothing(new_driver, settings, store, tmp_path):
    settings.pretraining_folder = str(write_images(tmp_path / "many", 60))
    driver = new_driver(settings=settings, store=store)
    job = driver.loop.pretraining
    driver.do("pretraining.start")
    driver.poll_until(lambda: job.progress.stage == "preparing images")
    driver.do("pretraining.cancel")
    finish(driver)
    assert job.state is JobState.CANCELLED, job.last_error
    assert job.weights is None
    assert job.messages


FAULT = '{"id": 1, "event": "error", "kind": "InputError", "message": "No images were found."}'
FAILING = DEAF.replace("    pass", f"    print({FAULT!r}, flush=True)")


def test_a_fault_ends_the_run_and_its_worker(new_driver, settings, store):
    driver = new_driver(FAILING, settings=settings, store=store)
    driver.do("pretraining.start")
    job = finish(driver)
    assert job.state is JobState.FAILED
    assert job.last_error == "No images were found."
    assert job.log_path.is_file()
    driver.poll_until(lambda: not job.alive, seconds=10)


def test_a_worker_that_does_not_answer_is_ended_by_a_second_cancel(new_driver, settings, store, patient):
    driver = new_driver(DEAF, settings=settings, store=store)
    job = driver.loop.pretraining
    driver.do("pretraining.start")
    pid = job._own.pid
    patient.open_in(driver)
    driver.do("pretraining.cancel")
    driver.do("pretraining.cancel")
    assert job.state is JobState.CANCELLED
    driver.poll_until(lambda: not job.alive and not psutil.pid_exists(pid), seconds=10)
    driver.do("pretraining.start")
    assert job._own.pid != pid


def test_two_panels_do_not_write_the_same_weights(new_driver, settings, store):
    first, second = (new_driver(DEAF, settings=settings, store=store) for _ in range(2))
    first.do("pretraining.start")
    assert "Another panel" in second.loop.pretraining.availability().reasons[0]
    with pytest.raises(InputError, match="Another panel"):
        second.do("pretraining.start")
    first.do("pretraining.cancel")
    first.do("pretraining.cancel")
    assert second.loop.pretraining.availability().allowed


OBEDIENT = """
import json, sys
print('{"id": 0, "event": "result", "ready": true, "devices": []}', flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "cancel":
        print(json.dumps({"id": request["job"], "event": "result", "stopped": "request"}), flush=True)
"""


def test_a_cancel_before_the_run_has_begun(new_driver, settings, store):
    driver = new_driver(OBEDIENT, settings=settings, store=store)
    driver.do("pretraining.start")
    driver.do("pretraining.cancel")
    job = finish(driver)
    assert (job.state, job.weights) == (JobState.CANCELLED, None)


def test_the_end_of_the_viewer_ends_the_worker(new_driver, settings, store):
    driver = new_driver(DEAF, settings=settings, store=store)
    driver.do("pretraining.start")
    process = psutil.Process(driver.loop.pretraining._own.pid)
    folder = driver.loop.pretraining._own.folder
    driver.do("shutdown")
    driver.poll_until(lambda: not driver.loop.alive and not folder.exists(), seconds=20)
    assert not process.is_running()


def test_a_worker_that_dies_fails_the_run_and_not_the_loop(new_driver, settings, store):
    driver = new_driver(DEAF.replace("    pass", "    sys.exit('no memory')"), settings=settings, store=store)
    driver.do("pretraining.start")
    job = finish(driver)
    assert job.state is JobState.FAILED
    assert "no memory" in job.last_error
    assert driver.loop.messages == []


def test_closing_the_scene_leaves_the_run_alone(new_driver, settings, store, scene):
    driver = new_driver(DEAF, settings=settings, store=store)
    driver.do("pretraining.start")
    scene.Clear(0)
    assert driver.loop.pretraining.state is JobState.RUNNING


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pretraining_folder": ""}, "Choose a folder"),
        ({"pretraining_name": ""}, "Give the weights a name"),
        ({"pretraining_name": "a/b"}, "cannot be the name of a file"),
        ({"pretraining_name": "..\\b"}, "cannot be the name of a file"),
        ({"pretraining_name": ".hidden"}, "cannot be the name of a file"),
        ({"pretraining_name": "ends with a dot."}, "cannot be the name of a file"),
        ({"pretraining_minutes": 0.0}, "time limit"),
        ({"pretraining_method": "magic"}, "no method 'magic'"),
        ({"pretraining_backbone": "huge"}, "no backbone 'huge'"),
    ],
)
def test_what_is_missing_is_listed(idle_driver, settings, changes, reason):
    loop = idle_driver.loop
    vars(loop.settings).update(vars(settings) | changes)
    (found,) = loop.pretraining.availability().reasons
    assert reason in found
    with pytest.raises(InputError):
        idle_driver.do("pretraining.start")
    assert loop.pretraining.state is JobState.IDLE


def test_weights_of_another_origin_are_not_replaced(new_driver, settings, store, own):
    driver = new_driver(DEAF, settings=settings, store=store)
    job = driver.loop.pretraining
    assert job.availability().allowed
    own.mkdir()
    (own / f"{settings.pretraining_name}.safetensors").touch()
    assert "already: choose another name" in job.availability().reasons[0]
    (own / f"{settings.pretraining_name}.run").mkdir()
    (own / f"{settings.pretraining_name}.run" / "state.safetensors").write_bytes(b"damaged")
    assert "not a safetensors file" in job.availability().reasons[0]
