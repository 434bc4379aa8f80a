"""What is annotated, what is annotated and empty, and what is not known."""

import numpy as np
import pytest
from synthetic import SEGMENTS, make_annotation, make_geometry, make_labels

from sslseg.annotation import (
    IGNORE,
    Annotation,
    check_slices,
    default_segments,
    drawn_axis,
    slice_index,
)
from sslseg.errors import InputError
from sslseg.labelmap_io import read_dense_labels

ANISOTROPIC = make_geometry((10, 32, 30), spacing=(1.5, 1.5, 8.0))
CUBES = make_geometry((30, 26, 22))
LABELS = make_labels(CUBES)


def only(labels, slices, axis, rest=0):
    """``labels`` in ``slices``, ``rest`` elsewhere."""
    result = np.full_like(labels, rest)
    for index in slices:
        place = slice_index(index, axis)
        result[place] = labels[place]
    return result


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slices", [[5], [0, 7], [3, 4, 5, 20], list(range(22))])
def test_annotated_slices_along_the_axis_they_were_drawn_on(axis, slices):
    annotation = make_annotation(LABELS, CUBES, slices, axis)
    assert annotation.annotated_slices(axis) == slices
    assert annotation.known.sum() == len(slices) * LABELS.size // LABELS.shape[axis]


def test_an_annotated_slice_without_foreground_counts():
    annotation = make_annotation(LABELS, CUBES, [0, 15, 29])
    assert annotation.annotated_slices(0) == [0, 15, 29]
    assert annotation.empty_slices(0) == [0, 29]
    assert annotation.n_classes == 3


def test_nothing_known():
    annotation = Annotation(np.full(CUBES.shape, IGNORE, np.uint8), CUBES, SEGMENTS)
    assert annotation.annotated_slices(0) == annotation.empty_slices(0) == []


def test_scribbles_are_annotated_voxels():
    labels = np.full(CUBES.shape, IGNORE, np.uint8)
    labels[4, 3:9, 5] = 1
    labels[4, 3:9, 15] = 0
    annotation = Annotation(labels, CUBES, SEGMENTS)
    assert annotation.annotated_slices(0) == [4]
    assert annotation.annotated_slices(2) == [5, 15]
    assert annotation.empty_slices(2) == [15]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_restricted_to_forgets_the_rest_and_nothing_else(axis):
    whole = Annotation(LABELS.copy(), CUBES, SEGMENTS)
    few = whole.restricted_to([9, 3, 3], axis)
    assert np.array_equal(few.labels, only(LABELS, [3, 9], axis, rest=IGNORE))
    assert few.segments == SEGMENTS
    assert np.array_equal(whole.labels, LABELS)


@pytest.mark.parametrize(
    ("slices", "axis", "words"),
    [([], 0, "--slices"), ([30], 0, "0 to 29"), ([3, -1], 0, "Slice -1"), ([22], 2, r"axis 2 \(I\).* 0 to 21")],
)
def test_wrong_slices(slices, axis, words):
    with pytest.raises(InputError, match=words):
        check_slices(np.array(slices), CUBES.shape, axis)
    with pytest.raises(InputError, match=words):
        Annotation(LABELS, CUBES, SEGMENTS).restricted_to(slices, axis)


@pytest.mark.parametrize("slices", [2, np.int64(2), [2], (2, 4), np.array([2, 4]), range(2, 4)])
def test_slice_index(slices):
    array = np.arange(5 * 5 * 5).reshape(5, 5, 5)
    for axis in range(3):
        assert np.array_equal(array[slice_index(slices, axis)], np.take(array, slices, axis))


def whole_slices(shape, slices, axis):
    mask = np.zeros(shape, bool)
    mask[slice_index(list(slices), axis)] = True
    return mask


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slices", [[0], [4], [2, 5, 9], range(10), range(1, 22)])
def test_drawn_axis_of_whole_slices(axis, slices):
    """Even where all but one slice are annotated."""
    assert drawn_axis(whole_slices(CUBES.shape, slices, axis), CUBES) == axis


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slices", [[11], [8, 14], [6, 10, 14], [9, 10, 11], [7, 8, 9, 10, 11, 12]])
def test_drawn_axis_of_labels_in_some_slices(axis, slices):
    assert drawn_axis(only(LABELS, slices, axis) > 0, CUBES) == axis


@pytest.mark.parametrize("slices", [[5], [4, 6], [3, 5, 7], [3, 4, 5, 6, 7], range(10)])
def test_drawn_axis_of_a_small_structure_in_many_of_few_slices(slices):
    """Half of ten slices are annotated: a larger share than that of the rows in which the structure lies."""
    mask = np.zeros(ANISOTROPIC.shape, bool)
    j, i = np.ogrid[:32, :30]
    mask[list(slices)] = (j - 14) ** 2 + (i - 12) ** 2 < 36
    assert drawn_axis(mask, ANISOTROPIC) == 0


def test_drawn_axis_of_scribbles_on_every_slice():
    mask = np.zeros(ANISOTROPIC.shape, bool)
    for k in range(10):
        mask[k, 6 : 20 + k // 2, 8 + k % 3] = True
        mask[k, 15, 5:25] = True
    assert drawn_axis(mask, ANISOTROPIC) == 0


@pytest.mark.parametrize("value", [False, True])
def test_drawn_axis_where_nothing_decides_is_the_coarsest(value):
    thick_rows = make_geometry((6, 6, 6), spacing=(1, 4, 1))
    assert drawn_axis(np.full((6, 6, 6), value), thick_rows) == 1
    assert drawn_axis(np.full(CUBES.shape, value), CUBES) == 0


def test_best_axis_is_that_of_the_known_voxels():
    assert make_annotation(LABELS, CUBES, [3, 20], 1).best_axis() == 1


@pytest.mark.data
def test_drawn_axis_on_hearts(data_dir):
    """Scribbles, and contours in some slices: always along K, however many slices."""
    for path in sorted((data_dir / "acdc").glob("*_gt.nii.gz"))[::10]:
        heart = read_dense_labels(path)
        scribble = read_dense_labels(path.with_name(path.name.replace("_gt", "_scribble")))
        assert drawn_axis(scribble.labels != 4, scribble.geometry) == 0, path.name
        filled = [k for k, part in enumerate(heart.labels) if part.any()]
        for slices in (filled[:1], filled[::3], filled[1::2], filled[:5]):
            assert drawn_axis(only(heart.labels, slices, 0) > 0, heart.geometry) == 0, (path.name, slices)


def test_default_segments_are_told_apart():
    segments = default_segments([9, 2, 30])
    assert [s.label_value for s in segments] == [2, 9, 30]
    assert [s.name for s in segments] == ["Segment_2", "Segment_9", "Segment_30"]
    assert len({s.color for s in segments}) == 3
    assert len(default_segments(range(1, 255))) == 254


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.full(CUBES.shape, IGNORE, np.uint8), "no annotated slice"),
        (np.zeros(CUBES.shape, np.uint8), "only background"),
        (only(np.zeros_like(LABELS), [3], 0, rest=IGNORE), "only background"),
    ],
)
def test_nothing_to_learn_from(labels, words):
    with pytest.raises(InputError, match=f"^case.nii.gz .*{words}"):
        Annotation(labels, CUBES, SEGMENTS).require_annotated("case.nii.gz")


def test_enough_to_learn_from():
    labels = np.full(CUBES.shape, IGNORE, np.uint8)
    labels[0, 0, 0] = 2
    Annotation(labels, CUBES, SEGMENTS).require_annotated()
