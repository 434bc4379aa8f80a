"""What label propagation compares: intensities alone, or beside what a backbone sees."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE
from sslseg.backbone import BACKBONES, BackboneConfig, UNet
from sslseg.pixel_features import PATCH_CHANNELS, PixelFeatures, match_distance, patch_features
from sslseg.slices import InPlaneGrid, SliceStack


def make_stack(n=5, size=(12, 14)):
    images = torch.randn((n, 1, *size), generator=torch.Generator().manual_seed(n))
    return SliceStack(images, 0, InPlaneGrid(size, size))


def make_backbone(in_channels=1):
    torch.manual_seed(1)
    return UNet(BackboneConfig(BACKBONES["tiny"], in_channels)).eval()


def test_patch_features_are_the_surroundings_at_two_scales():
    image = torch.randn(2, 1, 8, 9)
    features = patch_features(image)
    assert features.shape == (2, PATCH_CHANNELS, 8, 9)
    assert torch.allclose(features[:, :9, 3, 4], image[:, 0, 2:5, 3:6].flatten(1) / 3)
    smooth = image[:, 0].unfold(1, 3, 1).unfold(2, 3, 1).mean((-1, -2))  # smooth[:, r, c] is centred on r + 1, c + 1
    assert torch.allclose(features[:, 9:, 4, 4], 0.7 * smooth[:, 1:6:2, 1:6:2].flatten(1) / 3, atol=1e-5)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_learned_features_have_unit_length_and_stand_beside_the_intensities(in_channels):
    stack, backbone = make_stack(), make_backbone(in_channels)
    found = PixelFeatures(stack, backbone)([4, 0])
    patches = patch_features(stack.images)[[4, 0]]
    learned, beside = found.split([found.shape[1] - patches.shape[1], patches.shape[1]], dim=1)
    with torch.no_grad():
        expected = F.normalize(backbone(stack.with_context(torch.tensor([4, 0]), in_channels)), dim=1)
    # In half precision, and computed in bfloat16 where the processor has it.
    assert F.cosine_similarity(learned, expected).min() > 0.99
    share = beside.norm() / patches.norm()
    assert torch.allclose(learned.norm(dim=1), share.expand(2, 12, 14), atol=5e-3)
    assert torch.allclose(beside, patches * share, atol=1e-6)
    assert not found.requires_grad


def test_every_slice_goes_through_the_backbone_once(monkeypatch):
    stack, backbone, seen = make_stack(), make_backbone(), []
    forward = UNet.forward
    monkeypatch.setattr(UNet, "forward", lambda net, images: (seen.append(len(images)), forward(net, images))[1])
    features = PixelFeatures(stack, backbone)
    first = features([0, 1])
    assert torch.equal(features([1, 2, 1])[0], first[1])
    assert sum(seen) == 3


def slow_match_distance(features, labels, window):
    """The definition, pixel by pixel; beyond the border there is what is at the border."""
    n, _, rows, columns = features.shape
    found = []
    for here, there in ((h, h + step) for h in range(n) for step in (-1, 1) if 0 <= h + step < n):
        shown = np.argwhere((labels[here] > 0) & (labels[here] != IGNORE))
        for r, c in np.ndindex(rows, columns):
            if len(shown) and (abs(shown - (r, c)).max(1) <= 6).any():
                moves = np.ndindex(2 * window + 1, 2 * window + 1)
                others = [
                    (np.clip(r + y - window, 0, rows - 1), np.clip(c + x - window, 0, columns - 1)) for y, x in moves
                ]
                found.append(min(((features[here][:, r, c] - features[there][:, y, x]) ** 2).sum() for y, x in others))
    return sorted(found)[(len(found) - 1) // 2]  # of an even number torch takes the lower one


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("known", [(0,), (2,), (1, 2)])
def test_match_distance_equals_the_slow_reference(known, window):
    features = torch.randn((4, 3, 13, 16), generator=torch.Generator().manual_seed(0))
    labels = torch.full((4, 13, 16), IGNORE, dtype=torch.uint8)
    for index in known:
        labels[index] = 0
        labels[index, 2:4, 3:5] = 1
    found = match_distance(lambda indices: features[indices], labels, window)
    expected = slow_match_distance(features.numpy(), labels.numpy(), window)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("value", [0, IGNORE])
def test_without_an_annotated_structure_there_is_no_match_distance(value):
    labels = torch.full((3, 5, 5), value, dtype=torch.uint8)
    assert match_distance(lambda indices: torch.ones(len(indices), 1, 5, 5), labels, 1) is None
