"""Where a voxel grid lies in the patient, in the convention of ITK: millimetres, LPS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPACE_TOLERANCE_MM = 1e-3
"""Two positions closer than this are the same: file formats round at about 1e-6 mm, scanners at 1e-4 mm."""

SPACE_TOLERANCE_VOXELS = 0.05
"""So are two closer than this share of the smallest voxel size: spacing written with four digits (0.4883 mm) drifts by
0.01 mm over 512 voxels, directions so written by 0.03 mm."""

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
        rows, columns = other_axes(axis)
        return self.spacing[2 - rows], self.spacing[2 - columns]

    def stack_spacing(self, axis: int) -> tuple[float, float, float]:
        """Distances in mm (between slices, between rows, between columns) for slices along array axis ``axis``."""
        return (self.slice_spacing(axis), *self.in_plane_spacing(axis))

    def default_axis(self) -> int:
        """The array axis a reader would scroll along: the coarsest spacing; K where they are equal."""
        by_axis = [self.slice_spacing(axis) for axis in range(3)]
        return max(range(3), key=lambda axis: (round(by_axis[axis], 3), -axis))

    def difference(self, other: Geometry) -> str | None:
        """What keeps ``other`` from being the same grid, as the end of a sentence; None where it is the same."""
        if self.shape != other.shape:
            return f"its size is {_size(other)} voxels instead of {_size(self)}"
        distance = np.abs((self.affine - other.affine) @ _corners(self.shape)).max()
        if distance > self._tolerance:
            return f"it lies up to {distance:.3g} mm away (other spacing, origin or direction)"
        return None

    def voxel_map(self, other: Geometry) -> np.ndarray | None:
        """Where the voxels of ``other`` lie in this grid, if both are parts of one lattice.

        The axes may be swapped or reversed: the same voxels are stored in another order by some programs.

        Returns:
            The integer 4 x 4 matrix from voxel (i, j, k, 1) of ``other`` to that of this grid, or None.
        """
        steps = np.rint(np.linalg.solve(self.affine, other.affine)).astype(int)
        ones = np.ones(3, int)
        turns = np.abs(steps[:3, :3])
        if not (np.array_equal(turns.sum(axis=0), ones) and np.array_equal(turns.sum(axis=1), ones)):
            return None
        distance = np.abs((self.affine @ steps - other.affine) @ _corners(other.shape)).max()
        return steps if distance <= self._tolerance else None

    def voxel_offset(self, other: Geometry) -> tuple[int, int, int] | None:
        """(K, J, I) index in this grid of voxel (0, 0, 0) of ``other``; None unless both are parts of one lattice.

        Their axes must run the same way; see :meth:`voxel_map` for those that may not.
        """
        steps = self.voxel_map(other)
        if steps is None or not np.array_equal(steps[:3, :3], np.eye(3)):
            return None
        i, j, k = (int(v) for v in steps[:3, 3])
        return k, j, i

    @property
    def _tolerance(self) -> float:
        return max(SPACE_TOLERANCE_MM, SPACE_TOLERANCE_VOXELS * min(self.spacing))


def other_axes(axis: int) -> tuple[int, int]:
    """The two array axes beside ``axis``: the rows and the columns of its slices."""
    rows, columns = (a for a in range(3) if a != axis)
    return rows, columns


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in values)
    return a, b, c


def _size(geometry: Geometry) -> str:
    return " x ".join(str(n) for n in reversed(geometry.shape))


def _corners(shape: tuple[int, int, int]) -> np.ndarray:
    """Homogeneous (i, j, k, 1) of the eight corner voxels, as columns."""
    k, j, i = (n - 1 for n in shape)
    return np.array([[a, b, c, 1] for a in (0, i) for b in (0, j) for c in (0, k)], float).T
