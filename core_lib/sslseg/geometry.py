"""Where a voxel grid lies in the patient, in the convention of ITK: millimetres, LPS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPACE_TOLERANCE_MM = 1e-3
"""Two positions closer than this are the same: file formats round at about 1e-6 mm, scanners at 1e-4 mm."""

AXIS_NAMES = ("K", "J", "I")


@dataclass(frozen=True)
class Geometry:
    """A regular voxel grid.

    Attributes:
        shape: voxels along (K, J, I), the order of the numpy arrays.
        spacing: voxel size in mm along (I, J, K), the order of ITK.
        origin: LPS position in mm of the centre of voxel (0, 0, 0).
        direction: 3 x 3 matrix, row by row; its columns are the LPS directions of I, J and K.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @property
    def affine(self) -> np.ndarray:
        """The 4 x 4 matrix from voxel (i, j, k, 1) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @classmethod
    def from_affine(cls, shape: tuple[int, int, int], affine: np.ndarray) -> Geometry:
        """The grid of ``shape`` (K, J, I) whose voxel (i, j, k) lies at ``affine @ (i, j, k, 1)``, in LPS mm."""
        columns = np.asarray(affine, float)[:3, :3]
        spacing = np.linalg.norm(columns, axis=0)
        return cls(
            shape=(int(shape[0]), int(shape[1]), int(shape[2])),
            spacing=_triple(spacing),
            origin=_triple(np.asarray(affine, float)[:3, 3]),
            direction=tuple(float(v) for v in (columns / spacing).ravel()),
        )

    def slice_spacing(self, axis: int) -> float:
        """Distance in mm between the slices along array axis ``axis`` (0 = K, 1 = J, 2 = I)."""
        return self.spacing[2 - axis]

    def in_plane_spacing(self, axis: int) -> tuple[float, float]:
        """(row, column) pixel size in mm of a slice along array axis ``axis``."""
        rows, columns = (a for a in (0, 1, 2) if a != axis)
        return self.spacing[2 - rows], self.spacing[2 - columns]

    def default_axis(self) -> int:
        """The array axis a reader would scroll along: the coarsest spacing; K where they are equal."""
        by_axis = [self.slice_spacing(axis) for axis in range(3)]
        return max(range(3), key=lambda axis: (round(by_axis[axis], 3), -axis))

    def difference(self, other: Geometry) -> str | None:
        """What keeps ``other`` from being the same grid, as the end of a sentence; None where it is the same."""
        if self.shape != other.shape:
            return f"its size is {_size(other)} voxels instead of {_size(self)}"
        corners = _corners(self.shape)
        distance = np.abs((self.affine - other.affine) @ corners).max()
        if distance > SPACE_TOLERANCE_MM:
            return f"it lies up to {distance:.3g} mm away (other spacing, origin or direction)"
        return None

    def voxel_offset(self, other: Geometry) -> tuple[int, int, int] | None:
        """(K, J, I) index in this grid of voxel (0, 0, 0) of ``other``; None unless both are parts of one lattice."""
        if np.abs(self.affine[:3, :3] - other.affine[:3, :3]).max() > SPACE_TOLERANCE_MM:
            return None
        offset = np.linalg.solve(self.affine, np.append(np.asarray(other.origin), 1.0))[:3]
        nearest = np.rint(offset)
        if np.abs((offset - nearest) * np.asarray(self.spacing)).max() > SPACE_TOLERANCE_MM:
            return None
        i, j, k = (int(v) for v in nearest)
        return k, j, i


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in values)
    return a, b, c


def _size(geometry: Geometry) -> str:
    return " x ".join(str(n) for n in reversed(geometry.shape))


def _corners(shape: tuple[int, int, int]) -> np.ndarray:
    """Homogeneous (i, j, k, 1) of the eight corner voxels, as columns."""
    k, j, i = (n - 1 for n in shape)
    return np.array([[a, b, c, 1] for a in (0, i) for b in (0, j) for c in (0, k)], float).T
