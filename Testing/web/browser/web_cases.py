"""What is segmented in the browser: a volume in a file, and the truth about it."""

from dataclasses import dataclass
from pathlib import Path

import contourpy
import numpy as np
import SimpleITK as sitk

from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels
from sslseg.volume import Volume, read_volume, write_volume

SMALL = Geometry((9, 72, 64), spacing=(1.5, 1.5, 5.0), origin=(-40.0, -60.0, 12.0))
LARGE = Geometry((60, 320, 288), spacing=(0.7, 0.7, 3.0), origin=(-101.0, -112.0, -90.0))


@dataclass(frozen=True)
class WebCase:
    """A volume and one structure in it.

    Attributes:
        path: the file that is uploaded.
        geometry: its grid; I runs to the left, J to the back, K up or down.
        truth: bool (K, J, I).
        drawn: the slices that the user draws.
        dice: what at least comes out of it.
    """

    path: Path
    geometry: Geometry
    truth: np.ndarray
    drawn: tuple[int, ...]
    dice: float

    def offset(self, index: int) -> float:
        """Where a slice lies, as the slider of an axial view says: mm, to the head."""
        return float((self.geometry.affine @ (0, 0, index, 1))[2])

    def outline(self, index: int, points: int = 40) -> np.ndarray:
        """(n, 2) positions in mm (left, back) along the outline of the structure, closed."""
        lines = contourpy.contour_generator(z=np.pad(self.truth[index], 1).astype(float)).lines(0.5)
        line = max(lines, key=len) - 1
        chosen = line[np.linspace(0, len(line) - 1, points).astype(int)]
        return self._in_mm(chosen, index)

    def brush_strokes(self, index: int, radius: float) -> list[np.ndarray]:
        """Horizontal strokes, each (2, 2) positions in mm, by which a round brush of ``radius`` mm fills the slice."""
        mask = sitk.GetImageFromArray(self.truth[index].astype(np.uint8))
        mask.SetSpacing(self.geometry.spacing[:2])
        depth = -sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(mask, squaredDistance=False, useImageSpacing=True))
        rows = np.flatnonzero((depth >= radius).any(axis=1))
        step = max(1, round(radius / self.geometry.spacing[1]))
        strokes = []
        for row in sorted({*rows[::step], rows[-1]}):
            columns = np.flatnonzero(depth[row] >= radius)
            strokes.append(self._in_mm(np.array([(columns[0], row), (columns[-1], row)], float), index))
        return strokes

    def _in_mm(self, pixels: np.ndarray, index: int) -> np.ndarray:
        n = len(pixels)
        voxels = np.column_stack([pixels, np.full(n, index), np.ones(n)])
        return (self.geometry.affine @ voxels.T).T[:, :2]


def make_phantom(folder: Path, geometry: Geometry = SMALL) -> WebCase:
    """A bright ellipsoid that leans, in noise: made here, so that the tests need no data."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in geometry.shape), indexing="ij")
    truth = (i / 0.5) ** 2 + ((j - 0.1 * k) / 0.53) ** 2 + (k / 1.2) ** 2 < 1
    other = (i + 0.6) ** 2 + (j + 0.55) ** 2 < 0.05
    noise = np.random.default_rng(3).normal(0, 25, geometry.shape)
    path = folder / f"phantom-{geometry.shape[0]}.nrrd"
    write_volume(Volume((200 + 300 * truth + 120 * other + noise).astype(np.float32), geometry, "phantom"), path)
    n = geometry.shape[0]
    return WebCase(path, geometry, truth, (n // 4, 3 * n // 4), 0.9)


def left_ventricle(data_dir: Path) -> WebCase:
    """The cavity of the left ventricle on a short-axis cine MR image, drawn by experts."""
    path = data_dir / "acdc" / "patient019_ED.nii.gz"
    geometry = read_volume(path).geometry
    labels = read_dense_labels(path.with_name("patient019_ED_gt.nii.gz"), geometry)
    value = next(n for n, segment in enumerate(labels.segments, start=1) if segment.label_value == 3)
    return WebCase(path, geometry, labels.labels == value, (2, 7), 0.8)


def saved_mask(path: Path, geometry: Geometry) -> np.ndarray:
    """bool (K, J, I): all that is segmented in a downloaded .seg.nrrd."""
    return read_dense_labels(path, geometry).labels > 0


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Of two masks."""
    return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))
