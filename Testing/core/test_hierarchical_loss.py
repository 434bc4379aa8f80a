"""The three levels of the encoder's loss, each by itself and together."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.backbone import BackboneConfig, UNet
from sslseg.losses.hierarchical import (
    GroupSupCon,
    HierarchicalLoss,
    ImageNTXent,
    LevelWeights,
    TaskClassification,
    pool_scales,
)
from sslseg.losses.pix2rep import PixelInfoNCE

LEVELS = ("image", "task", "group")


def make_embeddings(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def make_batch(n=6, d=5):
    """Two views, tasks 0..2, of which the first two are one group."""
    tasks = torch.arange(n) % 3
    return make_embeddings(n, d, 1), make_embeddings(n, d, 2), tasks, torch.tensor([4, 4, 9])[tasks]


def slow_group_loss(embeddings, groups, temperature):
    """Anchor by anchor, positive by positive."""
    z, losses = F.normalize(embeddings.detach(), dim=1), []
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        positives = [p for p in others if groups[p] == groups[i]]
        if positives:
            total = sum(math.exp(z[i] @ z[k] / temperature) for k in others)
            terms = [math.log(math.exp(z[i] @ z[p] / temperature) / total) for p in positives]
            losses.append(-sum(terms) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2])
@pytest.mark.parametrize(
    "groups", [[0, 0], [1, 0, 1], [7, 7, 7, 7], [0, 1, 2, 3, 0], [0, 1, 0, 1, 0, 1, 5], [-3, 2**40, -3, 2**40]]
)
def test_group_loss_equals_slow_reference(groups, temperature):
    embeddings = make_embeddings(len(groups), 4)
    found = GroupSupCon(temperature)(embeddings, torch.tensor(groups))
    assert found.item() == pytest.approx(slow_group_loss(embeddings, groups, temperature), rel=1e-10)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize(("size", "n_groups"), [(2, 1), (2, 3), (5, 4)])
def test_group_loss_of_pure_orthogonal_groups(size, n_groups, temperature):
    groups = torch.arange(n_groups).repeat(size)
    embeddings = 2 * torch.eye(n_groups)[groups]
    others = math.log(size - 1 + (size * n_groups - size) * math.exp(-1 / temperature))
    assert GroupSupCon(temperature)(embeddings, groups).item() == pytest.approx(others, abs=1e-5)


def test_group_loss_of_collapsed_embeddings():
    groups = torch.tensor([0, 0, 1, 1, 1])
    assert GroupSupCon()(torch.ones(5, 3), groups).item() == pytest.approx(math.log(4), rel=1e-5)


def test_groups_of_single_images_are_the_image_loss():
    first, second = make_embeddings(7, 4, 1), make_embeddings(7, 4, 2)
    by_group = GroupSupCon(0.3)(torch.cat([first, second]), torch.arange(7).repeat(2))
    assert torch.allclose(by_group, ImageNTXent(0.3)(first, second), rtol=1e-12)


def test_image_loss_is_the_contrast_of_pixels_with_a_temperature_of_its_own():
    first, second, *_ = make_batch()
    assert torch.equal(ImageNTXent()(first, second), PixelInfoNCE(0.5)(first, second))


def test_images_without_a_partner_count_as_negatives_only():
    embeddings, groups = make_embeddings(5, 4), torch.tensor([0, 0, 1, 2, 2])
    loss = GroupSupCon()(embeddings, groups)
    without = GroupSupCon()(embeddings[[0, 1, 3, 4]], groups[[0, 1, 3, 4]])
    assert loss > without
    loss.backward()
    assert embeddings.grad[2].norm() > 0


@pytest.mark.parametrize("groups", [[], [3], [0, 1, 2]])
def test_no_partner_at_all_costs_nothing(groups):
    embeddings = make_embeddings(len(groups), 4)
    loss = GroupSupCon()(embeddings, torch.tensor(groups, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert torch.count_nonzero(embeddings.grad) == 0


@pytest.mark.parametrize("n_tasks", [1, 2, 5])
def test_task_loss_of_a_classifier_that_knows_nothing(n_tasks):
    level = TaskClassification(4, n_tasks)
    torch.nn.init.zeros_(level.classifier.weight)
    torch.nn.init.zeros_(level.classifier.bias)
    found = level(torch.randn(6, 4), torch.arange(6) % n_tasks)
    assert found.item() == pytest.approx(math.log(n_tasks), abs=1e-6)


def test_task_loss_equals_slow_reference():
    level = TaskClassification(4, 3).double()
    embeddings, tasks = make_embeddings(5, 4), [0, 2, 1, 1, 2]
    weights, biases = level.classifier.weight.tolist(), level.classifier.bias.tolist()
    losses = []
    for embedding, task in zip(embeddings.tolist(), tasks, strict=True):
        scores = [
            sum(x * y for x, y in zip(w, embedding, strict=True)) + b for w, b in zip(weights, biases, strict=True)
        ]
        losses.append(-math.log(math.exp(scores[task]) / sum(math.exp(score) for score in scores)))
    assert level(embeddings, torch.tensor(tasks)).item() == pytest.approx(sum(losses) / 5, rel=1e-10)


def test_task_loss_learns_what_can_be_learned():
    level = TaskClassification(3, 3)
    tasks = torch.arange(12) % 3
    optimizer = torch.optim.Adam(level.parameters(), lr=0.3)
    for _ in range(50):
        optimizer.zero_grad()
        loss = level(torch.eye(3)[tasks], tasks)
        loss.backward()
        optimizer.step()
    assert loss < 0.05


@pytest.mark.parametrize("weights", [(1, 1, 1), (0.5, 2, 3), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 2)])
def test_total_is_the_weighted_sum_of_the_terms_that_count(weights):
    first, second, tasks, groups = make_batch()
    level = HierarchicalLoss(5, 3, LevelWeights(*weights)).double()
    total, terms = level(first, second, tasks, groups)
    both = torch.cat([first, second])
    expected = {"image": ImageNTXent()(first, second), "group": GroupSupCon()(both, groups.repeat(2))}
    if level.task is not None:
        expected["task"] = level.task(both, tasks.repeat(2))
    counted = {name: weight for name, weight in zip(LEVELS, weights, strict=True) if weight}
    assert set(terms) == set(counted)
    assert all(torch.equal(terms[name], expected[name]) and not terms[name].requires_grad for name in counted)
    assert total.item() == pytest.approx(sum(counted[name] * expected[name].item() for name in counted))


@pytest.mark.parametrize("left_out", LEVELS)
def test_level_without_weight_is_not_computed(left_out, monkeypatch):
    """Neither its time nor, for the classifier, its parameters: DDP refuses parameters that have no gradient."""
    level = HierarchicalLoss(5, 3, LevelWeights(**{left_out: 0})).double()
    for kind in {"image": [ImageNTXent], "task": [TaskClassification], "group": [GroupSupCon]}[left_out]:
        monkeypatch.setattr(kind, "forward", None)
    total, _ = level(*make_batch())
    total.backward()
    assert all(parameter.grad is not None for parameter in level.parameters())
    assert bool(list(level.parameters())) == (left_out != "task")


def test_all_weights_may_be_zero():
    total, terms = HierarchicalLoss(5, 3, LevelWeights(0, 0, 0))(*make_batch())
    assert total.item() == 0
    assert terms == {}


@pytest.mark.parametrize("level", LEVELS)
def test_gradient_of_every_level_reaches_both_views(level):
    weights = LevelWeights(**{name: float(name == level) for name in LEVELS})
    first, second, tasks, groups = make_batch()
    HierarchicalLoss(5, 3, weights).double()(first, second, tasks, groups)[0].backward()
    assert all((view.grad.norm(dim=1) > 1e-6).all() for view in (first, second))


def test_gradient_is_that_of_finite_differences():
    first, second, tasks, groups = make_batch(4, 3)
    level = HierarchicalLoss(3, 3, LevelWeights(1, 0.5, 2)).double()
    assert torch.autograd.gradcheck(lambda a, b: level(a, b, tasks, groups)[0], (first, second))


def test_order_of_images_does_not_matter():
    batch = make_batch(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    level = HierarchicalLoss(5, 3, LevelWeights()).double()
    total, _ = level(*batch)
    assert torch.allclose(level(*(x[order] for x in batch))[0], total, rtol=1e-12)
    assert torch.allclose(level(batch[1], batch[0], *batch[2:])[0], total, rtol=1e-12)


def test_mixed_precision_does_not_reach_the_contrast():
    first, second, tasks, groups = make_batch()
    first, second = first.detach().bfloat16(), second.detach().bfloat16()
    level = HierarchicalLoss(5, 3, LevelWeights(task=0))
    expected, _ = level(first.float(), second.float(), tasks, groups)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = level(first, second, tasks, groups)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_embedding_is_the_mean_of_every_encoder_level():
    network = UNet(BackboneConfig((8, 16, 24)))
    levels = network.encode(torch.randn(3, 1, 16, 32, generator=torch.Generator().manual_seed(0)))
    embeddings = pool_scales(levels)
    assert embeddings.shape == (3, 48)
    for image in range(3):
        slow = [float(channel.double().mean()) for level in levels for channel in level[image].detach()]
        assert embeddings[image].tolist() == pytest.approx(slow, abs=1e-5)


@pytest.mark.parametrize(
    ("embeddings", "labels"),
    [
        (torch.zeros(4, 3), torch.zeros(3, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(4, 1, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(4)),
        (torch.zeros(4, 3, 2), torch.zeros(4, dtype=torch.long)),
    ],
    ids=["count", "rank", "type", "embeddings"],
)
@pytest.mark.parametrize("level", [GroupSupCon(), TaskClassification(3, 2)])
def test_wrong_shapes_are_refused(level, embeddings, labels):
    with pytest.raises(ValueError, match="integer labels"):
        level(embeddings, labels)


@pytest.mark.parametrize(("index", "message"), [(0, "views"), (1, "views"), (2, "labels"), (3, "labels")])
def test_batch_that_does_not_fit_together_is_refused_whatever_counts(index, message):
    batch = list(make_batch())
    batch[index] = batch[index][:-1]
    with pytest.raises(ValueError, match=message):
        HierarchicalLoss(5, 3, LevelWeights(0, 0, 0))(*batch)


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf])
@pytest.mark.parametrize("level", LEVELS)
def test_wrong_weight_is_refused(level, weight):
    with pytest.raises(ValueError, match=level):
        LevelWeights(**{level: weight})


@pytest.mark.parametrize("kind", [ImageNTXent, GroupSupCon])
@pytest.mark.parametrize("temperature", [0, -0.1, math.nan])
def test_wrong_temperature_is_refused(kind, temperature):
    with pytest.raises(ValueError, match="temperature"):
        kind(temperature)
