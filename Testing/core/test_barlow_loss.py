"""Barlow Twins is the formula of the paper: views agree, features are uncorrelated."""

import math

import numpy as np
import pytest
import torch

from sslseg.losses.barlow import PixelBarlowTwins


def make_views(n, d, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(n, d, generator=generator, dtype=dtype) for _ in range(2))
    return [first.requires_grad_(), (0.5 * second + first.detach().roll(1, 1) + 3).requires_grad_()]


def hadamard(size):
    """A matrix of +1 and -1 with orthogonal columns; all but the first have mean 0."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def slow_loss(first, second, off_diagonal):
    """Batch normalisation by PyTorch, the rest entry by entry."""
    normalise = torch.nn.BatchNorm1d(first.shape[1], affine=False, track_running_stats=False).to(first.dtype)
    z1, z2 = (normalise(view).detach().numpy() for view in (first, second))
    total = 0.0
    for i, j in np.ndindex(z1.shape[1], z1.shape[1]):
        c = sum(z1[p, i] * z2[p, j] for p in range(len(z1))) / len(z1)
        total += (1 - c) ** 2 if i == j else off_diagonal * c**2
    return total


@pytest.mark.parametrize("off_diagonal", [0, 5e-3, 1])
@pytest.mark.parametrize(("n", "d"), [(2, 1), (2, 3), (7, 4), (40, 9)])
def test_loss_equals_slow_reference(n, d, off_diagonal):
    first, second = make_views(n, d)
    found = PixelBarlowTwins(off_diagonal)(first, second)
    assert found.item() == pytest.approx(slow_loss(first, second, off_diagonal), rel=1e-10)


@pytest.mark.parametrize("size", [4, 16, 64])
def test_agreeing_uncorrelated_features_cost_nothing(size):
    features = hadamard(size)[:, 1:]
    assert PixelBarlowTwins(1)(features, 5 * features - 2).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("off_diagonal", [5e-3, 0.5])
@pytest.mark.parametrize("d", [2, 7])
def test_closed_forms(d, off_diagonal):
    loss, features = PixelBarlowTwins(off_diagonal), hadamard(8)[:, 1 : d + 1]
    collapsed, redundant = torch.ones(8, d), features[:, :1].expand(8, d)
    assert loss(collapsed, collapsed).item() == pytest.approx(d)
    assert loss(features, -features).item() == pytest.approx(4 * d, rel=1e-4)
    assert loss(redundant, redundant).item() == pytest.approx(off_diagonal * d * (d - 1), rel=1e-4)


def test_only_redundancy_costs_without_noise():
    """Off-diagonal entries, and nothing else, are what the weight is for."""
    first, second = make_views(30, 5)
    none, half, one = (PixelBarlowTwins(weight)(first, second).item() for weight in (0, 0.5, 1))
    assert half - none == pytest.approx((one - none) / 2)
    assert one > none > 0


def test_large_offset_keeps_its_digits():
    first, second = make_views(200, 4, dtype=torch.float32)
    expected = PixelBarlowTwins()(first.double(), second.double()).item()
    assert PixelBarlowTwins()(first + 1000, second - 1000).item() == pytest.approx(expected, rel=1e-2)


def test_gradient_reaches_every_pixel_of_both_views():
    first, second = make_views(12, 5)
    PixelBarlowTwins()(first, second).backward()
    assert all((view.grad.norm(dim=1) > 1e-6).all() for view in (first, second))


def test_gradient_of_collapsed_features_is_finite():
    first, second = (torch.ones(6, 3).requires_grad_() for _ in range(2))
    PixelBarlowTwins()(first, second).backward()
    assert torch.isfinite(first.grad).all()
    assert torch.isfinite(second.grad).all()


@pytest.mark.parametrize("off_diagonal", [5e-3, 0.3])
def test_gradient_is_that_of_finite_differences(off_diagonal):
    assert torch.autograd.gradcheck(PixelBarlowTwins(off_diagonal), make_views(6, 3))


def test_order_scale_and_roles_do_not_matter():
    first, second = make_views(20, 4)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    loss = PixelBarlowTwins()(first, second)
    for variant in ((first[order], second[order]), (second, first), (first.flip(1), second.flip(1))):
        assert torch.allclose(PixelBarlowTwins()(*variant), loss, rtol=1e-12)
    assert torch.allclose(PixelBarlowTwins()(9 * first + 1, 2 * second - 4), loss, rtol=1e-4)
    assert not torch.allclose(PixelBarlowTwins()(first, second[order]), loss, rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_does_not_reach_the_loss(dtype):
    first, second = (view.detach().to(dtype) for view in make_views(50, 6))
    expected = PixelBarlowTwins()(first.float(), second.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = PixelBarlowTwins()(first, second)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("first", "second"), [((4, 3), (5, 3)), ((4, 3), (4, 2)), ((3,), (3,)), ((2, 3, 4), (2, 3, 4))]
)
def test_wrong_shapes_are_refused(first, second):
    with pytest.raises(ValueError, match="views"):
        PixelBarlowTwins()(torch.zeros(first), torch.zeros(second))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pixels_are_refused(n):
    with pytest.raises(ValueError, match="two of them or more"):
        PixelBarlowTwins()(torch.zeros(n, 3), torch.zeros(n, 3))


@pytest.mark.parametrize("off_diagonal", [-1, math.nan])
def test_wrong_weight_is_refused(off_diagonal):
    with pytest.raises(ValueError, match="weight"):
        PixelBarlowTwins(off_diagonal)
