"""The slice to annotate next is the one that is really worth most."""

import numpy as np
import pytest
from synthetic import GEOMETRIES, SEGMENTS, make_annotation, make_geometry, make_labels

from sslseg.annotation import IGNORE, Annotation
from sslseg.errors import InputError
from sslseg.suggest import suggest


def make_prediction(geometry, seed=0):
    labels = make_labels(geometry)
    return labels, np.random.default_rng(seed).random(labels.shape, np.float32)


def slow_ranking(uncertainty, annotated, axis):
    """Slice and score of each choice, by loops."""
    n = uncertainty.shape[axis]
    unsure = [float(uncertainty.take(i, axis).astype(float).sum()) for i in range(n)]

    def settles(i, j):
        return 1.0 if i == j else 0.3 * np.exp(-abs(i - j) / (0.1 * n))

    chosen, ranking = list(annotated), []
    while len(chosen) < n:
        left = [u * (1 - max((settles(i, j) for i in chosen), default=0)) for j, u in enumerate(unsure)]
        gains = {}
        for i in sorted(set(range(n)) - set(chosen)):
            after = [u * (1 - max(settles(k, j) for k in [*chosen, i])) for j, u in enumerate(unsure)]
            gains[i] = (sum(left) - sum(after)) / sum(unsure)
        best = max(gains, key=lambda i: (round(gains[i], 9), min((abs(i - j) for j in chosen), default=1)))
        chosen.append(best)
        ranking.append((best, gains[best]))
    return ranking


@pytest.mark.parametrize("name", ["isotropic", "anisotropic", "permuted"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slices", [(0,), (3, 5), (0, 1, 7)])
def test_every_other_slice_is_scored_once_best_first(name, axis, slices):
    geometry = GEOMETRIES[name]
    labels, uncertainty = make_prediction(geometry)
    found = suggest(labels, uncertainty, make_annotation(labels, geometry, slices, axis), axis)
    expected = slow_ranking(uncertainty, slices, axis)
    assert [s.index for s in found] == [index for index, _ in expected]
    assert [s.score for s in found] == pytest.approx([score for _, score in expected], abs=1e-8)
    scores = [s.score for s in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] <= 1


@pytest.mark.parametrize("n", [1, 3, 5])
def test_top_k_is_the_top(n):
    geometry = GEOMETRIES["isotropic"]
    labels, uncertainty = make_prediction(geometry)
    annotation = make_annotation(labels, geometry, [4])
    every = suggest(labels, uncertainty, annotation, 0)
    assert suggest(labels, uncertainty, annotation, 0, n=n) == every[:n]
    assert len(every) == 11
    assert suggest(labels, uncertainty, annotation, 0, n=99) == every


def test_the_least_sure_slice_comes_first_and_then_what_it_leaves():
    geometry = make_geometry((9, 6, 6))
    labels, uncertainty = np.zeros(geometry.shape, np.uint8), np.zeros(geometry.shape, np.float32)
    annotation = make_annotation(labels, geometry, [0])
    uncertainty[3], uncertainty[6], uncertainty[7] = 0.4, 0.4, 0.9
    assert [s.index for s in suggest(labels, uncertainty, annotation, 0, n=3)] == [7, 3, 6]


@pytest.mark.parametrize(("annotated", "expected"), [([6], 1), ([1], 6), ([0, 8], 4)])
def test_of_slices_alike_the_one_in_the_largest_gap_comes_first(annotated, expected):
    geometry = make_geometry((9, 6, 6))
    labels, uncertainty = np.zeros(geometry.shape, np.uint8), np.full(geometry.shape, 0.5, np.float32)
    found = suggest(labels, uncertainty, make_annotation(labels, geometry, annotated), 0)
    assert found[0].index == expected


def test_where_nothing_is_unsure_the_farthest_comes_first():
    geometry = make_geometry((5, 6, 6))
    labels, uncertainty = np.zeros(geometry.shape, np.uint8), np.zeros(geometry.shape, np.float32)
    assert [s.index for s in suggest(labels, uncertainty, make_annotation(labels, geometry, [2]), 0)] == [0, 4, 1, 3]


def test_reason_is_given_in_words():
    geometry = make_geometry((5, 6, 6))
    labels, uncertainty = np.zeros(geometry.shape, np.uint8), np.full(geometry.shape, 0.5, np.float32)
    labels[3, 2, 2] = 1
    uncertainty[4] = 1.0
    reasons = {s.index: s.reason for s in suggest(labels, uncertainty, make_annotation(labels, geometry, [2]), 0)}
    assert reasons == {
        0: "0.8 x the mean uncertainty, 2 slices from the nearest annotated one, nothing predicted",
        1: "0.8 x the mean uncertainty, 1 slice from the nearest annotated one, nothing predicted",
        3: "0.8 x the mean uncertainty, 1 slice from the nearest annotated one, structures predicted",
        4: "1.6 x the mean uncertainty, 2 slices from the nearest annotated one, nothing predicted",
    }


def test_empty_and_partly_annotated_slices_are_not_suggested():
    geometry = make_geometry((4, 6, 6))
    known = np.full(geometry.shape, IGNORE, np.uint8)
    known[0], known[2, 3, 3] = 0, 1
    uncertainty = np.ones(geometry.shape, np.float32)
    found = suggest(np.zeros_like(known), uncertainty, Annotation(known, geometry, SEGMENTS), 0)
    assert {s.index for s in found} == {1, 3}


def test_nothing_annotated_yet():
    geometry = make_geometry((3, 6, 6))
    uncertainty = np.arange(3, dtype=np.float32)[:, None, None] * np.ones(geometry.shape, np.float32)
    known = np.full(geometry.shape, IGNORE, np.uint8)
    found = suggest(np.zeros_like(known), uncertainty, Annotation(known, geometry, SEGMENTS), 0)
    assert [s.index for s in found] == [2, 1, 0]


def test_all_annotated_leaves_nothing_to_suggest():
    labels, uncertainty = make_prediction(GEOMETRIES["isotropic"])
    annotation = make_annotation(labels, GEOMETRIES["isotropic"], range(12))
    with pytest.raises(InputError, match="Every slice is annotated already"):
        suggest(labels, uncertainty, annotation, 0)


@pytest.mark.parametrize("shapes", [((4, 6, 5), (4, 6, 6), (4, 6, 6)), ((4, 6, 6), (6, 4, 6), (4, 6, 6))])
def test_other_shapes_are_refused(shapes):
    labels, uncertainty, known = (np.zeros(shape, np.uint8) for shape in shapes)
    annotation = Annotation(known, make_geometry(known.shape), SEGMENTS)
    with pytest.raises(InputError, match="different shapes"):
        suggest(labels, uncertainty, annotation, 0)
