"""The U-Net takes images of any size, is described by a few numbers, and refuses others."""

import json

import pytest
import torch

from sslseg.backbone import BACKBONES, BackboneConfig, SegmentationNetwork, UNet
from sslseg.errors import CheckpointError

TINY = BackboneConfig(BACKBONES["tiny"])


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet(TINY).eval()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (4, 4), (7, 16), (17, 33), (30, 5)])
def test_any_image_size(unet, size):
    features = unet(torch.randn(2, 1, *size))
    assert features.shape == (2, TINY.features, *size)
    assert features.isfinite().all()


def test_image_is_extended_by_its_edge_and_cut_back(unet):
    image = torch.randn(1, 1, 6, 9)
    extended = torch.cat([image, image[..., -1:].expand(1, 1, 6, 3)], dim=-1)
    extended = torch.cat([extended, extended[..., -1:, :].expand(1, 1, 2, 12)], dim=-2)
    assert torch.allclose(unet(image), unet(extended)[..., :6, :9], atol=1e-5)


def test_encoder_halves_once_a_level(unet):
    levels = unet.encode(torch.randn(1, 1, 16, 24))
    assert [tuple(level.shape[1:]) for level in levels] == [(8, 16, 24), (16, 8, 12), (32, 4, 6)]
    assert TINY.stride == 4


def test_images_of_a_batch_do_not_see_each_other(unet):
    images = torch.randn(3, 1, 16, 16)
    alone = torch.cat([unet(image[None]) for image in images])
    assert torch.allclose(unet(images), alone, atol=1e-5)


def test_every_parameter_learns():
    network = SegmentationNetwork(BackboneConfig((8, 16, 32), in_channels=3), n_classes=4)
    logits = network(torch.randn(2, 3, 20, 12))
    assert logits.shape == (2, 4, 20, 12)
    logits.square().mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


@pytest.mark.parametrize(
    ("name", "expected"), [("tiny", 29_448), ("small", 819_608), ("base", 6_303_264), ("large", 124_371_008)]
)
def test_size_of_the_named_backbones(name, expected):
    with torch.device("meta"):  # nothing is allocated
        network = UNet(BackboneConfig(BACKBONES[name]))
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("config", [TINY, BackboneConfig((16, 32), in_channels=5, groups=4)])
def test_config_round_trip_through_json(config):
    assert BackboneConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"widths": [8, 16], "in_channels": 1},
        {"widths": [8], "in_channels": 1, "groups": 8},
        {"widths": [8, 12], "in_channels": 1, "groups": 8},
        {"widths": [8, 0], "in_channels": 1, "groups": 8},
        {"widths": [8, -16], "in_channels": 1, "groups": 8},
        {"widths": [8, 16], "in_channels": 1, "groups": 0},
        {"widths": [8, 16], "in_channels": 2, "groups": 8},
        {"widths": [8, 16], "in_channels": 0, "groups": 8},
        {"widths": None, "in_channels": 1, "groups": 8},
        {"widths": ["wide", "wider"], "in_channels": 1, "groups": 8},
        "resnet50",
    ],
    ids=str,
)
def test_config_of_another_network_is_refused(values):
    with pytest.raises(CheckpointError, match=r"^weights\.safetensors does not fit: its backbone .*\.$"):
        BackboneConfig.from_dict(values, "weights.safetensors")
