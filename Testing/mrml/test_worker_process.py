"""The viewer's end of the worker, against small real child processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import sslseg
from main_thread import Ledger
from processes import gone
from sslseg.errors import SSLSegError
from SSLSegmentLib import worker_process
from SSLSegmentLib.worker_process import Exit, WorkerProcess, creation_flags, python_executable, worker_environment

ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], "event": "result", "got": request}), flush=True)
    if request["do"] == "shutdown":
        break
"""

DEAF = "import time\nprint('deaf', file=__import__('sys').stderr, flush=True)\ntime.sleep(600)\n"

FAMILY = """
import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print('{"id": 0, "event": "result", "grandchild": %d}' % grandchild.pid, flush=True)
time.sleep(600)
"""

DYING = """
import os, sys
for number in range(200):
    print("line", number, file=sys.stderr)
print('{"id": 1, "event": "progress", "stage": "the last message"}', flush=True)
print("plain output", flush=True)
print("Übergröße \\N{SNOWMAN}", file=sys.stderr)
print("the last line", end="", file=sys.stderr, flush=True)
os._exit(7)
"""


class Owner:
    """What a viewer does with a worker: collects, and polls on the main thread, with a stopwatch."""

    def __init__(self, folder: Path, script: str) -> None:
        self.messages: list[dict] = []
        self.exits: list[Exit] = []
        self.ledger = Ledger(always=0)
        self.worker = WorkerProcess(
            [sys.executable, "-c", script],
            on_message=self.messages.append,
            on_exit=self.exits.append,
            log_path=folder / "Protokoll größer.log",
        )

    def timed(self, call, *arguments):
        return self.ledger.call(call.__name__, call, *arguments)

    def poll_until(self, condition, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not reached; messages {self.messages}, exits {self.exits}"
            self.timed(self.worker.poll)
            time.sleep(0.005)


@pytest.fixture
def owner(tmp_path):
    owners = []

    def make(script: str) -> Owner:
        owners.append(Owner(tmp_path, script))
        owners[-1].worker.start()
        return owners[-1]

    yield make
    for made in owners:
        made.worker.kill()
        made.poll_until(lambda made=made: not made.worker.alive)


def test_requests_and_replies_travel_exactly(owner):
    talk = owner(ECHO)
    name = "Bild größer ☃ \udc80"
    first = talk.worker.send({"do": "load", "image": name})
    second = talk.worker.cancel(first)
    talk.poll_until(lambda: len(talk.messages) == 2)
    assert (first, second) == (1, 2)
    assert talk.messages[0]["got"] == {"do": "load", "image": name, "id": 1}
    assert talk.messages[1]["got"] == {"do": "cancel", "job": 1, "id": 2}


def test_the_last_lines_of_a_dying_child_are_kept(owner):
    talk = owner(DYING)
    time.sleep(0.5)  # it is dead before anybody looks
    talk.poll_until(lambda: talk.exits)
    (ending,) = talk.exits
    assert ending.code == 7
    assert not ending.requested
    assert len(ending.last_lines) == 203
    assert [line for line in ending.last_lines if line != "plain output"] == [
        *(f"line {number}" for number in range(200)), "Übergröße ☃", "the last line",
    ]  # fmt: skip
    assert talk.messages == [{"id": 1, "event": "progress", "stage": "the last message"}]
    assert talk.worker.last_lines(1) in (["the last line"], ["plain output"])
    log = talk.worker.log_path.read_text(encoding="utf-8").splitlines()
    assert len(log) in (202, 203)  # the last line has no newline: what comes after it may share its line
    assert not talk.worker.alive


def test_stop_lets_the_child_end_by_itself(owner):
    talk = owner(ECHO)
    talk.timed(talk.worker.stop)
    talk.poll_until(lambda: talk.exits)
    assert talk.exits[0].code == 0
    assert talk.exits[0].requested
    assert talk.messages[-1]["got"]["do"] == "shutdown"
    assert not talk.ledger.too_slow()


def test_stop_kills_a_child_that_does_not_listen(owner):
    talk = owner(DEAF)
    talk.poll_until(lambda: talk.worker.last_lines(1) == ["deaf"])
    begin = time.monotonic()
    talk.timed(talk.worker.stop, 0.3)
    talk.poll_until(lambda: talk.exits)
    assert 0.25 < time.monotonic() - begin < 5
    assert talk.exits[0].requested
    assert talk.exits[0].code != 0
    assert not talk.ledger.too_slow()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_whole_tree_ends(owner, end):
    talk = owner(FAMILY)
    talk.poll_until(lambda: talk.messages)
    child, grandchild = talk.worker.pid, talk.messages[0]["grandchild"]
    assert psutil.pid_exists(grandchild)
    if end == "stop":
        talk.timed(talk.worker.stop, 0.2)
    else:
        talk.timed(talk.worker.kill)
    talk.poll_until(lambda: talk.exits)
    assert gone(child)
    assert gone(grandchild)
    assert not talk.ledger.too_slow()


def test_grandchildren_of_a_child_that_obeys_end_too(owner):
    talk = owner(FAMILY.replace("time.sleep(600)\n", "sys.stdin.readline()\n", 1))
    talk.poll_until(lambda: talk.messages)
    talk.worker.stop()
    talk.poll_until(lambda: talk.exits)
    assert gone(talk.messages[0]["grandchild"])


def test_an_end_is_told_even_if_a_grandchild_holds_the_pipes(owner):
    talk = owner(FAMILY.replace("time.sleep(600)\n", "sys.exit(3)\n", 1))
    talk.poll_until(lambda: talk.exits, seconds=worker_process.DRAIN_S + 10)
    assert talk.exits[0].code == 3
    psutil.Process(talk.messages[0]["grandchild"]).kill()


def test_a_child_that_reads_nothing_does_not_block_the_viewer(owner):
    talk = owner(DEAF)
    for _ in range(50):
        talk.timed(talk.worker.send, {"do": "load", "padding": "x" * 20_000})
    assert not talk.ledger.too_slow()


def test_a_flood_of_lines_does_not_fill_the_memory(owner):
    talk = owner("import sys\nfor n in range(5000): print('flood', n, file=sys.stderr)\n")
    talk.poll_until(lambda: talk.exits)
    assert talk.exits[0].last_lines[-1] == "flood 4999"
    assert len(talk.exits[0].last_lines) == worker_process.KEPT_LINES
    assert len(talk.worker.log_path.read_text(encoding="utf-8").splitlines()) == 5000


def test_a_program_that_is_not_there_is_told_in_one_sentence(tmp_path):
    missing = tmp_path / "no such python"
    worker = WorkerProcess([str(missing)], on_message=print, on_exit=print, log_path=tmp_path / "log.txt")
    with pytest.raises(SSLSegError, match=r"cannot be started with .*no such python"):
        worker.start()
    assert not worker.alive
    worker.poll()
    worker.stop()
    worker.kill()


PARENT = """
import sys, time
from SSLSegmentLib.worker_process import WorkerProcess
worker = WorkerProcess([sys.executable, "-c", sys.argv[1]], on_message=print, on_exit=print, log_path=sys.argv[2])
worker.start()
print(worker.pid, flush=True)
if sys.argv[3] == "exits":
    sys.exit(0)
time.sleep(600)
"""


@pytest.mark.parametrize(("how", "script"), [("exits", DEAF), ("is killed", ECHO)])
def test_no_child_outlives_its_parent(tmp_path, how, script):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, script, str(tmp_path / "log.txt"), how],
        stdout=subprocess.PIPE,
        env=worker_environment({**os.environ, "PYTHONPATH": str(Path(worker_process.__file__).parents[1])}),
    )
    child = int(parent.stdout.readline())
    if how == "is killed":
        assert psutil.pid_exists(child)
        parent.kill()
    parent.wait(timeout=20)
    parent.stdout.close()
    assert gone(child)


