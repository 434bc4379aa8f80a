"""From a volume to the slices a 2-D network sees, and the exact way back to the native grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from sslseg.annotation import IGNORE, slice_index
from sslseg.errors import InputError
from sslseg.geometry import other_axes
from sslseg.itk_io import NOT_FINITE
from sslseg.volume import Volume

NORMALISATION = "percentile_0.5_99.5_zscore"
"""Header value of the one intensity normalisation there is: see :func:`intensity_range`."""

_SAMPLE_VOXELS = 500_000
_CHUNK_SLICES = 16


Area = tuple[range, range]
"""Neighbouring rows and columns of a slice."""


@dataclass(frozen=True)
class InPlaneGrid:
    """The pixel grid of the model beside the native one; it covers the same field of view, or a part, edge to edge.

    Attributes:
        native: (rows, columns) of the slices of the volume.
        model: (rows, columns) that the network sees.
        area: the native rows and columns that it sees; None: all of them.
    """

    native: tuple[int, int]
    model: tuple[int, int]
    area: Area | None = None

    @classmethod
    def fit(
        cls,
        native: tuple[int, int],
        spacing_mm: tuple[float, float],
        *,
        max_pixels: int,
        model_spacing_mm: float | None = None,
        area: Area | None = None,
    ) -> InPlaneGrid:
        """Choose the model's grid.

        Without ``model_spacing_mm`` pixels become square at the finer native spacing. In both cases the longer side
        is then limited to ``max_pixels``, with the same factor for both sides.

        Args:
            native: (rows, columns) of a slice.
            spacing_mm: (row, column) pixel size.
            max_pixels: the most pixels along the longer side.
            model_spacing_mm: pixel size that pretrained weights were made for.
            area: native rows and columns that the model sees; None: all of them.
        """
        size = tuple(len(part) for part in area) if area else native
        extent = [n * mm for n, mm in zip(size, spacing_mm, strict=True)]
        spacing = max(model_spacing_mm or min(spacing_mm), max(extent) / max_pixels)
        rows, columns = (max(1, round(mm / spacing)) for mm in extent)
        return cls(native, (rows, columns), area if size != native else None)

    def images_to_model(self, images: torch.Tensor) -> torch.Tensor:
        """Resample images (n, channels, rows, columns) to the model's grid, without aliasing."""
        seen = self._seen(images)
        return seen if self.model == seen.shape[-2:] else resize(seen, self.model, antialias=True)

    def labels_to_model(self, labels: torch.Tensor) -> torch.Tensor:
        """Resample label maps (n, rows, columns) to the model's grid: the class that prevails among annotated pixels.

        A pixel of the model is ``IGNORE`` only if none of the pixels in it is annotated, so that no scribble is lost.
        """
        labels = self._seen(labels)
        if self.model == labels.shape[-2:]:
            return labels
        result = torch.full((len(labels), *self.model), IGNORE, dtype=labels.dtype, device=labels.device)
        for index in torch.nonzero((labels != IGNORE).flatten(1).any(1))[:, 0]:  # few, as a rule
            result[index] = self._label_slice_to_model(labels[index])
        return result

    def to_native(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Resample probabilities (n, classes, rows, columns) to the native grid; the classes still sum to 1.

        Outside of the area all is background, class 0.
        """
        if self.area is None:
            return self.extend_to_native(probabilities)
        native = probabilities.new_zeros((*probabilities.shape[:2], *self.native))
        native[:, 0] = 1
        self._seen(native)[:] = self._to_area(probabilities)
        return native

    def extend_to_native(self, maps: torch.Tensor) -> torch.Tensor:
        """Resample maps (n, channels, rows, columns) to the native grid; outside of the area as at its border."""
        maps = self._to_area(maps)
        if self.area is None:
            return maps
        (top, bottom), (left, right) = (
            (part.start, n - part.stop) for part, n in zip(self.area, self.native, strict=True)
        )
        return F.pad(maps, (left, right, top, bottom), mode="replicate")

    def _seen(self, maps: torch.Tensor) -> torch.Tensor:
        """The area of native maps (..., rows, columns)."""
        if self.area is None:
            return maps
        rows, columns = self.area
        return maps[..., rows.start : rows.stop, columns.start : columns.stop]

    def _to_area(self, maps: torch.Tensor) -> torch.Tensor:
        rows, columns = (len(part) for part in self.area) if self.area else self.native
        return maps if self.model == (rows, columns) else resize(maps, (rows, columns))

    def _label_slice_to_model(self, labels: torch.Tensor) -> torch.Tensor:
        """:meth:`labels_to_model` for the area of one slice (rows, columns)."""
        known = labels != IGNORE
        classes = labels[known].unique()
        share = resize((labels == classes[:, None, None]).float()[:, None], self.model, antialias=True)[:, 0]
        coarse = [min(sides) for sides in zip(labels.shape, self.model, strict=True)]
        covered = F.adaptive_max_pool2d(known.float()[None, None], coarse)
        covered = F.interpolate(covered, size=self.model, mode="nearest-exact")[0, 0] > 0
        return torch.where(covered, classes[share.argmax(0)], torch.full_like(covered, IGNORE, dtype=labels.dtype))


@dataclass(frozen=True)
class IntensityRange:
    """Linear intensity normalisation: clip to [low, high], subtract ``mean``, divide by ``std``."""

    low: float
    high: float
    mean: float
    std: float

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised copy of ``images``; about zero mean and unit variance."""
        return (images.clamp(self.low, self.high) - self.mean) / self.std


def intensity_range(array: np.ndarray) -> IntensityRange:
    """The normalisation of a volume, after Isensee et al., nnU-Net (2021): clip to the 0.5 and 99.5 % percentiles.

    Taken from a regular sample of at most half a million voxels, so that a large CT is not copied. Where nearly all
    voxels are equal (a small bright structure on black), nothing is clipped.
    """
    sample = array
    while sample.size > _SAMPLE_VOXELS:  # thin out the longest side: a volume of few slices keeps them all
        longest = sample.shape.index(max(sample.shape))
        sample = sample[tuple(slice(None, None, 2 if axis == longest else 1) for axis in range(3))]
    sample = sample.astype(np.float64)
    low, high = (float(v) for v in np.percentile(sample, (0.5, 99.5)))
    if low == high:
        low, high = float(array.min()), float(array.max())
    clipped = np.clip(sample, low, high)
    return IntensityRange(low, high, float(clipped.mean()), max(float(clipped.std()), 1e-6))


class SliceStack:
    """All slices of a volume along one axis, normalised, on the model's grid and on the device.

    Attributes:
        axis: array axis of the slices.
        grid: native and model pixel grid.
        images: float32 (slices, 1, rows, columns).
    """

    def __init__(self, images: torch.Tensor, axis: int, grid: InPlaneGrid) -> None:
        self.images = images
        self.axis = axis
        self.grid = grid

    @classmethod
    def from_volume(cls, volume: Volume, axis: int, grid: InPlaneGrid, device: torch.device) -> SliceStack:
        """Cut ``volume`` into slices, a few at a time: the volume itself is never copied whole.

        Raises:
            InputError: NaN or infinite values.
        """
        scale = intensity_range(volume.array)
        parts = []
        for start in range(0, volume.array.shape[axis], _CHUNK_SLICES):
            stop = min(start + _CHUNK_SLICES, volume.array.shape[axis])
            slices = take_slices(volume.array, range(start, stop), axis)
            if not np.isfinite(slices).all():
                raise InputError(f"{volume.name} {NOT_FINITE}.")
            parts.append(grid.images_to_model(scale.apply(torch.from_numpy(slices)[:, None])).to(device))
        return cls(torch.cat(parts), axis, grid)

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device) -> SliceStack:
        """The same slices on another device."""
        return SliceStack(self.images.to(device), self.axis, self.grid)

    def with_context(self, indices: torch.Tensor, channels: int) -> torch.Tensor:
        """Slices with their neighbours as channels; beyond the ends the last slice is repeated.

        Args:
            indices: int64 (n,).
            channels: odd number of channels; the slice itself is the middle one.

        Returns:
            float32 (n, channels, rows, columns).
        """
        offsets = torch.arange(channels, device=indices.device) - channels // 2
        wanted = (indices[:, None] + offsets).clamp(0, len(self) - 1)
        return self.images[wanted.to(self.images.device), 0]


def plane_of(volume: Volume, axis: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """((rows, columns), (row, column) spacing in mm) of the slices of ``volume`` along ``axis``."""
    rows, columns = (volume.array.shape[a] for a in other_axes(axis))
    return (rows, columns), volume.geometry.in_plane_spacing(axis)


def take_slices(array: np.ndarray, indices: Sequence[int], axis: int) -> np.ndarray:
    """Slices of a (K, J, I) array as a contiguous copy (n, rows, columns)."""
    return np.ascontiguousarray(np.moveaxis(array[slice_index(list(indices), axis)], axis, 0))


def resize(maps: torch.Tensor, size: tuple[int, int], *, antialias: bool = False) -> torch.Tensor:
    """Resample maps (n, channels, rows, columns) bilinearly to ``size`` (rows, columns), edge to edge.

    Args:
        maps: images, probabilities or features.
        size: of the result.
        antialias: average what falls into one pixel of a coarser grid.
    """
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=antialias)
