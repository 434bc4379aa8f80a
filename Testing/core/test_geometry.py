"""Grids: positions, what counts as the same, and parts of one lattice."""

import numpy as np
import pytest
from synthetic import GEOMETRIES, make_geometry, rotation

from sslseg.geometry import Geometry

NAMES = sorted(GEOMETRIES)


def position(geometry, k, j, i):
    """The slow way: walk from the origin along each axis."""
    directions = np.reshape(geometry.direction, (3, 3))
    steps = zip((i, j, k), geometry.spacing, directions.T, strict=True)
    return np.asarray(geometry.origin) + sum(n * spacing * direction for n, spacing, direction in steps)


def part(geometry, begin, shape):
    """The grid of a box of voxels, made by positions alone."""
    return make_geometry(shape, np.reshape(geometry.direction, (3, 3)), geometry.spacing, position(geometry, *begin))


def reordered(geometry, order, reverse):
    """The same voxels stored with the (K, J, I) axes in another ``order``, those in ``reverse`` backwards."""
    shape = [geometry.shape[a] for a in order]
    first = [0, 0, 0]
    columns = np.reshape(geometry.direction, (3, 3)).T[::-1]  # of K, J, I
    spacing = geometry.spacing[::-1]
    for new, old in enumerate(order):
        if new in reverse:
            first[old] = geometry.shape[old] - 1
    directions = [-columns[old] if new in reverse else columns[old] for new, old in enumerate(order)]
    return make_geometry(
        shape, np.stack(directions[::-1], axis=1), [spacing[old] for old in order][::-1], position(geometry, *first)
    )


@pytest.mark.parametrize("name", NAMES)
def test_affine_gives_the_position_of_every_voxel(name):
    geometry = GEOMETRIES[name]
    for voxel in np.ndindex(2, 3, 2):
        k, j, i = (v * (n - 1) for v, n in zip(voxel, geometry.shape, strict=True))
        assert (geometry.affine @ (i, j, k, 1))[:3] == pytest.approx(position(geometry, k, j, i), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_from_affine_is_the_way_back(name):
    geometry = GEOMETRIES[name]
    again = Geometry.from_affine(geometry.shape, geometry.affine)
    assert again.difference(geometry) is None
    assert again.spacing == pytest.approx(geometry.spacing)
    assert again.direction == pytest.approx(geometry.direction)
    assert again.shape == geometry.shape


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1, 1, 1), 0), ((0.7, 0.7, 3), 0), ((0.7, 3, 0.7), 1), ((3, 0.7, 0.7), 2), ((2, 2, 1), 1), ((1, 1.0001, 1), 0)],
)
def test_default_axis_is_the_coarsest_and_k_where_equal(spacing, axis):
    assert make_geometry((4, 5, 6), spacing=spacing).default_axis() == axis


def test_spacing_by_array_axis():
    geometry = make_geometry((4, 5, 6), spacing=(1, 2, 3))
    assert [geometry.slice_spacing(axis) for axis in range(3)] == [3, 2, 1]
    assert [geometry.in_plane_spacing(axis) for axis in range(3)] == [(2, 1), (3, 1), (3, 2)]


BASE = make_geometry((10, 512, 512), rotation(2, 10), (0.48828125, 0.48828125, 3.0))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (make_geometry((10, 512, 512), rotation(2, 10), (0.48828125, 0.48828125, 3.0)), None),
        # Rounding in headers: four digits, six digits, single precision.
        (make_geometry((10, 512, 512), rotation(2, 10), (0.4883, 0.4883, 3.0)), None),
        (make_geometry((10, 512, 512), rotation(2, 10).round(6), (0.48828125, 0.48828125, 3.0)), None),
        (make_geometry((10, 512, 512), rotation(2, 10), np.float32([0.48828125, 0.48828, 3.000001])), None),
        (make_geometry((10, 511, 512), rotation(2, 10), (0.48828125, 0.48828125, 3.0)), "512 x 511 x 10"),
        (make_geometry((10, 512, 512), rotation(2, 10), (0.4884, 0.48828125, 3.0)), "mm away"),
        (make_geometry((10, 512, 512), rotation(2, 10.1), (0.48828125, 0.48828125, 3.0)), "mm away"),
        (make_geometry((10, 512, 512), rotation(2, 10), (0.48828125, 0.48828125, 3.0), (-31.4, 20.25, 117)), "0.1 mm"),
    ],
)
def test_difference_says_what_keeps_grids_apart(other, words):
    difference = BASE.difference(other)
    assert difference is None if words is None else words in difference


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("begin", "shape"), [((0, 0, 0), (1, 3, 4)), ((0, 5, 2), (1, 4, 3)), ((-2, 3, -1), (9, 2, 5))])
def test_voxel_offset_of_a_part(name, begin, shape):
    geometry = GEOMETRIES[name]
    assert geometry.voxel_offset(part(geometry, begin, shape)) == begin


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("reverse", [(), (0,), (1, 2), (0, 1, 2)])
def test_voxel_map_follows_swapped_and_reversed_axes(name, order, reverse):
    geometry = GEOMETRIES[name]
    other = reordered(geometry, order, reverse)
    steps = geometry.voxel_map(other)
    for corner in np.ndindex(2, 2, 2):
        voxel = [c * (n - 1) for c, n in zip(corner, other.shape, strict=True)]
        i, j, k, _ = steps @ (*voxel[::-1], 1)
        assert position(geometry, k, j, i) == pytest.approx(position(other, *voxel), abs=1e-6)
    same_axes = order == (0, 1, 2) and not reverse
    assert (geometry.voxel_offset(other) == (0, 0, 0)) == same_axes


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(part(BASE, (0, 0.5, 0), (2, 3, 4)), id="half a voxel"),
        pytest.param(make_geometry((2, 3, 4), rotation(2, 12), BASE.spacing), id="turned"),
        pytest.param(make_geometry((2, 3, 4), rotation(2, 10), (0.97656250, 0.48828125, 3.0)), id="every other voxel"),
        # Each step differs by 0.0009 mm only, but after 500 voxels that is half a voxel.
        pytest.param(make_geometry((10, 512, 512), rotation(2, 10), (0.48918, 0.48828125, 3.0)), id="drifting"),
    ],
)
def test_no_common_lattice(other):
    assert BASE.voxel_offset(other) is None
    assert BASE.voxel_map(other) is None
