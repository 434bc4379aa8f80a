"""The annotation loop with workers that do not answer, die, or cannot start: small real child processes."""

import numpy as np
import psutil
import pytest
from loop_driver import HIDDEN

from sslseg.errors import SSLSegError
from sslseg.geometry import Geometry
from SSLSegmentLib.loop_state import State
from SSLSegmentLib.worker_process import WorkerProcess

DEAF = """
import sys, time
print('{"id": 0, "event": "result", "ready": true, "devices": []}', flush=True)
for line in sys.stdin:
    pass
time.sleep(600)
"""


def test_a_second_stop_ends_a_worker_that_does_not_answer(new_driver, patient):
    driver = new_driver(DEAF)
    patient.open_in(driver)
    driver.do("train")
    driver.poll_until(lambda: driver.loop.worker.holds is not None)
    driver.do("stop")
    assert driver.loop.state is State.STOPPING
    pid = driver.loop.worker.pid
    driver.do("stop")
    assert driver.loop.state is State.CANCELLED
    driver.poll_until(lambda: not psutil.pid_exists(pid), seconds=10)
    driver.do("train")
    driver.poll_until(lambda: driver.loop.worker.ready)
    assert driver.loop.worker.pid != pid
    driver.do("stop")
    driver.do("stop")


def test_a_large_volume_does_not_hold_up_the_viewer(new_driver, add_volume, add_segmentation):
    shape = (150, 512, 512)
    drawn = np.zeros(shape, bool)
    drawn[[30, 70, 110], 150:350, 150:350] = True
    voxels = np.random.default_rng(0).integers(0, 1000, shape, dtype=np.int16)
    volume = add_volume(voxels, Geometry(shape, (0.8, 0.8, 2.0)))
    driver = new_driver(DEAF)
    driver.do("set_volume", volume)
    driver.do("set_segmentation", add_segmentation(volume, {"organ": drawn}))
    driver.poll_until(lambda: driver.loop.user.up_to_date)
    assert [entry.index for entry in driver.do("annotated_slices")] == [30, 70, 110]
    driver.do("train")
    driver.poll_until(lambda: driver.loop.worker.holds is not None)
    (written,) = driver.loop.worker.folder.rglob("volume.npy")
    np.testing.assert_array_equal(np.load(written), voxels)
    driver.do("stop")
    driver.do("stop")


DYING = """
import sys
print('{"id": 0, "event": "result", "ready": true}', flush=True)
for line in sys.stdin:
    for number in range(300):
        print("warning", number, file=sys.stderr)
    sys.exit("libgomp: out of the question")
"""


def test_the_last_lines_of_a_worker_that_dies_are_told(new_driver, patient):
    driver = new_driver(DYING)
    patient.open_in(driver)
    driver.train()
    assert driver.loop.state is State.FAILED
    first, *rest = driver.loop.last_error.splitlines()
    assert "exit code 1" in first
    assert rest == [f"warning {number}" for number in range(296, 300)] + ["libgomp: out of the question"]
    assert len(driver.loop.log_path.read_text(encoding="utf-8").splitlines()) == 301


def test_a_worker_without_torch_says_what_to_install(new_driver, patient):
    driver = new_driver("""
print('{"id": 0, "event": "error", "kind": "ImportError", "message": "Install PyTorch."}', flush=True)
raise SystemExit(1)
""")
    patient.open_in(driver)
    driver.train()
    assert driver.loop.state is State.FAILED
    assert driver.loop.last_error == "Install PyTorch."


def test_a_program_that_is_not_there_is_told_at_once(new_driver, patient):
    def factory(*, folder, **options):
        return WorkerProcess([str(folder / "no such python")], **options)

    driver = new_driver(worker_factory=factory)
    patient.open_in(driver)
    with pytest.raises(SSLSegError, match="no such python"):
        driver.do("train")
    assert driver.loop.state is State.IDLE


def test_a_worker_that_dies_at_rest_is_told_and_replaced(new_driver, patient):
    driver = new_driver("print('bye', flush=True); raise SystemExit(3)")
    patient.open_in(driver)
    driver.loop.worker.start()
    driver.poll_until(lambda: driver.loop.messages)
    assert driver.loop.state is State.IDLE
    assert driver.loop.messages == ["The worker ended unexpectedly (exit code 3): train again to start a new one.\nbye"]
    assert driver.loop.availability("train").allowed


