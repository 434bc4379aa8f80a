"""Small volumes with known labels on grids that software gets wrong, for tests of every folder.

Example:
    >>> from synthetic import GEOMETRIES, SEGMENTS, make_labels, make_volume
    >>> labels = make_labels(GEOMETRIES["oblique"])
    >>> volume = make_volume(labels, GEOMETRIES["oblique"])
"""

from itertools import product

import numpy as np

from sslseg.annotation import IGNORE, Annotation, Segment, slice_index
from sslseg.geometry import Geometry
from sslseg.volume import Volume

SEGMENTS = (
    Segment(
        "Liver",
        (0.8, 0.4, 0.3),
        1,
        "liver_id",
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
        "~SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^",
    ),
    Segment("Tumour of the liver", (0.9, 0.9, 0.1), 2, "Segment_2"),
)
"""The classes of :func:`make_labels`: one inside of the other, as in real life."""


def rotation(axis: int, degrees: float) -> np.ndarray:
    """3 x 3 rotation about one LPS axis."""
    angle = np.deg2rad(degrees)
    a, b = (n for n in range(3) if n != axis)
    matrix = np.eye(3)
    matrix[[a, b], [a, b]] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


def make_geometry(shape, directions=None, spacing=(1.0, 1.0, 1.0), origin=(-31.5, 20.25, 117.0)) -> Geometry:
    """A grid of ``shape`` (K, J, I); ``directions`` has the directions of I, J, K as columns, ``spacing`` their mm."""
    directions = np.eye(3) if directions is None else np.asarray(directions, float)
    return Geometry(tuple(shape), tuple(spacing), tuple(origin), tuple(float(v) for v in directions.ravel()))


_OBLIQUE = rotation(2, 33) @ rotation(0, -21) @ rotation(1, 7)

GEOMETRIES = {
    "isotropic": make_geometry((12, 14, 16)),
    "anisotropic": make_geometry((8, 20, 18), spacing=(0.7, 0.85, 8.0)),
    "oblique": make_geometry((8, 20, 18), _OBLIQUE, (0.8, 0.9, 3.0)),
    "flipped": make_geometry((8, 20, 18), np.diag([-1, -1, 1]), (0.8, 0.9, 3.0)),
    "left-handed": make_geometry((8, 20, 18), _OBLIQUE @ np.diag([1, 1, -1]), (0.8, 0.9, 3.0)),
    "permuted": make_geometry((18, 8, 20), [[0, 0, 1], [1, 0, 0], [0, -1, 0]], (1.2, 2.5, 0.9)),
    "single slice": make_geometry((1, 20, 18), rotation(1, 12), (1.1, 1.3, 5.0)),
    "far away": make_geometry((6, 12, 10), spacing=(0.4883, 0.4883, 1.25), origin=(-1024.5, 812.25, -1730.0)),
}
"""Grids by name. None but the first is a stack of cubes along the axes of the patient."""


def make_labels(geometry: Geometry) -> np.ndarray:
    """uint8 (K, J, I): 0, an ellipsoid of class 1, and a smaller one of class 2 inside of it, off centre."""
    axes = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in geometry.shape)
    k, j, i = np.meshgrid(*axes, indexing="ij")
    labels = ((k / 0.75) ** 2 + (j / 0.7) ** 2 + (i / 0.65) ** 2 <= 1).astype(np.uint8)
    labels[((k - 0.1) / 0.4) ** 2 + ((j - 0.15) / 0.3) ** 2 + ((i + 0.1) / 0.3) ** 2 <= 1] = 2
    return labels


def make_volume(labels: np.ndarray, geometry: Geometry, *, seed: int = 0, noise: float = 8.0) -> Volume:
    """An image in which the classes differ: 100, 160 and 220 with Gaussian noise."""
    image = 100.0 + 60.0 * labels + np.random.default_rng(seed).normal(0, noise, labels.shape)
    return Volume(image.astype(np.float32), geometry, "synthetic")


def make_annotation(labels: np.ndarray, geometry: Geometry, slices, axis: int = 0) -> Annotation:
    """``labels`` where ``slices`` along ``axis`` are annotated, ``IGNORE`` elsewhere."""
    known = np.full_like(labels, IGNORE)
    index = slice_index(list(slices), axis)
    known[index] = labels[index]
    return Annotation(known, geometry, SEGMENTS)


def assert_same_grid(found: Geometry, expected: Geometry) -> None:
    """Every corner within 1e-4 mm, and the spacing too, which the corners of a single slice do not show."""
    assert found.shape == expected.shape
    assert np.allclose(found.spacing, expected.spacing, rtol=0, atol=1e-4), (found, expected)
    corners = np.array([(i, j, k, 1) for k, j, i in product(*([0, n - 1] for n in expected.shape))], float).T
    assert np.abs((found.affine - expected.affine) @ corners).max() < 1e-4, (found, expected)
