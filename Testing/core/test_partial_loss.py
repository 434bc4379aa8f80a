"""The loss sees annotated pixels and nothing else."""

import math

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss, MaskedLoss
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE
from sslseg.losses.partial import PartialDiceCELoss, weighted_soft_cross_entropy

SURE = 40.0
"""Logit of a network that is sure: the probability of any other class is below 1e-17."""


def make_labels(n=2, classes=4, size=(16, 24), share=1.0, seed=0):
    """Random blobs of all classes; ``share`` of the pixels annotated."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, classes, (n, 1, size[0] // 4, size[1] // 4), generator=generator)
    labels = F.interpolate(coarse.float(), size=size, mode="nearest")[:, 0].to(torch.uint8)
    labels[torch.rand(labels.shape, generator=generator) >= share] = IGNORE
    return labels


def make_logits(labels, classes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((len(labels), classes, *labels.shape[1:]), generator=generator).requires_grad_()


def perfect_logits(labels, classes):
    """Sure and right where annotated, sure and wrong elsewhere."""
    answer = torch.where(labels == IGNORE, torch.full_like(labels, classes - 1), labels)
    return SURE * F.one_hot(answer.long(), classes).permute(0, 3, 1, 2).float()


def slow_loss(logits, labels):
    """Pixel by pixel in double precision."""
    classes = logits.shape[1]
    both, predicted, truth, entropy, count = np.zeros(classes), np.zeros(classes), np.zeros(classes), 0.0, 0
    for n, row, column in np.ndindex(*labels.shape):
        label = int(labels[n, row, column])
        if label == IGNORE:
            continue
        e = np.exp(logits[n, :, row, column].detach().numpy().astype(float))
        p = e / e.sum()
        entropy -= math.log(p[label])
        count += 1
        both[label] += p[label]
        predicted += p
        truth[label] += 1
    smooth = 1e-5
    dice = (2 * both + smooth) / (predicted + truth + smooth)
    return 1 - dice[1:].mean() + entropy / count


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.125, 0.01])
def test_perfect_sparse_prediction_costs_nothing(classes, share):
    labels = make_labels(classes=classes, share=share)
    assert (labels != IGNORE).any()
    assert float(PartialDiceCELoss()(perfect_logits(labels, classes), labels)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("present", [(0,), (2,), (0, 3), (1, 2)])
def test_perfect_prediction_costs_nothing_where_classes_are_missing(present):
    labels = make_labels(classes=4, share=0.125)
    for c in set(range(4)) - set(present):
        labels[labels == c] = IGNORE
    assert float(PartialDiceCELoss()(perfect_logits(labels, 4), labels)) == pytest.approx(0, abs=1e-4)


def test_wrong_prediction_costs_much():
    labels = make_labels(classes=3, share=0.125)
    known = labels != IGNORE
    wrong = torch.where(known, (labels + 1) % 3, labels)
    assert float(PartialDiceCELoss()(perfect_logits(wrong, 3), labels)) > 1


def test_masking_after_the_softmax_matters():
    """The trap: MONAI's MaskedLoss multiplies the logits, so it punishes what is right where annotated."""
    labels = make_labels(classes=4, share=0.125)
    logits, known = perfect_logits(labels, 4), labels != IGNORE
    one_hot = F.one_hot((labels * known).long(), 4).permute(0, 3, 1, 2).float()
    trap = MaskedLoss(DiceLoss, softmax=True, include_background=False, batch=True)
    assert float(trap(logits, one_hot, known[:, None].float())) > 0.1
    assert float(PartialDiceCELoss()(logits, labels)) < 1e-4


@pytest.mark.parametrize("share", [1.0, 0.3, 0.02])
@pytest.mark.parametrize("classes", [2, 4])
def test_loss_equals_slow_reference(classes, share):
    labels = make_labels(classes=classes, share=share, size=(8, 12))
    logits = make_logits(labels, classes)
    found = PartialDiceCELoss()(logits, labels)
    assert found.item() == pytest.approx(slow_loss(logits, labels), abs=1e-5)


