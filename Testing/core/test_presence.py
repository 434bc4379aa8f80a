"""A structure is taken to have ended where its pixels look much less like annotated ones than next to those."""

import numpy as np
import pytest
import torch

from sslseg.annotation import IGNORE
from sslseg.completion import complete_annotation
from sslseg.pixel_features import PixelFeatures
from sslseg.presence import presence
from sslseg.slices import SliceStack

SIZE = (30, 32)


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


def slow_presence(features, classes, labels, n_classes):
    """The formula, one pixel after the other; for slices of so few pixels that none is left out."""
    n = len(classes)
    known = [i for i in range(n) if (labels[i] != IGNORE).any()]
    found = np.ones((n, n_classes - 1))
    for c in range(1, n_classes):
        samples = [sample for i in known for sample in features[i][:, labels[i] == c].T]
        areas = [(classes[i] == c).sum() for i in known if (labels[i] == c).any()]
        unlike = {}
        for i in set(range(n)) - set(known):
            pixels = features[i][:, classes[i] == c].T
            if len(pixels) and samples:
                unlike[i] = 0.05 + np.mean([min(((p - s) ** 2).sum() for s in samples) for p in pixels])
        shown = {i for i in known if (labels[i] == c).any()}
        beside = [unlike[i] for i in unlike if {i - 1, i + 1} & shown]
        for i in unlike if beside else ():
            before, after = [a for a in known if a < i], [a for a in known if a > i]
            if before and after and before[-1] in shown and after[0] in shown:
                continue
            odds = 12 * (classes[i] == c).sum() / np.mean(areas) * (np.mean(beside) / unlike[i]) ** 2
            found[i, c - 1] = odds**4 / (1 + odds**4)
    for i in [*range(known[0]), *range(known[-1] + 1, n)]:
        told = [c for c in range(1, n_classes) if (found[:, c - 1] != 1).any()]
        for c in told:
            found[i, c - 1] *= (classes[i] == c).any()
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
        classes[index, 8 : 8 + size, 2 : 2 + size] = 2 if index < 5 or index not in known else 0
    spread = 0.2 * 2.5 ** (torch.arange(7)[:, None] - torch.tensor(known)).abs().amin(1)
    features = spread[:, None, None, None] * torch.randn((7, 4, 12, 14), generator=generator)
    labels = annotated(classes, known)
    found = ask(features, classes, labels, 3)
    expected = slow_presence(features.double().numpy(), classes.numpy(), labels.numpy(), 3)
    assert np.ptp(expected) > 0.05, "the case tells nothing apart"
    assert np.allclose(found.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize(("half", "there"), [(6, True), (2, True), (1, False)])
def test_of_equal_looks_only_the_size_counts(half, there):
    """Of 144 pixels 16 are still a structure, 4 are not."""
    classes = torch.stack([square(6), square(6), square(half)])
    found = ask(torch.zeros(3, 3, *SIZE), classes, annotated(classes, [0]))
    assert bool(found[2, 0] > 0.5) == there


@pytest.mark.parametrize("noise", [0.2, 0.5, 2.0])
@pytest.mark.parametrize(("factor", "there"), [(1, True), (1.5, True), (6, False)])
def test_how_different_is_a_question_of_how_different_neighbours_are(noise, factor, there):
    """Otherwise all structures of a noisy image would end next to the annotated slice."""
    classes = torch.stack([square(6)] * 5)
    features = noise * torch.randn((5, 8, *SIZE), generator=torch.Generator().manual_seed(0))
    features[4] *= factor
    assert bool(ask(features, classes, annotated(classes, [2]))[4, 0] > 0.5) == there


def test_a_structure_that_has_ended_does_not_come_back():
    """Its looks come back in slice 5."""
    classes = torch.stack([square(6)] * 6)
    features = torch.zeros(6, 2, *SIZE)
    features[4] = 1.0
    found = ask(features, classes, annotated(classes, [1, 2]))[:, 0] > 0.5
    assert found.tolist() == [True, True, True, True, False, False]


def test_between_annotated_slices_that_show_it_a_structure_is_there():
    """However it looks there; what only one of them shows may have ended."""
    classes = torch.stack([square(6)] * 9)
    classes[:, 22:28, 22:28] = 2
    classes[8, 22:28, 22:28] = 0
    features = torch.zeros(9, 2, *SIZE)
    features[2:6, :] = 3.0
    found = ask(features, classes, annotated(classes, [0, 8]), 3) > 0.5
    assert found[:, 0].all()
    assert found[:, 1].tolist() == [True, True, False, False, False, False, True, True, True]


def test_a_structure_that_is_gone_does_not_come_back():
    classes = torch.stack([square(6), square(6), square(0), square(6), square(6)])
    found = ask(torch.zeros(5, 2, *SIZE), classes, annotated(classes, [0]))[:, 0] > 0.5
    assert found.tolist() == [True, True, False, False, False]


def test_slices_beside_an_annotated_one_without_the_structure_say_nothing_of_it():
    classes = torch.stack([square(6)] * 8 + [square(0)])
    classes[7] = square(1)
    features = torch.zeros(9, 2, *SIZE)
    features[5:] = 1.0
    found = ask(features, classes, annotated(classes, [0, 8]))[:, 0] > 0.5
    assert found[:5].all()
    assert not found[5:8].any()


def test_one_structure_ends_and_the_other_goes_on():
    classes = torch.stack([square(6)] * 4)
    classes[:, 22:28, 22:28] = 2
    features = torch.zeros(4, 2, *SIZE)
    features[2:, :, classes[0] == 2] = 2.0
    found = ask(features, classes, annotated(classes, [0]), 3)
    assert (found > 0.5).tolist() == [[True, True], [True, True], [True, False], [True, False]]


@pytest.mark.parametrize(
    ("classes", "known"),
    [
        pytest.param([square(6)] * 3, [], id="nothing annotated"),
        pytest.param([square(0), square(6), square(6)], [0], id="no structure annotated"),
        pytest.param([square(6), square(0), square(0)], [0], id="nothing travelled"),
        pytest.param([square(6), square(0), square(6)], [0], id="nothing next door"),
        pytest.param([square(6)] * 3, [0, 1, 2], id="everything annotated"),
    ],
)
def test_where_nothing_can_be_told_everything_is_there(classes, known):
    classes = torch.stack(list(classes))
    features = torch.linspace(0, 3, 3)[:, None, None, None].expand(3, 2, *SIZE)
    assert (ask(features, classes, annotated(classes, known)) == 1).all()


def tube(last: int):
    """A bright tube in noise from slice 2 on; after ``last`` there is something else, brighter still."""
    labels = torch.zeros((12, 40, 40), dtype=torch.uint8)
    labels[2:, 14:26, 14:26] = 1
    images = 2.0 * labels + 0.1 * torch.randn(labels.shape, generator=torch.Generator().manual_seed(0))
    labels[last + 1 :] = 0
    images[last + 1 :, 14:26, 14:26] = 4.5
    return labels, images[:, None]


def completed(images, labels, features=PixelFeatures, **options):
    """The labels of a volume after they have travelled, on its own grid."""
    return complete_annotation(
        lambda grid: features(SliceStack(images, 0, grid)), labels.numpy(), 2, (5.0, 1.0, 1.0), **options
    ).propagation


@pytest.mark.parametrize("last", [7, 9])
def test_labels_do_not_travel_beyond_the_end_of_the_structure(last):
    truth, images = tube(last)
    found = completed(images, annotated(truth, [4])).probabilities.argmax(1)
    shown = (found == 1).flatten(1).sum(1)
    assert (shown[2 : last + 1] > 100).all()
    assert (shown[last + 1 :] == 0).all()


def test_an_annotated_pixel_stays_where_the_structure_has_ended():
    truth, images = tube(7)
    labels = annotated(truth, [4])
    labels[9, 20, 20] = 1
    found = completed(images, labels)
    assert found.probabilities[9, :, 20, 20].tolist() == [0, 1]
    assert torch.allclose(found.probabilities.sum(1), torch.ones(12, 40, 40), atol=1e-5)


def test_what_was_stopped_is_given_as_it_is():
    truth, images = tube(7)
    asked: list[list[int]] = []

    class Counted(PixelFeatures):
        def __call__(self, indices):
            asked.append(indices)
            return super().__call__(indices)

    found = completed(images, annotated(truth, [4]), Counted, should_stop=lambda: True)
    assert found.probabilities[4].argmax(0).eq(truth[4]).all()
    assert {index for part in asked for index in part} == {3, 4, 5}, "for the temperature, nothing else"


def test_a_scribble_of_background_says_nothing_of_the_structure():
    truth, images = tube(7)
    labels = annotated(truth, [4])
    labels[10, 0, :5] = 0
    found = completed(images, labels).probabilities.argmax(1)
    assert (found[5:8] == 1).flatten(1).any(1).all()
    assert not (found[8:] == 1).any()
