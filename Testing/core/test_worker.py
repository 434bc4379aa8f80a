"""The worker process, as its parent sees it: real processes on small volumes."""

import json
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest
from worker_parent import ANNOTATED, GEOMETRY, SHAPE, Parent, images, prediction, training

import sslseg
from processes import gone
from sslseg.annotation import IGNORE
from sslseg.geometry import Geometry
from sslseg.priority import POSIX_IDLE, POSIX_NICENESS, WINDOWS_BELOW_NORMAL, WINDOWS_IDLE, lower_priority
from sslseg.progress import Progress
from sslseg.worker import Job, Request


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory, parent):
    """The files of a volume that is loaded as 'heart', and of its annotation."""
    folder = tmp_path_factory.mktemp("Austausch größer")
    voxels, truth = images()
    labels = np.full(SHAPE, IGNORE, np.uint8)
    labels[list(ANNOTATED)] = truth[list(ANNOTATED)]
    np.save(folder / "volume.npy", voxels)
    np.save(folder / "labels.npy", labels)
    reply = parent.ask("load", volume="heart", array=str(folder / "volume.npy"), geometry=asdict(GEOMETRY))
    assert reply["shape"] == list(SHAPE)
    return folder


def test_labels_are_carried_before_anything_is_learned(parent, exchanged):
    wanted = {name: value for name, value in prediction(exchanged).items() if name != "model"}
    answer = parent.ask("propagate", **wanted, settings=training(exchanged)["settings"])
    assert answer["event"] == "result", answer
    assert (answer["stopped"], answer["device"], answer["messages"]) == ("schedule", "cpu", [])
    output, uncertainty = np.load(answer["output"]), np.load(answer["uncertainty"])
    _, truth = images()
    np.testing.assert_array_equal(output[list(ANNOTATED)], truth[list(ANNOTATED)])
    hidden = [k for k in range(SHAPE[0]) if k not in ANNOTATED]
    for label in (1, 2):
        a, b = output[hidden] == label, truth[hidden] == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8
    assert not uncertainty[list(ANNOTATED)].any()


def test_from_slices_to_a_volume(parent, exchanged):
    number = parent.send("finetune", **training(exchanged, time_limit_s=4.0))
    reports = []
    while (message := parent.receive())["event"] == "progress":
        assert message["id"] == number
        reports.append(Progress(**{name: value for name, value in message.items() if name not in ("id", "event")}))
    assert message["event"] == "result", message
    assert message["stopped"] in ("schedule", "time limit")
    assert message["steps"] > 0
    assert message["seconds"] > 0
    assert message["device"] == "cpu"
    assert any(report.loss is not None for report in reports)
    assert {report.device for report in reports} >= {"cpu"}

    answer = parent.ask("predict", **prediction(exchanged))
    assert answer["event"] == "result", answer
    output, uncertainty = np.load(answer["output"]), np.load(answer["uncertainty"])
    _, truth = images()
    assert output.dtype == np.uint8
    assert output.shape == SHAPE
    np.testing.assert_array_equal(output[list(ANNOTATED)], truth[list(ANNOTATED)])
    hidden = [k for k in range(SHAPE[0]) if k not in ANNOTATED]
    for label in (1, 2):
        a, b = output[hidden] == label, truth[hidden] == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8
    assert uncertainty.dtype == np.float32
    assert uncertainty.shape == SHAPE
    assert 0 <= uncertainty.min() < uncertainty.max() <= 1

    fields = {name: prediction(exchanged)[name] for name in ("volume", "labels", "axis", "segments")}
    reply = parent.ask("suggest", output=answer["output"], uncertainty=answer["uncertainty"], n=2, **fields)
    assert len(reply["suggestions"]) == 2
    assert {entry["index"] for entry in reply["suggestions"]} <= set(hidden)
    scores = [entry["score"] for entry in reply["suggestions"]]
    assert scores == sorted(scores, reverse=True)
    assert all(entry["reason"] for entry in reply["suggestions"])


def test_a_cancel_is_honoured_within_two_seconds_and_leaves_a_usable_model(parent, exchanged):
    number = parent.send("finetune", **training(exchanged, seed=1) | {"model": str(exchanged / "partial.safetensors")})
    while (report := parent.wait_for(number, "progress"))["loss"] is None:
        pass
    begin = time.monotonic()
    cancelling = parent.send("cancel", job=number)
    assert parent.wait_for(cancelling)["found"] is True
    result = parent.wait_for(number)
    assert time.monotonic() - begin < 2
    assert result["event"] == "result", result
    assert result["stopped"] == "request"
    assert report["steps"] == 0 or result["steps"] > 0
    answer = parent.ask("predict", **prediction(exchanged) | {"model": result["model"]})
    assert answer["event"] == "result", answer
    assert np.load(answer["output"]).shape == SHAPE


