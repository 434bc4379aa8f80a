"""Metrics against slow, obvious references, and the cases where a class is missing."""

import json
import math

import numpy as np
import pytest

from sslseg.annotation import IGNORE, default_segments
from sslseg.errors import InputError
from sslseg.geometry import Geometry
from sslseg.metrics import dice_per_class, evaluate, mean_dice

SPACING = (0.7, 1.3, 4.0)  # I, J, K


def slow_dice(prediction, reference, label):
    both = one = other = 0
    for index in np.ndindex(reference.shape):
        if reference[index] == IGNORE:
            continue
        p, r = prediction[index] == label, reference[index] == label
        both, one, other = both + (p and r), one + p, other + r
    return 2 * both / (one + other) if one + other else math.nan


def slow_surface(mask):
    """Voxels of ``mask`` with one of the six neighbours outside it."""
    padded = np.pad(mask, 1)
    steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    return [
        index
        for index in zip(*np.nonzero(mask), strict=True)
        if not all(padded[tuple(np.add(np.add(index, 1), step))] for step in steps)
    ]


def slow_hd95(prediction, reference, label, counted):
    reference = np.where(reference == IGNORE, prediction, reference)
    surfaces = [slow_surface(labels == label) for labels in (prediction, reference)]
    scale = np.array(SPACING[::-1])
    directed = []
    for one, other in (surfaces, surfaces[::-1]):
        distances = [min(np.linalg.norm(np.subtract(a, b) * scale) for b in other) for a in one if counted[tuple(a)]]
        directed.append(np.percentile(distances, 95))
    return max(directed)


def geometry_of(labels):
    return Geometry(labels.shape, SPACING, direction=(0, 1, 0, 0, 0, -1, -1, 0, 0))


def random_pair(seed, shape=(7, 9, 8), n_classes=3):
    """Blobs that agree for the most part, with a third of the reference unknown."""
    rng = np.random.default_rng(seed)
    reference = np.zeros(shape, np.uint8)
    for label in range(1, n_classes):
        low = rng.integers(0, 3, 3)
        reference[tuple(slice(a, a + 4) for a in low)] = label
    prediction = np.roll(reference, rng.integers(-1, 2, 3), axis=(0, 1, 2))
    flipped = rng.random(shape) < 0.05
    prediction[flipped] = rng.integers(0, n_classes, int(flipped.sum()))
    reference[rng.integers(0, shape[0])] = IGNORE
    return prediction, reference


@pytest.mark.parametrize("seed", range(6))
def test_dice_volumes_and_distance_equal_a_slow_reference(seed):
    prediction, reference = random_pair(seed)
    segments = default_segments([1, 2])
    axis, ignored = seed % 3, [2, 4]
    scores = evaluate(prediction, reference, geometry_of(reference), segments, axis=axis, ignore_slices=ignored)

    truth = reference.copy()
    np.moveaxis(truth, axis, 0)[ignored] = IGNORE
    counted = truth != IGNORE
    assert scores.voxels == counted.sum()
    for label, score in enumerate(scores.classes, start=1):
        assert score.dice == pytest.approx(slow_dice(prediction, truth, label), abs=1e-6)
        assert score.hd95_mm == pytest.approx(slow_hd95(prediction, reference, label, counted), rel=1e-5)
        voxel_ml = 0.7 * 1.3 * 4.0 / 1000
        assert score.volume_ml == pytest.approx(((prediction == label) & counted).sum() * voxel_ml)
        assert score.reference_volume_ml == pytest.approx(((truth == label) & counted).sum() * voxel_ml)
    assert scores.mean_dice == pytest.approx(np.mean([score.dice for score in scores.classes]))


@pytest.mark.parametrize(("axis", "mm"), [(0, 4.0), (1, 1.3), (2, 0.7)])
def test_a_shift_by_one_voxel_is_that_voxels_size_in_mm(axis, mm):
    reference = np.zeros((9, 9, 9), np.uint8)
    reference[2:6, 2:6, 2:6] = 1
    prediction = np.roll(reference, 1, axis)
    (score,) = evaluate(prediction, reference, geometry_of(reference), default_segments([1])).classes
    assert score.hd95_mm == pytest.approx(mm, rel=1e-6)
    assert score.dice == pytest.approx(0.75)


def test_a_perfect_prediction_is_perfect():
    _, reference = random_pair(0)
    prediction = np.where(reference == IGNORE, 2, reference).astype(np.uint8)
    scores = evaluate(prediction, reference, geometry_of(reference), default_segments([1, 2]))
    assert [score.dice for score in scores.classes] == [1, 1]
    assert [score.hd95_mm for score in scores.classes] == [0, 0]
    assert scores.mean_dice == 1


