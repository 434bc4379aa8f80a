"""Labels travel from slice to slice as the formula says, and are trusted as far as they should be."""

import itertools
import math

import numpy as np
import pytest
import torch

from sslseg import propagate as propagate_module
from sslseg.annotation import IGNORE
from sslseg.pixel_features import patch_features
from sslseg.propagate import propagate

SIZE = (5, 6)


def random_features(n, size=SIZE, channels=3, scale=0.2):
    return scale * torch.randn((n, channels, *size), generator=torch.Generator().manual_seed(n))


def sparse(n, known, size=SIZE, classes=3):
    """Random labels in the slices ``known``, nothing elsewhere."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.full((n, *size), IGNORE, dtype=torch.uint8)
    for index in known:
        labels[index] = torch.randint(0, classes, size, generator=generator)
    return labels


TEMPERATURE = 0.03


def run(features, labels, classes=3, window=1, **options):
    """As labels travel, without the question where structures end (test_presence.py)."""
    fixed = {"temperature": TEMPERATURE, "ends": False, **options}
    return propagate(lambda indices: features[indices], labels, classes, window=window, **fixed)


def slow_hop(here, origins, window, temperature):
    """One step, pixel by pixel: (classes, rows, columns) at features ``here`` from pairs of features and classes.

    The second result is how little the pixels resemble those, minus the logarithm of the mean similarity.
    """
    result, sigma = np.zeros(origins[0][1].shape), 2 / 3 * window
    mismatch = np.zeros((1, *result.shape[1:]))
    for r, c in np.ndindex(*result.shape[1:]):
        total, weights, alike = np.zeros(len(result)), 0.0, 0.0
        for (y, x), (there, mass) in itertools.product(np.ndindex(*result.shape[1:]), origins):
            if abs(y - r) > window or abs(x - c) > window:
                continue
            unlike = ((here[:, r, c] - there[:, y, x]) ** 2).sum()
            near = ((y - r) ** 2 + (x - c) ** 2) / (2 * sigma**2)
            weight = math.exp(max(-unlike / (2 * temperature), -20.0) - near)
            total += weight * mass[:, y, x]
            weights += weight
            alike += math.exp(-near)
        result[:, r, c] = total / weights
        mismatch[0, r, c] = math.log(alike / weights)
    return result, mismatch


def slow_fill(features, one_hot, known, window, temperature):
    """The slices with labels, these spread over all their pixels."""
    filled = {}
    for s in (s for s in range(len(known)) if known[s].any()):
        mass = one_hot[s]
        for _ in range(0 if known[s].all() else 12):
            mass = np.where(known[s], one_hot[s], slow_hop(features[s], [(features[s], mass)], window, temperature)[0])
        filled[s] = mass
    return filled


def slow_usual(features, filled, window, temperature):
    """What a usual step costs: over the first steps of all walks the median of the third quartile of their pixels."""
    first = []
    for source, step in itertools.product(filled, (-1, 1)):
        if 0 <= source + step < len(features) and source + step not in filled:
            moved = slow_hop(features[source + step], [(features[source], filled[source])], window, temperature)
            first.append(np.quantile(moved[1], 0.75))
    return sorted(first)[(len(first) - 1) // 2] if first else 0.0


def slow_walks(features, filled, k, window, temperature):
    """What reaches slice ``k`` from either side: (classes, distance, mismatch on the way)."""
    n, arrivals = len(features), [(filled[k], 1, np.zeros_like(filled[k][:1]))] if k in filled else []
    usual = slow_usual(features, filled, window, temperature)
    for step in (-1, 1) if k not in filled else ():
        source = next((s for s in range(k - step, n if step < 0 else -1, -step) if s in filled), None)
        if source is None:
            continue
        mass, sum_of_mismatch = filled[source], np.zeros_like(filled[source][:1])
        for at in range(source + step, k + step, step):
            travelling = np.concatenate([mass, sum_of_mismatch])
            moved, mismatch = slow_hop(features[at], [(features[at - step], travelling)], window, temperature)
            mass, sum_of_mismatch = moved[:-1], moved[-1:] + np.maximum(mismatch - usual, 0)
        arrivals.append((mass, abs(k - source), sum_of_mismatch))
    return arrivals


def slow_propagation(features, labels, classes, window, temperature=TEMPERATURE):
    """The whole algorithm in loops, for stacks of few and tiny slices."""
    features, labels = features.double().numpy(), labels.numpy()
    n, known = len(labels), labels != IGNORE
    one_hot = np.stack([labels == c for c in range(classes)], axis=1).astype(float)
    filled = slow_fill(features, one_hot, known, window, temperature)
    probabilities, trust = np.zeros_like(one_hot), np.zeros((n, 1, *labels.shape[1:]))
    probabilities[:, 0] = 1
    reached = set()
    for k in range(n):
        arrivals = slow_walks(features, filled, k, window, temperature)
        for r, c in np.ndindex(*labels.shape[1:]):
            here = [
                (m[:, r, c] / m[:, r, c].sum(), m[:, r, c].sum() / d, math.exp(-x[0, r, c])) for m, d, x in arrivals
            ]
            weight = sum(w for _, w, _ in here)
            reached |= {k} if weight > 1e-6 else set()
            if known[k, r, c]:
                probabilities[k, :, r, c], trust[k, 0, r, c] = one_hot[k, :, r, c], 1
            elif weight > 1e-6:
                probabilities[k, :, r, c] = sum(p * w * x for p, w, x in here) / sum(w * x for _, w, x in here)
                disagreement = abs(here[0][0] - here[1][0]).sum() / 2 if len(here) == 2 else 0
                trust[k, 0, r, c] = min(weight, 1) * (1 - disagreement)
    for k in [*range(n), *reversed(range(n))]:
        both = [(features[o], probabilities[o]) for o in (k - 1, k + 1) if o in reached]
        if both and not known[k].all():
            probabilities[k] = np.where(known[k], one_hot[k], slow_hop(features[k], both, window, temperature)[0])
    return probabilities, trust


@pytest.mark.parametrize("known", [(0,), (2,), (1, 3), (0, 4), (0, 1, 4)])
@pytest.mark.parametrize("window", [1, 2])
def test_propagation_equals_slow_reference(known, window):
    features, labels = random_features(5), sparse(5, known)
    found = run(features, labels, window=window)
    probabilities, trust = slow_propagation(features, labels, 3, window)
    assert np.allclose(found.probabilities.numpy(), probabilities, atol=1e-5)
    assert np.allclose(found.weight.numpy(), trust, atol=1e-5)


@pytest.mark.parametrize("pixels", [[(2, 2)], [(0, 0), (4, 5)], [(1, c) for c in range(6)]])
def test_scribbles_equal_slow_reference(pixels):
    features, labels = random_features(4), sparse(4, (3,))
    for number, (r, c) in enumerate(pixels):
        labels[1, r, c] = number % 3
    found = run(features, labels)
    probabilities, trust = slow_propagation(features, labels, 3, window=1)
    assert np.allclose(found.probabilities.numpy(), probabilities, atol=1e-4)
    assert np.allclose(found.weight.numpy(), trust, atol=1e-5)


@pytest.mark.parametrize("known", [(0,), (2, 3), (0, 1, 2, 3, 4, 5)])
@pytest.mark.parametrize("size", [(5, 6), (1, 7), (1, 1)])
def test_what_always_holds(known, size):
    features, labels = random_features(6, size), sparse(6, known, size)
    before = labels.clone()
    found = run(features, labels, window=2)
    assert found.probabilities.shape == (6, 3, *size)
    assert torch.allclose(found.probabilities.sum(1), torch.ones(6, *size), atol=1e-5)
    assert found.weight.min() >= 0
    assert found.weight.max() <= 1
    for s in known:
        assert torch.equal(found.probabilities[s].argmax(0).to(torch.uint8), labels[s])
        assert torch.equal(found.probabilities[s].max(0).values, torch.ones(size))
        assert torch.equal(found.weight[s], torch.ones(1, *size))
    assert torch.equal(labels, before)


def test_trust_falls_with_the_distance_alone_where_all_agree():
    """Also at the edge of the slice, where the window reaches beyond it."""
    labels = torch.full((7, *SIZE), IGNORE, dtype=torch.uint8)
    labels[2] = 1
    found = run(random_features(7), labels, window=3)
    for index in range(7):
        expected = 1 / max(abs(index - 2), 1)
        assert torch.allclose(found.weight[index], torch.tensor(expected), atol=1e-4)
        assert torch.allclose(found.probabilities[index, 1], torch.ones(SIZE), atol=1e-5)


def test_two_sources_are_blended_by_their_distance():
    labels = torch.full((5, *SIZE), IGNORE, dtype=torch.uint8)
    labels[0], labels[4] = 1, 2
    found = run(torch.zeros(5, 2, *SIZE), labels)
    for index in (1, 2, 3):
        share = (1 / index) / (1 / index + 1 / (4 - index))
        assert torch.allclose(found.probabilities[index, 1], torch.tensor(share), atol=1e-5)
        assert torch.allclose(found.weight[index], torch.zeros(1), atol=1e-5), "they contradict each other"


@pytest.mark.parametrize("noise", [0.05, 0.3])
@pytest.mark.parametrize(("n", "end"), [(12, 3), (12, 8), (41, 10), (41, 35)])
def test_a_structure_ends_between_two_annotated_slices_where_it_looks_like_it(n, end, noise):
    """Not half-way, as distance alone would have it: the walk over its end matched badly, and the other one did not."""
    truth = torch.zeros((n, 16, 16), dtype=torch.uint8)
    truth[:end, 4:12, 4:12] = 1
    features = truth[:, None] + noise * torch.randn((n, 6, 16, 16), generator=torch.Generator().manual_seed(0))
    labels = torch.full_like(truth, IGNORE)
    labels[[0, -1]] = truth[[0, -1]]
    found = run(features, labels, classes=2, temperature=None, window=2).probabilities.argmax(1)
    assert [int(shown.sum()) > 32 for shown in found == 1] == [index < end for index in range(n)]


def test_the_result_does_not_depend_on_how_many_pairs_are_compared_at_once(monkeypatch):
    """Also where some walks carry background only, which would be nothing to compare."""
    truth = torch.zeros((31, 20, 20), dtype=torch.uint8)
    truth[:28, 8:14, 8:14] = 1
    features = truth[:, None] + 0.2 * torch.randn((31, 4, 20, 20), generator=torch.Generator().manual_seed(0))
    labels = torch.full_like(truth, IGNORE)
    labels[::6] = truth[::6]
    expected = run(features, labels, classes=2)
    monkeypatch.setattr(propagate_module, "_PAIRS", 1)
    found = run(features, labels, classes=2)
    assert torch.allclose(found.probabilities, expected.probabilities, atol=1e-6)


def test_probabilities_are_never_negative_where_structures_end():
    """A background of -1e-7 has no entropy, and would look sure."""
    labels = sparse(6, (2,), size=(20, 20), classes=4)
    labels[2, :, 12:] = IGNORE
    found = run(random_features(6, (20, 20), scale=1.0), labels, classes=4, ends=True, temperature=None)
    assert found.probabilities.min() >= 0
    assert torch.isfinite(torch.special.entr(found.probabilities)).all()


def test_scribbles_spread_in_a_volume_of_one_slice():
    """There is no slice next door to take the temperature from."""
    features = torch.zeros(1, 2, 16, 16)
    features[..., 8:] = 1
    features += 0.1 * torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    labels = torch.full((1, 16, 16), IGNORE, dtype=torch.uint8)
    labels[0, 7:9, 2:4], labels[0, 7:9, 12:14] = 0, 1
    found = run(features, labels, classes=2, window=2, temperature=None).probabilities[0].argmax(0)
    assert (found[:, :8] == 0).float().mean() > 0.95
    assert (found[4:12, 8:] == 1).float().mean() > 0.95


def test_what_is_annotated_all_over_needs_no_features():
    labels = sparse(3, (0, 1, 2))
    found = propagate(lambda indices: pytest.fail(f"asked for {indices}"), labels, 3, window=1)
    assert torch.equal(found.probabilities.argmax(1).to(torch.uint8), labels)
    assert (found.weight == 1).all()


def test_scribble_fills_its_slice():
    """Each side of the slice looks like the scribble on it."""
    features = torch.zeros(1, 1, 9, 12)
    features[..., 6:] = 1
    labels = torch.full((1, 9, 12), IGNORE, dtype=torch.uint8)
    labels[0, 4, 2:4], labels[0, 4, 8:10] = 1, 2
    found = run(features, labels, window=2)
    winner = found.probabilities[0].argmax(0)
    assert (winner[:, :6] == 1).all()
    assert (winner[:, 6:] == 2).all()
    assert found.weight[0, 0, 0, 0] < found.weight[0, 0, 4, 1] < 1


def test_what_no_label_reaches_is_background_without_weight():
    labels = torch.full((1, 1, 40), IGNORE, dtype=torch.uint8)
    labels[0, 0, 0] = 2
    found = run(torch.zeros(1, 1, 1, 40), labels, window=1)
    assert found.probabilities[0, :, 0, -1].tolist() == [1, 0, 0]
    assert found.weight[0, 0, 0, -1] == 0
    nothing = run(torch.zeros(3, 1, *SIZE), sparse(3, ()))
    assert nothing.probabilities[:, 0].min() == 1
    assert nothing.weight.max() == 0


def test_a_pixel_like_no_other_follows_its_neighbours():
    features = torch.zeros(2, 1, 5, 5)
    features[1, 0, 2, 2] = 50.0
    labels = torch.full((2, 5, 5), IGNORE, dtype=torch.uint8)
    labels[0] = 1
    found = run(features, labels)
    assert found.probabilities[1, 1, 2, 2] == pytest.approx(1)
    assert found.weight[1, 0, 2, 2] == pytest.approx(1)


def test_pairs_of_slices_are_compared_a_few_at_a_time(monkeypatch):
    features, labels = random_features(8), sparse(8, (1, 4, 6))
    asked = []

    def counted(indices):
        asked.append(len(indices))
        return features[indices]

    whole = propagate(counted, labels, 3, window=1)
    assert max(asked) > 1
    monkeypatch.setattr(propagate_module, "_PAIRS", 1)
    asked.clear()
    parts = propagate(counted, labels, 3, window=1)
    assert max(asked) == 1
    assert torch.allclose(whole.probabilities, parts.probabilities, atol=1e-6)
    assert torch.allclose(whole.weight, parts.weight, atol=1e-6)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_request_ends_it_with_what_was_reached(steps):
    asked = itertools.count()
    labels = torch.full((9, *SIZE), IGNORE, dtype=torch.uint8)
    labels[0] = 1
    found = run(random_features(9), labels, should_stop=lambda: next(asked) >= steps)
    reached = found.weight.flatten(1).amax(1) > 0
    assert reached.tolist() == [index <= steps for index in range(9)]
    assert (found.probabilities[~reached, 0] == 1).all()


def test_a_request_ends_the_spreading_of_scribbles():
    labels = sparse(3, ())
    labels[1, 2, 2] = 1
    found = run(random_features(3), labels, should_stop=lambda: True)
    assert found.weight.sum() == 1
    assert found.probabilities[1, :, 2, 2].tolist() == [0, 1, 0]


@pytest.mark.parametrize("scale", [0.7, 1.2, 1.5])
def test_the_unit_of_features_does_not_matter(scale):
    """The temperature follows how much pixels differ, as long as that is not extreme."""
    features, labels = random_features(5), sparse(5, (1, 4))
    expected = run(features, labels, temperature=None, sweeps=0).probabilities
    assert torch.allclose(run(scale * features, labels, temperature=None, sweeps=0).probabilities, expected, atol=1e-5)


@pytest.mark.parametrize(("noise", "expected"), [(0.0, 0.003), (5.0, 0.2)])
def test_temperature_has_bounds(noise, expected):
    labels = sparse(3, (1,))
    features = noise * random_features(3)
    assert propagate_module.temperature_for(lambda indices: features[indices], labels, 1) == expected


def disc(n=13, size=40, radius=7.0):
    """A disc that wanders across the slices, and its image."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centres = torch.linspace(12, 28, n)
    labels = torch.stack([((rows - c) ** 2 + (columns - 40 + c) ** 2 <= radius**2) for c in centres]).to(torch.uint8)
    images = 2.0 * labels + 0.15 * torch.randn(labels.shape, generator=torch.Generator().manual_seed(0))
    return labels, images[:, None].float()


def dice(found, truth):
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def test_a_moving_disc_is_followed_better_than_by_copying():
    labels, images = disc()
    middle, others = 6, [i for i in range(13) if i != 6]
    known = torch.full_like(labels, IGNORE)
    known[middle] = labels[middle]
    found = propagate(lambda indices: patch_features(images[indices]), known, 2, window=3).probabilities.argmax(1) == 1
    copied = dice(labels[[middle] * 12] == 1, labels[others] == 1)
    assert copied < 0.7
    assert dice(found[others], labels[others] == 1) > 0.95


def test_it_moves_to_another_device():
    found = run(random_features(2), sparse(2, (0,))).to(torch.device("meta"))
    assert found.probabilities.device.type == found.weight.device.type == "meta"