def test_a_waiting_job_can_be_cancelled(parent, exchanged):
    first = parent.send("finetune", **training(exchanged))
    second = parent.send("finetune", **training(exchanged) | {"model": str(exchanged / "never.safetensors")})
    parent.send("cancel", job=second)
    parent.send("cancel", job=first)
    assert parent.wait_for(first)["stopped"] == "request"
    assert parent.wait_for(second) == {"id": second, "event": "result", "stopped": "request"}
    assert not (exchanged / "never.safetensors").exists()
    assert parent.ask("cancel", job=first)["found"] is False


def test_a_cancelled_prediction_writes_nothing(parent, exchanged):
    occupied = parent.send("finetune", **training(exchanged))
    waiting = parent.send("predict", **prediction(exchanged) | {"output": str(exchanged / "never.npy")})
    parent.send("cancel", job=waiting)
    parent.send("cancel", job=occupied)
    parent.wait_for(occupied)
    assert parent.wait_for(waiting)["stopped"] == "request"
    assert not (exchanged / "never.npy").exists()


def not_a_number(folder: Path) -> str:
    np.save(folder / "nan.npy", np.where(images()[1] == 1, np.nan, 1.0))
    return str(folder / "nan.npy")


FAULTS = {
    "no such volume": (
        lambda f: ("predict", prediction(f) | {"volume": "liver"}),
        "InputError",
        "'liver' is not loaded",
    ),
    "no such file": (lambda f: ("load", {"volume": "x", "image": str(f / "none.nrrd")}), "InputError", "none.nrrd"),
    "a lost array": (
        lambda f: ("load", {"volume": "x", "array": str(f / "lost.npy"), "geometry": asdict(GEOMETRY)}),
        "InputError",
        "lost.npy",
    ),
    "another shape": (
        lambda f: ("load", {"volume": "x", "array": str(f / "volume.npy"), "geometry": asdict(Geometry((2, 2, 2)))}),
        "InputError",
        r"shape \(8, 48, 40\) instead of \(2, 2, 2\)",
    ),
    "not a number": (
        lambda f: ("load", {"volume": "x", "array": not_a_number(f), "geometry": asdict(GEOMETRY), "name": "Brain"}),
        "InputError",
        "The volume 'Brain' holds NaN",
    ),
    "no model": (lambda f: ("predict", prediction(f) | {"model": str(f / "none.safetensors")}), "", "none.safetensors"),
    "a missing field": (lambda _: ("finetune", {"segments": []}), "InputError", "'finetune' lacks 'cases'"),
    "a wrong preset": (
        lambda f: ("finetune", training(f) | {"settings": {"preset": "magic"}}),
        "InputError",
        "no preset 'magic'",
    ),
    "a fault of ours": (
        lambda f: ("finetune", training(f) | {"settings": {"colour": "blue"}}),
        "TypeError",
        "^internal error: TypeError: .*colour",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_and_the_worker_goes_on(parent, exchanged, fault):
    make, kind, sentence = FAULTS[fault]
    do, fields = make(exchanged)
    answer = parent.ask(do, **fields)
    assert answer["event"] == "error", answer
    assert kind in ("", answer["kind"])
    assert "\n" not in answer["message"]
    assert re.search(sentence, answer["message"]), answer
    assert parent.process.poll() is None


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n", b"[]\n", b"\xff\n", b'{"id": 900}\n', b'{"id": "x", "do": "load"}\n',
        b'{"id": 901, "do": "dance"}\n',
        b'{"id": 0, "do": "shutdown"}\n', b'{"id": -1, "do": "shutdown"}\n',
    ],
)  # fmt: skip
def test_a_line_that_is_no_request_is_answered_by_a_log(parent, line):
    parent.write(line)
    answer = parent.receive()
    assert (answer["id"], answer["event"]) == (0, "log")
    assert answer["message"]
    assert parent.process.poll() is None


def test_the_traceback_of_a_fault_of_ours_is_in_the_log(parent, exchanged):
    parent.ask("finetune", **training(exchanged) | {"settings": {"flavour": "sweet"}})
    deadline = time.monotonic() + 5
    while not any("flavour" in line for line in parent.log):
        assert time.monotonic() < deadline, parent.log
        time.sleep(0.02)
    assert any(line.startswith("Traceback") for line in parent.log)


NOISY = """
import os, subprocess, sys
from sslseg.worker import claim_pipes
requests, replies = claim_pipes()
print("printed")
os.write(1, b"written\\n")
subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
assert sys.stdin.read() == ""
replies.write(b"answer to " + requests.readline())
replies.flush()
"""


def test_stdout_belongs_to_the_protocol():
    done = subprocess.run([sys.executable, "-c", NOISY], input=b"question\n", capture_output=True, check=True)
    assert done.stdout == b"answer to question\n"
    assert sorted(done.stderr.decode().split("\n")) == ["", "from a child", "printed", "written"]