@pytest.mark.parametrize("rows", [slice(0, 5), slice(3, 16), slice(15, 16)])
@pytest.mark.parametrize("columns", [slice(0, 24), slice(2, 9)])
def test_loss_equals_that_of_the_cropped_annotated_part(rows, columns):
    whole = make_labels(classes=3)
    labels = torch.full_like(whole, IGNORE)
    labels[:, rows, columns] = whole[:, rows, columns]
    logits = make_logits(labels, 3)
    crop, truth = logits[:, :, rows, columns], whole[:, rows, columns].long()
    one_hot = F.one_hot(truth, 3).permute(0, 3, 1, 2).float()
    plain = DiceLoss(softmax=True, include_background=False, batch=True)(crop, one_hot) + F.cross_entropy(crop, truth)
    assert torch.allclose(PartialDiceCELoss()(logits, labels), plain, atol=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_pixels_that_are_not_annotated_have_no_gradient(share):
    labels = make_labels(classes=3, share=share)
    labels[1] = IGNORE  # one image of the batch wholly unknown
    logits = make_logits(labels, 3)
    PartialDiceCELoss()(logits, labels).backward()
    known = (labels != IGNORE)[:, None].expand_as(logits)
    assert torch.count_nonzero(logits.grad[~known]) == 0
    assert torch.count_nonzero(logits.grad[known]) == known.sum()


def test_pixels_that_are_not_annotated_may_hold_anything():
    labels = make_labels(classes=3, share=0.3)
    logits = make_logits(labels, 3).detach()
    other = torch.where((labels == IGNORE)[:, None], 30 * torch.randn_like(logits), logits)
    assert float(PartialDiceCELoss()(other, labels)) == pytest.approx(float(PartialDiceCELoss()(logits, labels)))


def test_nothing_annotated_costs_nothing_and_moves_nothing():
    labels = make_labels(share=0.0)
    logits = make_logits(labels, 4)
    loss = PartialDiceCELoss()(logits, labels)
    loss.backward()
    assert loss.item() == 0
    assert torch.count_nonzero(logits.grad) == 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_labels_of_any_integer_type(dtype):
    labels = make_labels(share=0.5)
    logits = make_logits(labels, 4)
    assert PartialDiceCELoss()(logits, labels.to(dtype)).item() == PartialDiceCELoss()(logits, labels).item()


def test_soft_cross_entropy_equals_slow_reference():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 3, 4, 5), generator=generator)
    target = torch.randn((2, 3, 4, 5), generator=generator).softmax(1)
    weight = torch.rand((2, 1, 4, 5), generator=generator)
    slow = 0.0
    for n, row, column in np.ndindex(2, 4, 5):
        e = np.exp(logits[n, :, row, column].double().numpy())
        log_p = np.log(e / e.sum())
        slow -= float(weight[n, 0, row, column]) * float(np.dot(target[n, :, row, column].numpy(), log_p))
    assert float(weighted_soft_cross_entropy(logits, target, weight)) == pytest.approx(slow / 40, abs=1e-6)


def test_soft_cross_entropy_leaves_pixels_of_no_weight_alone():
    logits = torch.randn(1, 2, 3, 4).requires_grad_()
    target = torch.rand(1, 2, 3, 4).softmax(1)
    weight = torch.ones(1, 1, 3, 4)
    weight[..., 2] = 0
    weighted_soft_cross_entropy(logits, target, weight).backward()
    assert torch.count_nonzero(logits.grad[..., 2]) == 0
    assert torch.count_nonzero(logits.grad[..., :2]) == 12


def test_soft_cross_entropy_of_parts_averages_to_that_of_the_batch():
    """What the training relies on when memory makes it compute a batch in parts."""
    logits, target = torch.randn(5, 3, 4, 4), torch.randn(5, 3, 4, 4).softmax(1)
    weight = torch.rand(5, 1, 4, 4)
    whole = weighted_soft_cross_entropy(logits, target, weight)
    parts = [slice(0, 2), slice(2, 4), slice(4, 5)]
    shares = [weighted_soft_cross_entropy(logits[p], target[p], weight[p]) * len(logits[p]) / 5 for p in parts]
    assert torch.allclose(sum(shares), whole)
