"""A few slices make a model, however few and however drawn; the same seed makes the same one."""

import dataclasses
import math
import random
import time

import numpy as np
import pytest
import torch
from few_slices import CASES, DEVICES, SETTINGS, assert_usable, make_case, one_class, state, write_weights

from sslseg import trainer as trainer_module
from sslseg.annotation import IGNORE
from sslseg.errors import DeviceError, InputError
from sslseg.finetune import Case, finetune
from sslseg.presets import PRESETS
from sslseg.sampling import prepare

pytestmark = pytest.mark.usefixtures("tiny_training")


@pytest.mark.parametrize("name", sorted(CASES))
def test_any_annotation_trains_and_predicts(tiny_training, name):
    case = CASES[name]
    result = finetune([case], SETTINGS)
    assert (result.stopped, result.steps, result.device) == ("schedule", tiny_training.steps, "cpu")
    assert result.messages == []
    assert_usable(result, case)
    assert result.model.axis == case.axis
    assert result.model.segments == case.annotation.segments


def test_two_volumes_of_different_grids():
    cases = [make_case(), make_case("oblique", slices=[4])]
    result = finetune(cases, SETTINGS)
    for case in cases:
        assert_usable(result, case)


def test_training_learns(tiny_training, monkeypatch):
    monkeypatch.setitem(PRESETS, "fast", dataclasses.replace(tiny_training, steps=80, batch=4))
    monkeypatch.setattr(trainer_module, "_RATE_SCRATCH", 1e-2)  # so small a network needs larger steps
    history = finetune([make_case(slices=[3, 4])], SETTINGS).history
    first, last = (sum(report.loss for report in part) for part in (history[:10], history[-10:]))
    assert last < 0.7 * first
    assert history[-1].dice > history[5].dice


@pytest.mark.parametrize("device", DEVICES)
def test_same_seed_same_model(device):
    cases, settings = [CASES["two slices"], make_case("oblique")], dataclasses.replace(SETTINGS, device=device)
    first, again = finetune(cases, settings), finetune(cases, settings)
    other = finetune(cases, dataclasses.replace(settings, seed=1))
    assert all(torch.equal(value, state(again)[name]) for name, value in state(first).items())
    assert [report.loss for report in first.history] == [report.loss for report in again.history]
    assert not all(torch.equal(value, state(other)[name]) for name, value in state(first).items())


def test_the_callers_random_numbers_and_arrays_stay_as_they_are():
    case = make_case()
    before = case.volume.array.copy(), case.annotation.labels.copy()
    case.volume.array.flags.writeable = False
    case.annotation.labels.flags.writeable = False
    states = torch.get_rng_state(), random.getstate(), torch.backends.cudnn.deterministic
    finetune([case], SETTINGS)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), torch.backends.cudnn.deterministic) == states[1:]
    assert np.array_equal(case.volume.array, before[0])
    assert np.array_equal(case.annotation.labels, before[1])


def test_progress_tells_stage_step_and_rest(tmp_path):
    reports = []
    settings = dataclasses.replace(SETTINGS, weights=str(write_weights(tmp_path / "w.safetensors")))
    result = finetune([CASES["two slices"]], settings, on_progress=reports.append)
    assert [(r.stage, r.step, r.steps) for r in reports] == [
        ("preparing", 0, 0),
        *(("linear probe", step, 3) for step in (1, 2, 3)),
        *(("fine-tuning", step, 4) for step in (1, 2, 3, 4)),
    ]
    assert result.history == reports[1:]
    assert all(math.isfinite(r.loss) and 0 <= r.dice <= 1 and r.eta_s >= 0 for r in result.history)
    assert {r.device for r in reports} == {"cpu"}
    assert reports[-1].eta_s == 0
    assert result.seconds > 0


@pytest.mark.parametrize("asked", [0, 1, 3])
def test_request_stops_with_a_usable_model(asked):
    """``asked`` steps are made; 0 is a request while the volume is still being prepared."""
    case, reports = CASES["two slices"], []
    result = finetune(
        [case],
        SETTINGS,
        on_progress=reports.append,
        should_stop=lambda: asked == 0 or sum(r.step > 0 for r in reports) >= asked,
    )
    assert (result.stopped, result.steps) == ("request", asked)
    assert_usable(result, case)


def test_request_in_the_linear_probe_ends_everything(tmp_path):
    settings = dataclasses.replace(SETTINGS, weights=str(write_weights(tmp_path / "w.safetensors")))
    reports = []
    result = finetune([CASES["one slice"]], settings, on_progress=reports.append, should_stop=lambda: len(reports) >= 3)
    assert (result.stopped, result.steps) == ("request", 2)
    assert reports[-1].stage == "linear probe"
    assert_usable(result, CASES["one slice"])


@pytest.mark.parametrize(("limit", "least"), [(1e-6, 5), (1.0, 5)])
def test_time_limit_stops_with_a_usable_model(tiny_training, monkeypatch, limit, least):
    monkeypatch.setitem(PRESETS, "fast", dataclasses.replace(tiny_training, steps=100_000))
    begin = time.monotonic()
    result = finetune([CASES["two slices"]], dataclasses.replace(SETTINGS, time_limit_s=limit))
    assert result.stopped == "time limit"
    assert least <= result.steps < 100_000
    assert time.monotonic() - begin < limit + 2
    assert_usable(result, CASES["two slices"])
    untrained = finetune([CASES["two slices"]], SETTINGS, should_stop=lambda: True).model.network
    for name, before in untrained.named_parameters():
        if name.endswith("weight"):
            assert not torch.equal(before, result.model.network.get_parameter(name)), f"{name} has learned nothing"


@pytest.mark.parametrize(
    ("limit", "asked", "expected"), [(1e-6, False, True), (60.0, False, False), (60.0, True, True)]
)
def test_time_limit_and_request_cut_the_preparation_short(monkeypatch, limit, asked, expected):
    over = []

    def spy(*arguments, should_stop, **options):
        over.append(should_stop())
        return prepare(*arguments, should_stop=should_stop, **options)

    monkeypatch.setattr("sslseg.finetune.prepare", spy)
    settings = dataclasses.replace(SETTINGS, time_limit_s=limit)
    finetune([CASES["one slice"]], settings, should_stop=lambda: asked)
    assert over == [expected]


def with_value(value):
    case = make_case()
    case.volume.array[1, 2, 3] = value
    return case


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ([], "There is nothing to train on"),
        ([make_case(labels=np.full((8, 20, 18), IGNORE, np.uint8))], "has no annotated slice"),
        ([make_case(labels=np.zeros((8, 20, 18), np.uint8))], "holds only background"),
        ([make_case(), one_class(make_case())], "has other segments than synthetic"),
        ([Case(make_case().volume, make_case("oblique").annotation, 0)], "does not fit it: it lies up to"),
        ([Case(make_case().volume, make_case("isotropic").annotation, 0)], "does not fit it: its size is"),
        ([make_case(labels=np.full((8, 20, 18), 3, np.uint8))], "holds class 3 but names only 2"),
        ([with_value(np.nan)], "synthetic holds NaN or infinite values"),
        ([with_value(np.inf)], "synthetic holds NaN or infinite values"),
    ],
)
def test_input_that_cannot_be_trained_on(cases, words):
    with pytest.raises(InputError, match=words) as caught:
        finetune(cases, SETTINGS)
    assert str(caught.value).endswith(".")


def test_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="Device 'cuda' is not there"):
        finetune([CASES["one slice"]], dataclasses.replace(SETTINGS, device="cuda"))