def test_without_a_console_window_on_windows_only():
    assert creation_flags("win32") == 0x08000000
    assert creation_flags("linux") == creation_flags("darwin") == 0


@pytest.mark.parametrize(
    ("platform", "viewer", "python"),
    [
        ("linux", "SlicerApp-real", "PythonSlicer"),
        ("darwin", "Slicer", "PythonSlicer"),
        ("win32", "SlicerApp-real.exe", "PythonSlicer.exe"),
    ],
)
def test_the_python_beside_the_viewer_is_found(tmp_path, platform, viewer, python):
    folder = tmp_path / "Slicer größer"
    folder.mkdir()
    (folder / python).touch()
    assert python_executable(str(folder / viewer), platform) == folder / python


@pytest.mark.parametrize("name", ["python3.11", "python.exe", "PythonSlicer", "python-real"])
def test_an_interpreter_is_taken_as_it_is(tmp_path, name):
    assert python_executable(str(tmp_path / name), "linux") == tmp_path / name


def test_the_python_on_the_path_is_found(tmp_path, monkeypatch):
    on_path = tmp_path / "PythonSlicer"
    on_path.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert python_executable("/elsewhere/Slicer", "linux") == on_path


def test_a_viewer_without_python_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SSLSegError, match=r"PythonSlicer.* was not found beside"):
        python_executable(str(tmp_path / "Slicer"))


def test_the_environment_is_utf8_and_finds_the_library():
    library = str(Path(sslseg.__file__).resolve().parents[1])
    made = worker_environment({"PATH": "x", "PYTHONPATH": os.pathsep.join(["mine", library])})
    assert made["PATH"] == "x"
    assert made["PYTHONUTF8"] == "1"
    assert made["PYTHONIOENCODING"] == "utf-8"
    assert made["PYTHONPATH"].split(os.pathsep) == [library, "mine"]
    assert worker_environment({})["PYTHONPATH"] == library


def test_threads_wait_asleep_unless_somebody_decided():
    assert worker_environment({})["OMP_WAIT_POLICY"] == "PASSIVE"
    assert worker_environment({"OMP_WAIT_POLICY": "ACTIVE"})["OMP_WAIT_POLICY"] == "ACTIVE"
