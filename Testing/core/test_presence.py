"""A structure is taken to have ended where it, or what surrounds it, looks like nothing that was annotated."""

import numpy as np
import pytest
import torch

from sslseg.annotation import IGNORE
from sslseg.pixel_features import PixelFeatures
from sslseg.presence import presence
from sslseg.propagate import propagate_annotation
from sslseg.slices import InPlaneGrid, SliceStack

SIZE = (30, 32)
ALIKE = 1 / (10 * 0.02 * 0.02) ** 2
"""Odds of a structure that looks exactly like the annotated one, and is as large."""


def square(half: int, value: int = 1) -> torch.Tensor:
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    labels[15 - half : 15 + half, 15 - half : 15 + half] = value
    return labels


def annotated(classes: torch.Tensor, known) -> torch.Tensor:
    labels = torch.full_like(classes, IGNORE)
    labels[list(known)] = classes[list(known)]
    return labels


def ask(features: torch.Tensor, classes: torch.Tensor, labels: torch.Tensor, n_classes: int = 2) -> torch.Tensor:
    found = presence(lambda indices: features[indices], classes, labels, n_classes)
    assert found.shape == (len(classes), n_classes - 1, 1, 1)
    return found[:, :, 0, 0]


def near(mask: np.ndarray, margin: int) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    grown = np.zeros_like(mask)
    for r, c in np.ndindex(*mask.shape):
        grown[r, c] = bool(len(rows)) and (np.maximum(abs(rows - r), abs(columns - c)) <= margin).any()
    return grown


def slow_unlike(pixels, samples):
    return 0.02 + np.mean([min(((p - s) ** 2).sum() for s in samples) for p in pixels])


def slow_presence(features, classes, labels, n_classes):
    """The formula, one pixel after the other; for slices of so few pixels that none is left out."""
    n = len(classes)
    known = [i for i in range(n) if (labels[i] != IGNORE).any()]
    pixels = {c: [] for c in range(n_classes)}
    areas = {c: [] for c in range(n_classes)}
    for i in known:
        shown = (labels[i] > 0) & (labels[i] != IGNORE)
        for c in range(n_classes):
            mask = (labels[i] == c) & (near(shown, 10) if c == 0 else True)
            pixels[c] += list(features[i][:, mask].T)
            areas[c] += [mask.sum()] if mask.any() else []
    found = np.ones((n, n_classes - 1))
    for i in set(range(n)) - set(known):
        around = features[i][:, (classes[i] == 0) & near(classes[i] > 0, 6)].T
        for c in range(1, n_classes):
            inside = features[i][:, classes[i] == c].T
            if len(inside) and len(around) and pixels[c] and pixels[0]:
                unlike = slow_unlike(inside, pixels[c]) * slow_unlike(around, pixels[0])
                odds = (len(inside) + 1) / (np.mean(areas[c]) + 1) / (10 * unlike) ** 2
                found[i, c - 1] = odds / (1 + odds)
    for i in range(known[-1] + 1, n):
        found[i] = np.minimum(found[i], found[i - 1])
    for i in reversed(range(known[0])):
        found[i] = np.minimum(found[i], found[i + 1])
    return found


