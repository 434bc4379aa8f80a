"""The pretraining as a job: it learns, goes on exactly, stops well, and leaves weights that can be used."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from pretrain_files import write_frames, write_images
from safetensors.torch import load_file
from synthetic import GEOMETRIES, make_annotation, make_labels, make_volume
from test_slice_store import opened

from sslseg import pretrain_loop
from sslseg.backbone import BACKBONES, BackboneConfig, UNet
from sslseg.checkpoint import HEADER_KEYS, load_checkpoint
from sslseg.errors import InputError, OutputError, SSLSegError, TrainingError
from sslseg.finetune import finetune
from sslseg.model import load_backbone
from sslseg.pretrain import pretrain
from sslseg.pretrain_log import PretrainLog
from sslseg.pretrain_settings import BACKBONE_NAMES, METHODS, PretrainSettings
from sslseg.pretrain_views import draw_batch, draw_pixels, draw_transforms, generator_of, take_pixels
from sslseg.sampling import Case
from sslseg.settings import Settings

TINY = PretrainSettings("pix2rep", "tiny", steps=8, batch=4, patch=16, max_pixels=40, device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain data")
    write_images(folder / "still")
    (folder / "cine").mkdir()
    write_frames(folder / "cine" / "frames.nii.gz")
    return [folder / "still", folder / "cine"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stop_after(steps):
    """``on_progress`` and ``should_stop`` of somebody who stops a run after so many steps."""
    seen = []
    return {
        "on_progress": lambda p: seen.append(p.step) if p.loss is not None else None,
        "should_stop": lambda: len(seen) >= steps,
    }


def test_names_of_backbones_are_those_there_are():
    assert tuple(BACKBONES) == BACKBONE_NAMES


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_the_same_run(data, tmp_path, method):
    settings = replace(TINY, method=method)
    whole = pretrain(data, tmp_path / "whole.safetensors", settings)
    out = tmp_path / "parts.safetensors"
    first = pretrain(data, out, settings, **stop_after(3))
    assert (first.stopped, first.steps, whole.stopped, whole.steps) == ("request", 3, "schedule", 8)
    assert load_backbone(out)[1]["steps"] == 3
    rest = pretrain(data, out, settings, resume=True)
    assert first.losses + rest.losses == whole.losses
    assert rest.steps == 8
    expected, found = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    logs = [(tmp_path / f"{name}.run" / "log.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    steps, losses = zip(*((row["step"], row["loss"]) for row in map(json.loads, logs[1])), strict=True)
    assert list(steps) == list(range(1, 9))
    assert list(losses) == whole.losses
    assert len(list((tmp_path / "whole.run").glob("events.out.tfevents*"))) == 1


@pytest.mark.parametrize("method", METHODS)
def test_weights_say_what_they_are_and_can_be_fine_tuned(data, tmp_path, method):
    path = tmp_path / "w.safetensors"
    result = pretrain(data, path, replace(TINY, method=method, steps=2))
    header, tensors = load_checkpoint(path)
    assert set(HEADER_KEYS) <= header.keys()
    assert (header["method"], header["in_channels"], header["classes"]) == (method, 1, [])
    assert header["training_data"] == "30 unlabelled slices of still, cine"
    assert all(name.startswith("backbone.") for name in tensors)
    assert result.slices == 30
    labels = make_labels(GEOMETRIES["anisotropic"])
    volume = make_volume(labels, GEOMETRIES["anisotropic"])
    case = Case(volume, make_annotation(labels, volume.geometry, [3]), 0)
    model = finetune([case], Settings("fast", "cpu", 0, 0.2, str(path))).model
    assert model.header["weights"] == method


@pytest.mark.parametrize("weights", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 1, 1, 0)])
def test_every_level_can_be_left_out(data, tmp_path, weights):
    names = ("image_weight", "task_weight", "group_weight", "dense_weight")
    settings = replace(TINY, method="hssl", steps=2, **dict(zip(names, weights, strict=True)))
    assert pretrain(data, tmp_path / "w.safetensors", settings).steps == 2
    logged = json.loads((tmp_path / "w.run" / "log.jsonl").read_text().splitlines()[0])
    assert [name in logged for name in ("image", "task", "group", "pixel")] == [weight > 0 for weight in weights]


def confusion(backbone, store):
    """For pixels of warped images: the share of other pixels that look more like them than their own place does.

    Features of warped images are compared with warped features of the images; 0 is perfect, 0.5 is chance.
    """
    with torch.inference_mode():
        batch = draw_batch(store, 8, 32, generator_of(99, 0, 0))
        transform = draw_transforms(8, 32, generator_of(99, 1, 0), elastic=False)
        positions = draw_pixels(transform.valid((32, 32)), 250, generator_of(99, 2, 0))
        maps = transform.warp(backbone(batch.images)), backbone(transform.warp(batch.images))
        one, other = (torch.nn.functional.normalize(take_pixels(m, positions), dim=1) for m in maps)
        alike = one @ other.T
        return float((alike > alike.diagonal()[:, None]).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pix2rep", "pix2rep-v2"])
def test_training_makes_features_equivariant(data, tmp_path, method):
    path = tmp_path / "w.safetensors"
    settings = replace(TINY, method=method, steps=40, batch=3, patch=32, rate=5e-3)
    pretrain(data, path, settings)
    held_out = opened(tmp_path / "store", [write_images(tmp_path / "other", 4)], max_pixels=40)
    torch.manual_seed(settings.seed)
    random = min(confusion(UNet(BackboneConfig(BACKBONES["tiny"])).eval(), held_out) for _ in range(5))
    assert confusion(load_backbone(path)[0].eval(), held_out) < 0.85 * random


def test_steps_that_are_made_again_are_logged_once(tmp_path):
    for step, later in ((0, range(1, 6)), (3, range(4, 6))):
        log = PretrainLog(tmp_path, step)
        for number in later:
            log.write(number, {"loss": number + step / 10})
        log.close()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in rows] == [1, 2, 3, 4.3, 5.3]


@pytest.mark.parametrize("line", ["{", '{"loss": 1}', "[1, 2]", '{"step": null}', ""])
def test_damaged_lines_of_a_log_are_left_out(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"step": 1, "loss": 1.5}}\n{line}\n{{"step": 2, "loss": 0.5}}\n')
    PretrainLog(tmp_path, 2).close()
    assert [json.loads(kept) for kept in path.read_text().splitlines()] == [
        {"step": 1, "loss": 1.5},
        {"step": 2, "loss": 0.5},
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the file size limit is set the POSIX way")
def test_a_full_disk_ends_neither_log_nor_run(tmp_path):
    code = """
