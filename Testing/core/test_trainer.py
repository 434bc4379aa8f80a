"""The training loop: its rates, and what it does when numbers or memory run out."""

import dataclasses
import itertools
import math

import pytest
import torch
from few_slices import CASES, DEVICES, SETTINGS, assert_usable, state, write_weights

from sslseg import trainer as trainer_module
from sslseg.annotation import IGNORE
from sslseg.backbone import BACKBONES, BackboneConfig, SegmentationNetwork
from sslseg.errors import TrainingError
from sslseg.finetune import finetune
from sslseg.losses.partial import PartialDiceCELoss
from sslseg.presets import PRESETS, Preset
from sslseg.sampling import Patches, prepare
from sslseg.trainer import Trainer

pytestmark = pytest.mark.usefixtures("tiny_training")


@pytest.fixture
def clock_from(monkeypatch):
    """``clock_from(now)`` is the clock of a stage that ends at 10; each look at the time takes a second."""

    def make(now):
        ticks = itertools.count(now)
        monkeypatch.setattr(trainer_module.time, "monotonic", lambda: next(ticks))
        clock = trainer_module._Clock(deadline=10.0)
        clock.start(1000)
        clock.start_stage()
        return clock

    return make


def test_rate_ends_at_zero_by_schedule_and_by_time_limit(clock_from):
    clock = clock_from(0.0)
    shares = [clock.share_of(index, 1000) for index in range(12)]
    assert shares == pytest.approx([0, 0.2, *(passed / 9 for passed in range(3, 10)), 1, 1, 1])
    assert trainer_module._Clock(deadline=None).share_of(250, 1000) == 0.25
    rates = [trainer_module._schedule(index, index / 100) for index in range(101)]
    assert rates[0] < rates[2] > rates[50] > rates[99] > rates[100] == pytest.approx(0)
    assert max(rates) <= 1


def test_a_stage_begins_at_its_full_rate(clock_from):
    clock = clock_from(0.0)
    for _ in range(5):
        clock.start_stage()
    assert clock.share_of(0, 1000) == 0