@pytest.mark.parametrize("known", [(0,), (3,), (2, 4), (0, 6)])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_equals_the_slow_reference(known, seed):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.zeros((7, 12, 14), dtype=torch.uint8)
    for index in range(7):
        size = int(torch.randint(1, 4, (1,), generator=generator))
        classes[index, 3 : 3 + size, 4 : 4 + 2 * size] = 1
        classes[index, 8 : 8 + size, 2 : 2 + size] = 2
    features = 0.25 * torch.randn((7, 4, 12, 14), generator=generator) * torch.linspace(0.5, 2, 7)[:, None, None, None]
    labels = annotated(classes, known)
    found = ask(features, classes, labels, 3)
    expected = slow_presence(features.double().numpy(), classes.numpy(), labels.numpy(), 3)
    assert np.ptp(expected) > 0.05, "the case tells nothing apart"
    assert np.allclose(found.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize(("half", "share"), [(6, 1.0), (3, 37 / 145), (9, 325 / 145)])
def test_of_equal_looks_only_the_size_counts(half, share):
    classes = torch.stack([square(6), square(half)])
    odds = share * ALIKE
    found = ask(torch.zeros(2, 3, *SIZE), classes, annotated(classes, [0]))
    assert found[1, 0] == pytest.approx(odds / (1 + odds), abs=1e-6)


def test_a_structure_ends_where_it_looks_like_nothing_annotated():
    """Its looks come back in slice 6, which does not bring it back; between annotated slices nothing has an end."""
    classes = torch.stack([square(6)] * 8)
    features = torch.zeros(8, 2, *SIZE)
    features[[1, 5]] = 1.0
    found = ask(features, classes, annotated(classes, [0, 3]))[:, 0] > 0.5
    assert found.tolist() == [True, False, True, True, True, False, False, False]


def test_one_structure_ends_and_the_other_goes_on():
    classes = torch.stack([square(6)] * 3)
    classes[:, 20:26, 20:26] = 2
    features = torch.zeros(3, 2, *SIZE)
    features[1:, :, classes[0] == 2] = 2.0
    found = ask(features, classes, annotated(classes, [0]), 3)
    assert (found > 0.5).tolist() == [[True, True], [True, False], [True, False]]


@pytest.mark.parametrize(
    ("classes", "known"),
    [
        pytest.param([square(6), square(6)], [], id="nothing annotated"),
        pytest.param([square(0), square(6)], [0], id="no structure annotated"),
        pytest.param([square(6), square(0)], [0], id="nothing travelled"),
        pytest.param([torch.ones(SIZE, dtype=torch.uint8)] * 2, [0], id="no background"),
        pytest.param([square(6), square(6)], [0, 1], id="everything annotated"),
    ],
)
def test_where_nothing_can_be_told_everything_is_there(classes, known):
    classes = torch.stack(list(classes))
    features = torch.linspace(0, 3, 2)[:, None, None, None].expand(2, 2, *SIZE)
    assert (ask(features, classes, annotated(classes, known)) == 1).all()


def tube(last: int):
    """A bright tube in noise from slice 2 on; after ``last`` there is something else, brighter still."""
    labels = torch.zeros((12, 40, 40), dtype=torch.uint8)
    labels[2:, 14:26, 14:26] = 1
    images = 2.0 * labels + 0.1 * torch.randn(labels.shape, generator=torch.Generator().manual_seed(0))
    labels[last + 1 :] = 0
    images[last + 1 :, 14:26, 14:26] = 4.5
    return labels, images[:, None]


@pytest.mark.parametrize("last", [7, 9])
def test_labels_do_not_travel_beyond_the_end_of_the_structure(last):
    truth, images = tube(last)
    grid = InPlaneGrid((40, 40), (40, 40))
    found = propagate_annotation(
        PixelFeatures(SliceStack(images, 0, grid)), annotated(truth, [4]), 2, (5.0, 1.0, 1.0)
    ).probabilities.argmax(1)
    shown = (found == 1).flatten(1).sum(1)
    assert (shown[2 : last + 1] > 100).all()
    assert (shown[last + 1 :] == 0).all()


def test_an_annotated_pixel_stays_where_the_structure_has_ended():
    truth, images = tube(7)
    labels = annotated(truth, [4])
    labels[9, 20, 20] = 1
    grid = InPlaneGrid((40, 40), (40, 40))
    found = propagate_annotation(PixelFeatures(SliceStack(images, 0, grid)), labels, 2, (5.0, 1.0, 1.0))
    assert found.probabilities[9, :, 20, 20].tolist() == [0, 1]
    assert torch.allclose(found.probabilities.sum(1), torch.ones(12, 40, 40), atol=1e-5)


def test_what_was_stopped_is_given_as_it_is():
    truth, images = tube(7)
    grid = InPlaneGrid((40, 40), (40, 40))
    asked: list[list[int]] = []

    class Counted(PixelFeatures):
        def __call__(self, indices):
            asked.append(indices)
            return super().__call__(indices)

    features = Counted(SliceStack(images, 0, grid))
    found = propagate_annotation(features, annotated(truth, [4]), 2, (5.0, 1.0, 1.0), should_stop=lambda: True)
    assert found.probabilities[4].argmax(0).eq(truth[4]).all()
    assert asked == []