import resource, signal, sys
from pathlib import Path
from sslseg.errors import OutputError
from sslseg.pretrain_log import PretrainLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = PretrainLog(Path(sys.argv[1]), 0)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for step in range(1, 41):
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if step > 30 else 500, hard))
    try:
        log.write(step, {"loss": 1.0})
    except OutputError as error:
        print(error)
log.close()
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "log.jsonl could not be written (file too large): free some space." in done.stdout
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [*range(1, 41)]


def test_a_log_that_cannot_be_written_is_said_once(data, tmp_path, monkeypatch):
    def write(_log, step, _scalars):
        if step in {2, 3, 6}:
            raise OutputError(f"no room at step {step}")

    monkeypatch.setattr(PretrainLog, "write", write)
    result = pretrain(data, tmp_path / "w.safetensors", TINY)
    assert (result.steps, result.messages) == (8, ["no room at step 2", "no room at step 6"])


def test_a_run_that_ends_before_its_first_step_writes_no_weights(data, tmp_path):
    out = tmp_path / "w.safetensors"
    pretrain(data, out, replace(TINY, steps=2))
    before = out.read_bytes()
    for end in ({"should_stop": lambda: True}, {}):
        settings = TINY if end else replace(TINY, steps=None, time_limit_s=1e-9)
        with pytest.raises(SSLSegError, match="before its first step"):
            pretrain(data, out, settings, **end)
    assert out.read_bytes() == before