def test_without_torch_it_says_so_and_ends(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here', name='torch')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Parent()
    message = made.receive()
    assert (message["id"], message["event"]) == (0, "error")
    assert "no torch here" in message["message"]
    assert "install PyTorch" in message["message"]
    assert made.process.wait(timeout=10) == 1


def test_ready_says_who_it_is_and_shutdown_ends_it_even_while_it_trains(tmp_path, exchanged):
    made = Parent(tmp_path, "--threads", "1")
    ready = made.receive()
    assert (ready["id"], ready["event"], ready["ready"]) == (0, "result", True)
    assert ready["version"] == sslseg.__version__
    assert ready["pid"] == made.process.pid
    assert ready["torch"][0].isdigit()
    assert {"cpu"} <= {device["name"] for device in ready["devices"]}
    assert all(device["description"] for device in ready["devices"])
    assert psutil.Process(made.process.pid).nice() in (POSIX_NICENESS, WINDOWS_BELOW_NORMAL)
    made.send("load", volume="heart", array=str(exchanged / "volume.npy"), geometry=asdict(GEOMETRY))
    number = made.send("finetune", **training(exchanged) | {"model": str(tmp_path / "model.safetensors")})
    while made.wait_for(number, "progress")["loss"] is None:
        pass
    begin = time.monotonic()
    assert made.ask("shutdown")["event"] == "result"
    assert made.process.wait(timeout=10) == 0
    assert time.monotonic() - begin < 2
    assert tmp_path.is_dir(), "only the parent's death removes the folder"


def test_the_end_of_stdin_ends_it_while_it_still_starts(tmp_path):
    folder = tmp_path / "job"
    (folder / "sub").mkdir(parents=True)
    made = Parent(folder)
    made.process.stdin.close()
    assert made.process.wait(timeout=10) == 0
    assert made.messages.empty(), "it was ready before: this tested nothing"
    assert not folder.exists()


LOG_NOBODY_READS = """
import sys
from sslseg.worker import Worker
sys.stderr = open(sys.argv[1], "w", buffering=1000)
sys.stderr.write("a line that is still in the buffer")
Worker._end(5)
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that cannot be written to")
def test_it_ends_even_if_its_log_cannot_be_written():
    done = subprocess.run([sys.executable, "-c", LOG_NOBODY_READS, "/dev/full"], check=False, timeout=20)
    assert done.returncode == 5


GRANDPARENT = """
import subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-m", "sslseg.worker", "--folder", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
child.stdout.readline()
print(child.pid, flush=True)
for request in sys.argv[2:]:
    child.stdin.write(request.encode() + b"\\n")
    child.stdin.flush()
for line in child.stdout:
    if b'"progress"' in line and b'"loss": null' not in line:
        print("training", flush=True)
        time.sleep(600)
"""


def test_it_ends_when_its_parent_is_killed_while_it_trains(tmp_path, exchanged):
    folder = tmp_path / "job"
    folder.mkdir()
    array = str(exchanged / "volume.npy")
    requests = [
        {"id": 1, "do": "load", "volume": "heart", "array": array, "geometry": asdict(GEOMETRY)},
        {"id": 2, "do": "finetune", **training(exchanged), "model": str(folder / "model.safetensors")},
    ]
    middle = subprocess.Popen(
        [sys.executable, "-c", GRANDPARENT, str(folder), *(json.dumps(request) for request in requests)],
        stdout=subprocess.PIPE,
    )
    worker = int(middle.stdout.readline())
    assert middle.stdout.readline().strip() == b"training"
    assert psutil.pid_exists(worker)
    middle.kill()
    middle.wait(timeout=10)
    middle.stdout.close()
    assert gone(worker)
    assert not folder.exists()


def test_progress_is_thinned_out_but_never_what_must_be_seen(monkeypatch):
    sent = []
    job = Job(Request(id=3, do="finetune"), sent.append)
    clock = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock) * 0.01)
    for step in range(1, 101):
        job.on_progress(Progress("fine-tuning", step, 100, message="batch halved" if step == 57 else ""))
    job.on_progress(Progress("predicting", 1, 8))
    told = [(message["stage"], message["step"]) for message in sent]
    assert told[0] == ("fine-tuning", 1)
    assert ("fine-tuning", 57) in told
    assert told[-2:] == [("fine-tuning", 100), ("predicting", 1)]
    assert 10 <= len(told) <= 14
    assert all(message["id"] == 3 and message["event"] == "progress" for message in sent)


@pytest.mark.parametrize(
    ("platform", "before", "idle", "expected"),
    [
        ("win32", 0, False, WINDOWS_BELOW_NORMAL),
        ("win32", 0, True, WINDOWS_IDLE),
        ("linux", 0, False, POSIX_NICENESS),
        ("linux", 15, False, 15),
        ("linux", 15, True, POSIX_IDLE),
        ("darwin", 0, True, POSIX_IDLE),
    ],
)
def test_the_viewer_goes_first_on_every_system(platform, before, idle, expected):
    class Process:
        niceness = before

        def nice(self, value=None):
            self.niceness = self.niceness if value is None else value
            return self.niceness

    process = Process()
    lower_priority(process, platform, idle=idle)
    assert process.niceness == expected