def test_without_any_time_the_least_steps_still_learn(clock_from):
    clock = clock_from(20.0)
    assert [clock.share_of(index, 1000) for index in range(6)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


@pytest.mark.parametrize(
    ("mode", "pretrained", "expected"),
    [("finetune", True, (3, 4)), ("finetune", False, (0, 4)), ("linear", True, (7, 0))],
)
def test_stages_of_a_preset(mode, pretrained, expected):
    preset = Preset(max_pixels=32, patch=16, batch=2, propagated=1, steps=4, probe_steps=3)
    assert preset.stages(mode, pretrained=pretrained) == dict(
        zip(("linear probe", "fine-tuning"), expected, strict=True)
    )


def test_layers_near_the_input_learn_more_slowly():
    network = SegmentationNetwork(BackboneConfig(BACKBONES["tiny"]), 3)
    groups = trainer_module._parameter_groups(network, pretrained=True)
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(members) == sorted(id(parameter) for parameter in network.parameters()), "each one once"
    rate = {id(parameter): group["rate"] for group in groups for parameter in group["params"]}
    order = [network.head, *reversed(network.backbone.decoder), *reversed(network.backbone.encoder)]
    rates = [{rate[id(parameter)] for parameter in block.parameters()} for block in order]
    assert all(len(of_block) == 1 for of_block in rates)
    values = [of_block.pop() for of_block in rates]
    assert values[1:] == sorted(set(values[1:]), reverse=True)
    assert values[0] >= values[1]
    assert len(trainer_module._parameter_groups(network, pretrained=False)) == 1


@pytest.mark.parametrize("fill", [math.nan, math.inf])
def test_loss_that_is_no_number_ends_the_training(tmp_path, fill):
    path = write_weights(tmp_path / "w.safetensors", fill=fill)
    with pytest.raises(TrainingError, match="the loss became NaN"):
        finetune([CASES["one slice"]], dataclasses.replace(SETTINGS, weights=str(path)))


def test_gradient_that_is_no_number_ends_the_training(monkeypatch):
    """Else the weights would be spoiled one step before the loss tells."""

    def forward(network, images):
        zero = (network.head.bias * 0).sqrt().sum()  # finite, but its slope is not
        return network.head(network.backbone(images)) + zero

    monkeypatch.setattr(SegmentationNetwork, "forward", forward)
    with pytest.raises(TrainingError):
        finetune([CASES["one slice"]], SETTINGS)


@pytest.fixture
def small_memory(monkeypatch):
    """The network takes one image at a time; more raise what PyTorch raises. Gives the sizes that were tried."""
    tried, forward = [], SegmentationNetwork.forward

    def limited(network, images):
        tried.append(len(images))
        if len(images) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return forward(network, images)

    monkeypatch.setattr(SegmentationNetwork, "forward", limited)
    return tried


def test_lack_of_memory_halves_the_batch_and_says_so(tiny_training, monkeypatch, small_memory):
    monkeypatch.setitem(PRESETS, "fast", dataclasses.replace(tiny_training, batch=4))
    reports = []
    result = finetune([CASES["two slices"]], SETTINGS, on_progress=reports.append)
    assert small_memory[:3] == [4, 2, 1]
    assert set(small_memory[2:]) == {1}
    assert len(result.messages) == 2
    assert "with 2 slices" in result.messages[0]
    assert "with 1 slice " in result.messages[1]
    assert [r.message for r in reports if r.message] == result.messages
    assert result.stopped == "schedule"
    assert all(math.isfinite(report.loss) for report in result.history)
    assert all(value.isfinite().all() for value in state(result).values())


@pytest.mark.parametrize("device", DEVICES)
def test_lack_of_memory_for_a_single_image_leads_to_the_cpu(monkeypatch, device):
    forward = SegmentationNetwork.forward

    def limited(network, images):
        if images.device.type != "cpu":
            raise torch.OutOfMemoryError("out of memory")
        return forward(network, images)

    monkeypatch.setattr(SegmentationNetwork, "forward", limited)
    result = finetune([CASES["two slices"]], dataclasses.replace(SETTINGS, device=device))
    assert (result.device, result.stopped) == ("cpu", "schedule")
    assert len(result.messages) == (0 if device == "cpu" else 2)
    assert_usable(result, CASES["two slices"])


def test_lack_of_memory_while_preparing_leads_to_the_cpu(monkeypatch):
    gpu = torch.device("cuda:0")

    def limited(*arguments, **options):
        if gpu in arguments:
            raise torch.OutOfMemoryError("out of memory")
        return prepare(*arguments, **options)

    monkeypatch.setattr("sslseg.finetune.resolve_device", lambda _: gpu)
    monkeypatch.setattr("sslseg.finetune.prepare", limited)
    result = finetune([CASES["two slices"]], SETTINGS)
    assert (result.device, result.stopped) == ("cpu", "schedule")
    assert len(result.messages) == 1
    assert "going on with the CPU" in result.messages[0]
    assert_usable(result, CASES["two slices"])


def test_lack_of_memory_for_a_single_image_is_raised_on_the_cpu(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(SegmentationNetwork, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        finetune([CASES["one slice"]], SETTINGS)


def make_trainer(preset):
    torch.manual_seed(0)
    return Trainer(
        SegmentationNetwork(BackboneConfig(BACKBONES["tiny"]), 3),
        sampler=None,
        cases=[],
        preset=preset,
        device=torch.device("cpu"),
        on_progress=lambda _: None,
        should_stop=lambda: False,
        deadline=None,
    )


def gradient(trainer, patches, at_once):
    trainer.network.zero_grad()
    loss = trainer._backward(patches, at_once, torch.device("cpu"))
    return loss, torch.cat([parameter.grad.flatten() for parameter in trainer.network.parameters()])


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_parts_of_a_batch_of_propagated_labels_give_its_gradient(tiny_training, monkeypatch, at_once):
    monkeypatch.setattr("sslseg.device.has_bfloat16", lambda _: False)
    trainer = make_trainer(tiny_training)
    patches = Patches(
        torch.randn(5, 1, 16, 16), probabilities=torch.randn(5, 3, 16, 16).softmax(1), weight=torch.rand(5, 1, 16, 16)
    )
    (whole, expected), (parts, found) = gradient(trainer, patches, 5), gradient(trainer, patches, at_once)
    assert parts == pytest.approx(whole, rel=1e-5)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_parts_of_an_annotated_batch_give_the_mean_of_their_losses(tiny_training, monkeypatch, at_once):
    monkeypatch.setattr("sslseg.device.has_bfloat16", lambda _: False)
    trainer = make_trainer(tiny_training)
    images, labels = torch.randn(4, 1, 16, 16), torch.randint(0, 3, (4, 16, 16), dtype=torch.uint8)
    labels[1] = IGNORE
    losses = [
        PartialDiceCELoss()(trainer.network(images[i : i + at_once]), labels[i : i + at_once]) * at_once / 4
        for i in range(0, 4, at_once)
    ]
    trainer.network.zero_grad()
    sum(losses).backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in trainer.network.parameters()])
    loss, found = gradient(trainer, Patches(images, labels), at_once)
    assert loss == pytest.approx(float(sum(losses).detach()), rel=1e-5)
    assert torch.allclose(found, expected, atol=1e-5)
