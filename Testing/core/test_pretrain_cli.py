"""``sslseg pretrain`` as people run it: alone, interrupted, and under torchrun."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from cli_files import SSLSEG, runner
from pretrain_files import write_images, write_mess
from safetensors.torch import load_file

from sslseg.checkpoint import read_header
from sslseg.model import load_backbone

TINY = ["--backbone", "tiny", "--batch", "4", "--patch", "16", "--max-pixels", "40", "--device", "cpu"]


@pytest.fixture
def run(capfd):
    return runner(capfd)


def test_a_folder_becomes_weights(run, tmp_path):
    data, out = write_mess(tmp_path / "Bilder ü"), tmp_path / "weights.safetensors"
    words = ["pretrain", "--method", "pix2rep", "--data", data, "-o", out, *TINY]
    done = run(*words, "--steps", 3)
    assert done.code == 0
    assert "Learned from 12 slices. 7 images were skipped." in done.out
    assert "Skipped" in done.err
    assert "images/s" in done.err
    assert load_backbone(out)[1]["method"] == "pix2rep"
    again = run(*words, "--steps", 3, "--resume", "--json")
    assert (again.json["steps"], again.json["loss"], again.json["stopped"]) == (3, None, "schedule")
    assert run("info", out).code == 0
    assert "steps was 3 and is 4" in run(*words, "--steps", 4, "--resume").err


def test_folders_of_a_run_can_be_chosen(run, tmp_path):
    data = write_images(tmp_path / "data", 1)
    words = ["pretrain", "--method", "hssl", "--levels", 1, 0, 0, 0, "--data", data, *TINY, "--steps", 2]
    for name in ("a", "b"):
        folders = ["--log-dir", tmp_path / f"log {name}", "--cache", tmp_path / "cache"]
        assert run(*words, *folders, "-o", tmp_path / f"{name}.safetensors").code == 0
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    assert (tmp_path / "log b" / "state.safetensors").is_file()


def test_bad_input_is_one_sentence(run, tmp_path):
    (tmp_path / "empty").mkdir()
    words = ["pretrain", "--method", "pix2rep", "-o", tmp_path / "w.safetensors", *TINY]
    for data, message in ((tmp_path / "none", "does not exist"), (tmp_path / "empty", "No images were found")):
        done = run(*words, "--data", data)
        assert done.code == 2
        assert message in done.err
        assert done.err.count("\n") == 1
    assert run(*words[:-4], "--data", tmp_path / "empty", "-o", tmp_path / "w.pt").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.skipif(sys.platform == "win32", reason="a console cannot be sent Ctrl-C alone on Windows")
@pytest.mark.slow
def test_ctrl_c_keeps_what_was_learned(tmp_path):
    data, out = write_images(tmp_path / "data"), tmp_path / "w.safetensors"
    words = ["pretrain", "--method", "pix2rep-v2", "--data", data, "-o", out, *TINY, "--steps", "100000", "--json"]
    process = subprocess.Popen([*SSLSEG, *map(str, words)], stdout=subprocess.PIPE, text=True)
    log = tmp_path / "w.run" / "log.jsonl"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (log.is_file() and log.read_text().count("\n") > 3):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    done = json.loads(process.communicate(timeout=60)[0])
    assert (process.returncode, done["stopped"]) == (0, "request")
    assert read_header(out)["steps"] == done["steps"] > 3


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

PART_OF_A_RUN = """
import json, sys
from pathlib import Path
import torch
from sslseg.pretrain import pretrain
from sslseg.pretrain_ranks import is_first_process
from sslseg.pretrain_settings import PretrainSettings

torch.set_num_threads(1)
data, out, stop, resume = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "resume"
settings = PretrainSettings("pix2rep", backbone="tiny", steps=6, batch=4, patch=16, max_pixels=40, device="cpu")
made = []
result = pretrain(
    [data], out, settings, resume=resume, on_progress=made.append,
    should_stop=lambda: stop > 0 and made != [] and made[-1].step >= stop,
)
if is_first_process():
    out.with_suffix(".json").write_text(json.dumps([result.stopped, result.losses]))
"""


@pytest.mark.slow
def test_processes_go_on_together_where_they_were_stopped(tmp_path):
    data, script = write_images(tmp_path / "data"), tmp_path / "part.py"
    script.write_text(PART_OF_A_RUN, encoding="utf-8")

    def part(name, stop, how):
        out = tmp_path / f"{name}.safetensors"
        subprocess.run([*TORCHRUN, str(script), str(data), str(out), str(stop), how], check=True, capture_output=True)
        return json.loads(out.with_suffix(".json").read_text())

    whole, first, rest = part("whole", 0, "anew"), part("parts", 3, "anew"), part("parts", 0, "resume")
    assert [ended for ended, _ in (whole, first, rest)] == ["schedule", "request", "schedule"]
    assert len(first[1]) == 3
    assert first[1] + rest[1] == whole[1]
    expected, found = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_two_processes_work_together(tmp_path):
    data, out = write_images(tmp_path / "data"), tmp_path / "w.safetensors"
    words = ["pretrain", "--method", "hssl", "--data", data, "-o", out, *TINY, "--steps", "3", "--json"]
    done = subprocess.run([*TORCHRUN, "-m", *SSLSEG[-1:], *map(str, words)], capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    assert json.loads(line)["steps"] == 3
    assert load_backbone(out)[1]["steps"] == 3
    assert (tmp_path / "w.run" / "log.jsonl").read_text().count("\n") == 3


@pytest.mark.slow
def test_processes_that_are_left_alone_say_so(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "broken.nii.gz").write_bytes(b"not an image")
    words = ["pretrain", "--method", "pix2rep", "--data", tmp_path / "data", "-o", tmp_path / "w.safetensors", *TINY]
    done = subprocess.run(
        [*TORCHRUN, "-m", *SSLSEG[-1:], *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Error: None of the 1 images found can be used" in done.stderr
    assert "internal error" not in done.stderr  # torchrun may end the other process before it says anything