@pytest.mark.parametrize(
    ("in_prediction", "in_reference", "dice", "hd95"),
    [(True, True, 1.0, 0.0), (True, False, 0.0, math.inf), (False, True, 0.0, math.inf), (False, False, None, None)],
)
def test_classes_that_are_missing(in_prediction, in_reference, dice, hd95):
    prediction, reference = np.zeros((2, 4, 5, 6), np.uint8)
    prediction[0, 0, 0] = reference[0, 0, 0] = 1
    prediction[2, 2, 2] = 2 * in_prediction
    reference[2, 2, 2] = 2 * in_reference
    scores = evaluate(prediction, reference, geometry_of(reference), default_segments([1, 2]))
    second = scores.classes[1]
    assert second.dice == dice or (dice is None and math.isnan(second.dice))
    assert second.hd95_mm == hd95 or (hd95 is None and math.isnan(second.hd95_mm))
    assert scores.mean_dice == (1.0 if dice is None else (1 + dice) / 2)
    plain = scores.as_dict()
    json.dumps(plain, allow_nan=False)
    assert plain["classes"][1]["dice"] == dice
    assert plain["classes"][1]["hd95_mm"] == (hd95 if hd95 == 0 else None)


def test_a_class_only_in_ignored_voxels_is_in_neither():
    prediction, reference = np.zeros((2, 4, 5, 6), np.uint8)
    prediction[1] = reference[1] = 1
    (score,) = evaluate(prediction, reference, geometry_of(reference), default_segments([1]), ignore_slices=[1]).classes
    assert math.isnan(score.dice)
    assert math.isnan(score.hd95_mm)
    assert score.volume_ml == 0


def test_errors_in_ignored_slices_and_unknown_voxels_do_not_count():
    _, reference = random_pair(3)
    prediction = np.where(reference == IGNORE, 1, reference).astype(np.uint8)
    wrong = prediction.copy()
    wrong[5] = 2
    assert (
        evaluate(wrong, reference, geometry_of(reference), default_segments([1, 2]), ignore_slices=[5]).mean_dice == 1
    )
    assert evaluate(wrong, reference, geometry_of(reference), default_segments([1, 2])).mean_dice < 1


def test_leaving_out_slices_cuts_no_false_surfaces():
    """A block that is wrong by 3 voxels at one side keeps its distance, however many neighbours are left out."""
    reference = np.zeros((5, 40, 40), np.uint8)
    reference[:, 5:35, 5:35] = 1
    prediction = reference.copy()
    prediction[:, 5:35, 5:8] = 0
    geometry = Geometry(reference.shape)
    middle = evaluate(prediction, reference, geometry, default_segments([1]), ignore_slices=[0, 1, 3, 4])
    assert middle.classes[0].hd95_mm == pytest.approx(3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prediction": np.zeros((1, 2, 2), np.uint8)}, "one grid"),
        ({"reference": np.full((2, 2, 2), IGNORE, np.uint8)}, "No voxel is left"),
        ({"ignore_slices": [0, 1]}, "No voxel is left"),
        ({"ignore_slices": [2]}, "Slice 2 does not exist"),
    ],
)
def test_what_cannot_be_compared_is_said(change, words):
    arguments = {"prediction": np.zeros((2, 2, 2), np.uint8), "reference": np.zeros((2, 2, 2), np.uint8)}
    with pytest.raises(InputError, match=words):
        evaluate(**{**arguments, "geometry": Geometry((2, 2, 2)), "segments": default_segments([1]), **change})


@pytest.mark.parametrize("shape", [(5,), (4, 6), (3, 4, 5)])
def test_dice_per_class_for_any_shape(shape):
    rng = np.random.default_rng(1)
    prediction, reference = rng.integers(0, 4, (2, *shape)).astype(np.uint8)
    reference.flat[0] = IGNORE
    dice = dice_per_class(prediction, reference, 5)
    assert dice == pytest.approx([slow_dice(prediction, reference, c) for c in range(1, 5)], nan_ok=True, abs=1e-6)


def test_mean_dice_of_nothing_is_nan():
    assert math.isnan(mean_dice([]))
    assert math.isnan(mean_dice(dice_per_class(np.zeros(3, np.uint8), np.zeros(3, np.uint8), 2)))
    assert dice_per_class(np.zeros(3, np.uint8), np.zeros(3, np.uint8), 1).shape == (0,)


def test_counts_stay_exact_in_large_volumes():
    """More voxels than float32 counts one by one."""
    reference = np.ones(2**25 + 3, np.uint8)
    prediction = reference.copy()
    prediction[:5] = 0
    expected = 2 * (reference.size - 5) / (2 * reference.size - 5)
    assert dice_per_class(prediction, reference, 2)[0] == pytest.approx(expected, abs=1e-7)
