"""The peers by their own implementations: shapes that they must complete, along every axis."""

import numpy as np
import pytest
from synthetic import SEGMENTS, make_annotation, make_geometry

from sslseg.benchmarks.methods import legend, peer, peer_names
from sslseg.finetune import Case
from sslseg.metrics import dice_per_class
from sslseg.volume import Volume

PEERS = ("contours", "copy", "grow-cut", "random-walker", "signed-distance")
BETWEEN = [6, 7, 8, 9]
ANNOTATED = [3, 12]


def cylinders():
    """Class 1 around class 2, the same in all of 16 slices, and an image in which the classes differ."""
    j, i = np.mgrid[:24, :20]
    distance = np.hypot(j - 12, i - 10)
    labels = np.repeat(np.where(distance < 4, 2, distance < 7)[None], 16, axis=0).astype(np.uint8)
    image = 100 + 80.0 * labels + np.random.default_rng(0).normal(0, 5, labels.shape)
    return labels, image.astype(np.float32)


def case_of(labels, image, slices, axis):
    """The same volume with its slices along array axis ``axis``."""
    labels, image = (np.ascontiguousarray(np.moveaxis(array, 0, axis)) for array in (labels, image))
    geometry = make_geometry(labels.shape)
    return Case(Volume(image, geometry), make_annotation(labels, geometry, slices, axis), axis)


def test_all_peers_are_installed():
    assert peer_names() == sorted(PEERS)
    assert all(legend(name).endswith(".") for name in PEERS)


@pytest.mark.parametrize("name", PEERS)
def test_cylinders_are_completed_along_every_axis(name):
    labels, image = cylinders()
    found = []
    for axis in range(3):
        completed = peer(name)(case_of(labels, image, ANNOTATED, axis))
        assert completed.dtype == np.uint8
        found.append(np.moveaxis(completed, axis, 0))
    dice = [dice_per_class(one[BETWEEN], labels[BETWEEN], 3).min() for one in found]
    assert min(dice) > 0.97, dice
    assert all(np.array_equal(found[0], one) for one in found[1:]) or name == "random-walker", "the axis is no matter"


@pytest.mark.parametrize("name", PEERS)
def test_a_class_that_is_not_annotated_is_not_invented(name):
    labels, image = cylinders()
    case = case_of(np.minimum(labels, 1), image, ANNOTATED, 0)
    assert len(SEGMENTS) == 2
    assert set(np.unique(peer(name)(case))) <= {0, 1}


@pytest.mark.parametrize("name", PEERS)
def test_one_annotated_slice_is_enough_not_to_fail(name):
    labels, image = cylinders()
    completed = peer(name)(case_of(labels, image, [5], 0))
    if name == "contours":
        assert not np.delete(completed, 5, axis=0).any(), "there is nothing between one slice"
    else:
        assert dice_per_class(completed, labels, 3).min() > 0.9


def test_copy_takes_the_nearest_slice():
    labels, image = cylinders()
    labels = np.where(np.arange(16)[:, None, None] % 2 == 0, labels, 0).astype(np.uint8)
    completed = peer("copy")(case_of(labels, image, [2, 7], 0))
    for index in range(16):
        assert np.array_equal(completed[index], labels[2 if index <= 4 else 7])


def test_signed_distance_lies_between():
    """The radius of a disc that grows is interpolated, and a structure that ends does so half way."""
    j, i = np.mgrid[:40, :40]
    distance = np.hypot(j - 20, i - 20)
    labels = np.zeros((9, 40, 40), np.uint8)
    labels[0], labels[8] = distance < 5, distance < 13
    completed = peer("signed-distance")(case_of(labels, labels.astype(np.float32), [0, 8], 0))
    radii = np.sqrt((completed == 1).sum(axis=(1, 2)) / np.pi)
    assert radii == pytest.approx(np.linspace(radii[0], radii[8], 9), abs=0.5)
    labels[8] = 0
    ended = peer("signed-distance")(case_of(labels, labels.astype(np.float32), [0, 8], 0))
    assert ended[3].any()
    assert not ended[5:].any()


def test_contours_stay_inside_of_the_annotated_slices():
    labels, image = cylinders()
    completed = peer("contours")(case_of(labels, image, ANNOTATED, 0))
    assert completed[3:13].any(axis=(1, 2)).all()
    assert not completed[:3].any()
    assert not completed[13:].any()
