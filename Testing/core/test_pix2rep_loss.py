"""The contrast of pixels is the formula of the paper, for any size, in blocks, in any order."""

import math

import pytest
import torch
from monai.losses import ContrastiveLoss
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode

from sslseg.losses import pix2rep
from sslseg.losses.pix2rep import PixelInfoNCE


def make_views(n, d, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=generator, dtype=dtype).requires_grad_() for _ in range(2)]


def slow_loss(first, second, temperature):
    """Anchor by anchor, one exponential at a time."""
    n = len(first)
    unit = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in [*first.tolist(), *second.tolist()]]
    similarity = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in unit] for a in unit]
    total = 0.0
    for a in range(2 * n):
        e = [math.exp(s / temperature) for s in similarity[a]]
        total -= math.log(e[(a + n) % (2 * n)] / (sum(e) - e[a]))
    return total / (2 * n)


@pytest.mark.parametrize("temperature", [0.1, 0.53, 1, 10])
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (5, 4), (17, 8)])
def test_loss_equals_slow_reference(n, d, temperature):
    first, second = make_views(n, d)
    found = PixelInfoNCE(temperature)(first, second)
    assert found.item() == pytest.approx(slow_loss(first, second, temperature), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("n", [2, 30])
def test_loss_and_gradient_equal_those_of_monai(n):
    ours, theirs = make_views(n, 8), make_views(n, 8)
    loss, reference = PixelInfoNCE(0.25)(*ours), ContrastiveLoss(0.25)(*theirs)
    assert torch.allclose(loss, reference, rtol=1e-12)
    loss.backward()
    reference.backward()
    assert all(torch.allclose(a.grad, b.grad, atol=1e-12) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("temperature", [0.07, 0.53, 2])
@pytest.mark.parametrize("n", [1, 2, 6])
def test_equal_pairs_and_orthogonal_others(n, temperature):
    views = torch.eye(n, 6)
    expected = math.log1p((2 * n - 2) * math.exp(-1 / temperature))
    assert PixelInfoNCE(temperature)(3 * views, views).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.53])
@pytest.mark.parametrize("n", [2, 50, 1000])
def test_collapse_costs_the_logarithm_of_the_others(n, temperature):
    views = torch.full((n, 4), 2.0)
    assert PixelInfoNCE(temperature)(views, views).item() == pytest.approx(math.log(2 * n - 1), rel=1e-4)


def test_small_temperature_does_not_underflow():
    first, second = make_views(20, 8, dtype=torch.float32)
    loss = PixelInfoNCE(1e-3)(first, -first + 0 * second)
    loss.backward()
    assert 1000 < loss.item() < 2001
    assert torch.isfinite(first.grad).all()


def test_gradient_reaches_every_pixel_of_both_views():
    first, second = make_views(12, 5)
    PixelInfoNCE()(first, second).backward()
    assert all((view.grad.norm(dim=1) > 1e-6).all() for view in (first, second))


@pytest.mark.parametrize("temperature", [0.2, 0.53])
def test_gradient_is_that_of_finite_differences(temperature):
    assert torch.autograd.gradcheck(PixelInfoNCE(temperature), make_views(4, 3))


def test_descent_pulls_pairs_together():
    first, second = make_views(16, 8, dtype=torch.float32)
    optimizer = torch.optim.Adam([first, second], lr=0.1)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(PixelInfoNCE()(first, second))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 1
    assert F.cosine_similarity(first, second).min() > 0.8


def test_order_length_and_roles_do_not_matter():
    first, second = make_views(9, 4)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    lengths = torch.linspace(0.1, 50, 9, dtype=torch.float64)[:, None]
    loss = PixelInfoNCE()(first, second)
    for variant in ((first[order], second[order]), (second, first), (first * lengths, second / lengths)):
        assert torch.allclose(PixelInfoNCE()(*variant), loss, rtol=1e-12)
    assert not torch.allclose(PixelInfoNCE()(first, second[order]), loss, rtol=1e-3)


@pytest.mark.parametrize("block", [1, 50, 333])
def test_blocks_change_nothing_but_memory(block, monkeypatch):
    whole, parts = make_views(20, 6), make_views(20, 6)
    loss = PixelInfoNCE()(*whole)
    loss.backward()
    monkeypatch.setattr(pix2rep, "BLOCK", block)
    in_blocks = PixelInfoNCE()(*parts)
    in_blocks.backward()
    assert torch.allclose(in_blocks, loss, rtol=1e-12)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-12) for a, b in zip(whole, parts, strict=True))


class LargestTensor(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation gives."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            self.largest = max(self.largest, tensor.numel() if isinstance(tensor, torch.Tensor) else 0)
        return result


def test_memory_grows_with_the_pixels_and_not_with_their_square(monkeypatch):
    n, d, block = 400, 4, 20_000
    monkeypatch.setattr(pix2rep, "BLOCK", block)
    kept = {}
    first, second = make_views(n, d, dtype=torch.float32)
    with LargestTensor() as watch:
        with saved_tensors_hooks(lambda x: kept.update({x.data_ptr(): x.numel()}) or x, lambda x: x):
            loss = PixelInfoNCE()(first, second)
        loss.backward()
    assert watch.largest <= block
    assert sum(kept.values()) < 20 * n * d  # against 4 n² similarities
    assert first.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_does_not_reach_the_loss(dtype):
    first, second = (view.detach().to(dtype) for view in make_views(50, 16))
    expected = PixelInfoNCE()(first.float(), second.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = PixelInfoNCE()(first, second)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("first", "second"), [((4, 3), (5, 3)), ((4, 3), (4, 2)), ((3,), (3,)), ((2, 3, 4), (2, 3, 4)), ((0, 3), (0, 3))]
)
def test_wrong_shapes_are_refused(first, second):
    with pytest.raises(ValueError, match=r"views"):
        PixelInfoNCE()(torch.zeros(first), torch.zeros(second))


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_wrong_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        PixelInfoNCE(temperature)
