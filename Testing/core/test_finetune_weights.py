"""Fine-tuning starts from pretrained weights, every time anew, and refuses files that are none."""

import dataclasses

import numpy as np
import pytest
import torch
from few_slices import CASES, SETTINGS, one_class, state, write_weights
from synthetic import make_annotation, make_geometry, make_labels, make_volume

from sslseg.backbone import BACKBONES, BackboneConfig, SegmentationNetwork, UNet
from sslseg.checkpoint import save_checkpoint
from sslseg.errors import CheckpointError, InputError
from sslseg.finetune import Case, finetune
from sslseg.model import Model, model_header
from sslseg.predict import predict

pytestmark = pytest.mark.usefixtures("tiny_training")


@pytest.fixture
def weights(tmp_path):
    return write_weights(tmp_path / "wéights.safetensors")


def pretrained_values():
    torch.manual_seed(7)
    return {f"backbone.{name}": v for name, v in UNet(BackboneConfig(BACKBONES["tiny"])).state_dict().items()}


def test_linear_probe_trains_the_head_only(tiny_training, monkeypatch, weights):
    settings = dataclasses.replace(SETTINGS, weights=str(weights), mode="linear")
    stopped = finetune([CASES["two slices"]], settings, should_stop=lambda: True)
    forward, learning = SegmentationNetwork.forward, []

    def spy(network, images):
        if network.training:
            learning.append(network.backbone(images).requires_grad)
        return forward(network, images)

    monkeypatch.setattr(SegmentationNetwork, "forward", spy)
    result = finetune([CASES["two slices"]], settings)
    found, start = state(result), state(stopped)
    assert learning
    assert not any(learning), "no gradient is computed for frozen layers"
    assert {report.stage for report in result.history} == {"linear probe"}
    assert result.steps == tiny_training.probe_steps + tiny_training.steps
    for name, value in pretrained_values().items():
        assert torch.equal(found[name], value), f"{name} moved"
    assert not torch.equal(found["head.weight"], start["head.weight"])
    assert not torch.equal(found["head.bias"], start["head.bias"])


def test_a_linear_probe_of_random_weights_is_refused():
    with pytest.raises(InputError, match="choose pretrained weights"):
        finetune([CASES["one slice"]], dataclasses.replace(SETTINGS, weights="none", mode="linear"))


def test_labels_travel_by_the_pretrained_features_from_training_to_every_later_prediction(tmp_path, weights):
    case = CASES["two slices"]
    model = finetune([case], dataclasses.replace(SETTINGS, weights=str(weights))).model
    assert all(
        torch.equal(pretrained_values()[f"backbone.{name}"], v) for name, v in model.features.state_dict().items()
    )
    model.save(tmp_path / "model.safetensors")
    again = Model.load(tmp_path / "model.safetensors")
    blind = Model(again.network, again.header)
    at_once, later, by_intensities = (
        predict(m, case.volume, annotation=case.annotation, device="cpu").uncertainty for m in (model, again, blind)
    )
    assert np.array_equal(at_once, later)
    assert not np.array_equal(later, by_intensities)


def test_fine_tuning_trains_every_layer(weights):
    found = state(finetune([CASES["two slices"]], dataclasses.replace(SETTINGS, weights=str(weights))))
    still = [name for name, value in pretrained_values().items() if torch.equal(found[name], value)]
    assert not still


def test_without_weights_there_is_no_linear_probe():
    result = finetune([CASES["one slice"]], SETTINGS)
    assert {report.stage for report in result.history} == {"fine-tuning"}
    assert result.model.header["weights"] == "none"


def test_retraining_restarts_from_the_pretrained_weights(weights):
    settings = dataclasses.replace(SETTINGS, weights=str(weights))
    before = weights.read_bytes()
    first = finetune([CASES["two slices"]], settings)
    finetune([CASES["three slices"]], settings)
    again = finetune([CASES["two slices"]], settings)
    assert all(torch.equal(value, state(again)[name]) for name, value in state(first).items())
    assert weights.read_bytes() == before


def test_a_fine_tuned_model_can_be_gone_on_with(tmp_path):
    first = finetune([CASES["one slice"]], SETTINGS)
    first.model.save(tmp_path / "m.safetensors")
    settings = dataclasses.replace(SETTINGS, weights=str(tmp_path / "m.safetensors"))
    stopped = finetune([one_class(CASES["one slice"])], settings, should_stop=lambda: True)
    assert torch.equal(
        state(stopped)["backbone.encoder.0.conv1.conv.weight"], state(first)["backbone.encoder.0.conv1.conv.weight"]
    )
    assert stopped.model.header["weights"] == "finetune"


def test_model_says_where_it_comes_from(tiny_training, tmp_path):
    path = write_weights(tmp_path / "w.safetensors", spacing_mm=2.0)
    header = finetune([CASES["one slice"]], dataclasses.replace(SETTINGS, weights=str(path))).model.header
    assert (header["weights"], header["licence"], header["spacing_mm"]) == ("pix2rep", "CC0-1.0", 2.0)
    assert header["in_channels"] == 1
    assert header["max_pixels"] == tiny_training.max_pixels


@pytest.mark.parametrize(
    ("spacing_mm", "patch", "whole", "travelled"),
    [
        (None, (16, 16), (32, 19), (128, 77)),
        (10.0, (16, 12), (15, 9), (15, 9)),
        (1.0, (16, 16), (32, 19), (128, 77)),
    ],
)
def test_slices_are_seen_at_the_size_of_preset_and_weights(monkeypatch, tmp_path, spacing_mm, patch, whole, travelled):
    geometry = make_geometry((3, 150, 90))
    labels = make_labels(geometry)
    case = Case(make_volume(labels, geometry), make_annotation(labels, geometry, [1]), 0)
    forward, seen = UNet.forward, []

    def spy(unet, images):
        seen.append(tuple(images.shape[-2:]))
        return forward(unet, images)

    monkeypatch.setattr(UNet, "forward", spy)
    path = write_weights(tmp_path / "w.safetensors", spacing_mm=spacing_mm)
    result = finetune([case], dataclasses.replace(SETTINGS, weights=str(path)))
    assert set(seen) == {patch, travelled}, "the training sees patches, label propagation a grid of its own"
    seen.clear()
    predict(result.model, case.volume, device="cpu")
    assert set(seen) == {whole}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04 archive", "pickled PyTorch file"),
        (b"not weights at all", "not a safetensors file"),
        (None, "is not there"),
    ],
)
def test_weights_that_are_no_weights(tmp_path, content, words):
    path = tmp_path / "w.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        finetune([CASES["one slice"]], dataclasses.replace(SETTINGS, weights=str(path)))


def test_weights_of_another_architecture_name_the_key(tmp_path):
    path = tmp_path / "w.safetensors"
    unet = UNet(BackboneConfig((8, 16)))
    header = model_header(
        BackboneConfig((8, 24)), (), axis=0, max_pixels=32, spacing_mm=None, weights="none", licence="CC0-1.0"
    )
    save_checkpoint(path, {f"backbone.{name}": v for name, v in unet.state_dict().items()}, header)
    with pytest.raises(CheckpointError, match=r"'backbone\.encoder\.1\..*' has shape 16 x 8 x 3 x 3 where 24 x 8"):
        finetune([CASES["one slice"]], dataclasses.replace(SETTINGS, weights=str(path)))