ANSWERING = """
import json, pathlib, sys
import numpy as np
print('{"id": 0, "event": "result", "ready": true}', flush=True)
for line in sys.stdin:
    request = json.loads(line)
    reply = {"id": request["id"], "event": "result", "stopped": "schedule"}
    if request["do"] == "finetune":
        pathlib.Path(request["model"]).write_bytes(b"weights")
        reply["model"] = request["model"]
    if request["do"] == "predict":
        PREDICT
        reply.update(output=request["output"], uncertainty=request["uncertainty"])
    if request["do"] == "suggest":
        SUGGEST
    print(json.dumps(reply), flush=True)
"""
GOOD = "[np.save(request[n], np.zeros((8, 48, 40), t)) for n, t in (('output', 'u1'), ('uncertainty', 'f4'))]"
WRONG = "[np.save(request[n], np.zeros((2, 2, 2), t)) for n, t in (('output', 'u1'), ('uncertainty', 'f4'))]"
CUT = "[pathlib.Path(request[n]).write_bytes(b'NUMPY') for n in ('output', 'uncertainty')]"
NO_SUGGESTION = "reply = {'id': request['id'], 'event': 'error', 'message': 'Nothing to suggest.'}"


@pytest.mark.parametrize(
    ("predict", "sentence"),
    [(WRONG, "does not fit the volume"), (CUT, "could not be exchanged with the worker"), ("pass", "could not be")],
    ids=["another shape", "a cut file", "no file"],
)
def test_a_result_that_cannot_be_used_is_a_failure(new_driver, patient, predict, sentence):
    driver = new_driver(ANSWERING.replace("PREDICT", predict).replace("SUGGEST", "pass"))
    patient.open_in(driver)
    driver.train()
    assert driver.loop.state is State.FAILED
    assert sentence in driver.loop.last_error
    assert driver.loop.result is None
    assert driver.loop.availability("save_model").allowed == (predict == WRONG)
    assert patient.is_untouched()


def test_a_prediction_without_a_suggestion_is_still_shown(new_driver, patient):
    driver = new_driver(ANSWERING.replace("PREDICT", GOOD).replace("SUGGEST", NO_SUGGESTION))
    patient.open_in(driver)
    driver.train()
    assert driver.loop.state is State.DONE
    assert driver.loop.messages == ["Nothing to suggest."]
    assert driver.loop.suggestions == []
    assert not driver.loop.result.labels.any()


def test_no_suggestion_is_asked_for_where_every_slice_is_annotated(new_driver, patient):
    driver = new_driver(ANSWERING.replace("PREDICT", GOOD).replace("SUGGEST", NO_SUGGESTION))
    patient.open_in(driver)
    for index in HIDDEN:
        driver.do("mark_empty", index)
    driver.train()
    assert driver.loop.state is State.DONE
    assert driver.loop.messages == []


def test_a_stop_during_the_prediction_gives_it_up_and_keeps_the_model(new_driver, patient):
    waiting = "stop = json.loads(sys.stdin.readline()); reply['stopped'] = 'request' if stop['do'] == 'cancel' else ''"
    driver = new_driver(ANSWERING.replace("PREDICT", waiting).replace("SUGGEST", "pass"))
    patient.open_in(driver)
    driver.do("train")
    driver.poll_until(lambda: driver.loop.worker.folder.joinpath("job-1", "model.safetensors").is_file())
    driver.poll_until(lambda: driver.loop._job._request == 4)
    driver.do("stop")
    driver.poll_until(lambda: not driver.loop.state.busy)
    assert driver.loop.state is State.CANCELLED
    assert driver.loop.result is None
    assert driver.loop.availability("save_model").allowed


def test_a_folder_that_was_tidied_away_is_made_again(new_driver, patient):
    driver = new_driver(ANSWERING.replace("PREDICT", GOOD).replace("SUGGEST", "reply['suggestions'] = []"))
    patient.open_in(driver)
    driver.loop.worker.folder.rmdir()
    driver.train()
    assert driver.loop.state is State.DONE, driver.loop.last_error
