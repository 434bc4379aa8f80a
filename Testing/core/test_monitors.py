"""The collapse monitors have their closed-form values."""

import math

import numpy as np
import pytest
import torch

from sslseg.monitors import alignment, dead_share, uniformity


def make_features(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([[1, 0], [0, 2]], [[5, 0], [0, 1]], 0),
        ([[1, 0]], [[0, 3]], 2),
        ([[1, 0], [0, 1]], [[-1, 0], [0, -4]], 4),
        ([[1, 0], [0, 1]], [[1, 0], [0, -1]], 2),
        ([[1, 0]], [[1, 1]], 2 - math.sqrt(2)),
    ],
    ids=["equal", "orthogonal", "opposite", "half", "45 degrees"],
)
def test_alignment_closed_forms(first, second, expected):
    assert alignment(torch.tensor(first).float(), torch.tensor(second).float()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (torch.ones(5, 3), 0),
        (torch.tensor([[1.0, 0], [-2, 0]]), -8),
        (3 * torch.eye(6), -4),
        (torch.tensor([[1.0, 0], [1, 0], [0, 1]]), math.log((1 + 2 * math.exp(-4)) / 3)),
    ],
    ids=["equal", "opposite", "orthogonal", "mixed"],
)
def test_uniformity_closed_forms(features, expected):
    assert uniformity(features) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("n", "d"), [(2, 2), (9, 3), (40, 16)])
def test_uniformity_equals_slow_reference(n, d):
    features = make_features(n, d)
    z = (features / features.norm(dim=1, keepdim=True)).double().numpy()
    pairs = [math.exp(-2 * np.square(z[i] - z[j]).sum()) for i in range(n) for j in range(i)]
    assert uniformity(features) == pytest.approx(math.log(sum(pairs) / len(pairs)), abs=1e-5)


def test_random_directions_are_uniform():
    assert uniformity(make_features(300, 256)) == pytest.approx(-4, abs=0.05)
    assert alignment(make_features(300, 256), make_features(300, 256, 1)) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
@pytest.mark.parametrize("dead", [0, 1, 3, 8])
def test_dead_share_counts_the_dimensions_that_do_not_vary(dead, scale):
    features = make_features(50, 8)
    features[:, :dead] = torch.linspace(-1, 1, 8)[:dead] + 1e-4 * features[:, :dead]
    assert dead_share(scale * features) == pytest.approx(dead / 8)


@pytest.mark.parametrize("value", [0.0, 7.0, math.nan])
def test_collapsed_features_are_all_dead(value):
    assert dead_share(torch.full((5, 3), value)) == 1


def test_half_precision_and_gradient_are_no_matter():
    features = make_features(30, 8).bfloat16().requires_grad_()
    assert uniformity(features) == pytest.approx(uniformity(features.float()), abs=1e-6)
    assert alignment(features, features.flip(0)) == pytest.approx(alignment(features.float(), features.float().flip(0)))


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (5,), (2, 3, 4), (3, 0)])
def test_wrong_samples_are_refused(shape):
    for monitor in (uniformity, dead_share):
        with pytest.raises(ValueError, match="sample"):
            monitor(torch.zeros(shape))


@pytest.mark.parametrize(("first", "second"), [((3, 2), (4, 2)), ((3,), (3,)), ((0, 2), (0, 2))])
def test_wrong_pairs_are_refused(first, second):
    with pytest.raises(ValueError, match=r"views|pair"):
        alignment(torch.zeros(first), torch.zeros(second))