def test_a_time_limit_ends_the_run_and_is_no_change(data, tmp_path):
    settings = replace(TINY, steps=None, time_limit_s=0.5)
    result = pretrain(data, tmp_path / "w.safetensors", settings)
    assert result.stopped == "time limit"
    assert result.steps > 0
    assert pretrain(data, tmp_path / "w.safetensors", replace(settings, time_limit_s=1.0), resume=True).losses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 8}, "batch was 4 and is 8"),
        ({"seed": 1, "rate": 0.1}, "seed was 0 and is 1; rate was 0.001 and is 0.1"),
        ({"max_pixels": 32}, "max_pixels was 40 and is 32"),
    ],
)
def test_resuming_with_other_settings_says_which(data, tmp_path, change, message):
    pretrain(data, tmp_path / "w.safetensors", replace(TINY, steps=2))
    with pytest.raises(InputError, match=message):
        pretrain(data, tmp_path / "w.safetensors", replace(TINY, steps=2, **change), resume=True)
    with pytest.raises(InputError, match="the data have changed"):
        pretrain(data[:1], tmp_path / "w.safetensors", replace(TINY, steps=2), resume=True)


def test_there_must_be_a_run_to_resume(data, tmp_path):
    with pytest.raises(InputError, match="no run to resume"):
        pretrain(data, tmp_path / "w.safetensors", TINY, resume=True)


def test_a_loss_that_becomes_nan_keeps_the_last_checkpoint(data, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain_loop, "_CHECKPOINT_S", 0.0)
    out = tmp_path / "w.safetensors"
    with pytest.raises(TrainingError, match=r"became NaN \(the checkpoint of step \d+ is kept in .*state"):
        pretrain(data, out, replace(TINY, rate=1e25))
    steps = load_backbone(out)[1]["steps"]
    assert 1 <= steps < TINY.steps
    assert load_checkpoint(tmp_path / "w.run" / "state.safetensors")[0]["training"]["step"] == steps


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(data, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain_loop, "_CHECKPOINT_S", 0.0)
    state, kept = tmp_path / "w.run" / "state.safetensors", tmp_path / "kept.safetensors"

    def disturb(progress):
        if progress.step == 3 and progress.loss is not None:
            state.rename(kept)
            (state / "in the way").mkdir(parents=True)
        if progress.step == 6 and progress.loss is not None:
            shutil.rmtree(state)

    result = pretrain(data, tmp_path / "w.safetensors", TINY, on_progress=disturb)
    assert [message.split(":")[0] for message in result.messages] == [f"No checkpoint at step {n}" for n in (3, 4, 5)]
    assert load_checkpoint(kept)[0]["training"]["step"] == 2
    assert load_checkpoint(state)[0]["training"]["step"] == 8


def test_collapse_is_said_once(data, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain_loop, "_MONITOR_STEPS", 1)
    monkeypatch.setattr(pretrain_loop, "_COLLAPSED_UNIFORMITY", -9.0)  # lower than any: all is collapse
    result = pretrain(data, tmp_path / "w.safetensors", TINY)
    assert [message.partition(" at step")[0] for message in result.messages] == ["The features have collapsed"]


def test_a_good_run_is_not_called_collapsed(data, tmp_path):
    assert pretrain(data, tmp_path / "w.safetensors", replace(TINY, steps=30)).messages == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "byol"}, "no method 'byol'"),
        ({"backbone": "huge"}, "no backbone 'huge'"),
        ({"steps": 0}, "number of steps is 0"),
        ({"epochs": 3}, "epochs and of steps"),
        ({"batch": -1}, "batch is -1"),
        ({"batch": 100_000_000}, "batch is 100000000: give at most 4096"),
        ({"seed": -1}, "Seed -1"),
        ({"image_weight": -1.0}, "weights of the hssl loss"),
        ({"task_weight": float("inf")}, "weights of the hssl loss"),
        ({"rate": float("nan")}, "learning rate is nan"),
        ({"rate": float("inf")}, "learning rate is inf"),
        ({"patch": 18}, "multiple of 4"),
    ],
)
def test_settings_that_make_no_sense_are_refused(data, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        pretrain(data, tmp_path / "w.safetensors", replace(TINY, **change))
    assert list(tmp_path.iterdir()) == []


def test_epochs_and_defaults_become_steps():
    settings = PretrainSettings("pix2rep", batch=10)
    assert settings.total_steps(95) == 100 * 10
    assert replace(settings, epochs=2).total_steps(3) == 2
    assert replace(settings, time_limit_s=5.0).total_steps(95) is None


def test_random_numbers_of_the_caller_are_left_alone(data, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pretrain(data, tmp_path / "w.safetensors", replace(TINY, steps=1))
    assert torch.equal(torch.rand(3), expected)
