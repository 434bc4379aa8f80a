"""The annotation loop with workers that do not answer, die, or cannot start: small real child processes."""

import numpy as np
import psutil
import pytest

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
