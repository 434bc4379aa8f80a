"""The annotation of a volume, completed: labels travel around what is annotated, where pixels can be small."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sslseg.annotation import IGNORE
from sslseg.pixel_features import PixelFeatures
from sslseg.propagate import Propagation, propagate
from sslseg.slices import Area, InPlaneGrid

MAX_PIXELS = 128
"""Longest side, in pixels, of the grid on which labels travel: larger ones take more time and memory."""

_MARGIN, _LEAST_MARGIN = 0.5, 16  # share of the size of what is annotated; pixels
_STEP = 32  # pixels: edges move in steps of it, so that features of most corrections are those from before


@dataclass(frozen=True)
class Completion:
    """Labels that have travelled, and where.

    Attributes:
        propagation: on the grid on which they travelled.
        grid: that, beside the native one.
    """

    propagation: Propagation
    grid: InPlaneGrid

    def to(self, device: torch.device) -> Completion:
        """The same on another device."""
        return Completion(self.propagation.to(device), self.grid)

    def native(self, slices: slice | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities (n, classes, rows, columns) and trust (n, 1, rows, columns) of slices on the native grid."""
        probabilities, weight = self.propagation.probabilities[slices], self.propagation.weight[slices]
        return self.grid.to_native(probabilities), self.grid.extend_to_native(weight)


def complete_annotation(
    features: PixelFeatures,
    labels: torch.Tensor,
    n_classes: int,
    spacing_mm: tuple[float, float, float],
    **options: Any,
) -> Completion:
    """Complete the annotation of a volume, as far as its structures reach.

    Args:
        features: of all slices of the volume, as a rule on the grid of :func:`propagation_grid`.
        labels: uint8 (slices, rows, columns) on the native grid, ``IGNORE`` where nothing is annotated.
        n_classes: number of classes, background included.
        spacing_mm: (between slices, row, column) distances of the native grid.
        options: of :func:`sslseg.propagate.propagate`.
    """
    grid = features.grid
    rows = len(grid.area[0]) if grid.area else grid.native[0]
    window = window_for(spacing_mm[0], spacing_mm[1] * rows / grid.model[0])
    coarse = grid.labels_to_model(labels).to(features.device)
    return Completion(propagate(features, coarse, n_classes, window=window, **options), grid)


def window_for(slice_spacing_mm: float, pixel_mm: float) -> int:
    """Half the width in pixels of the window: outlines may move by as much as slices are apart, and a pixel more.

    7 at most: the time grows with the square of it.
    """
    return int(min(7, max(2, round(slice_spacing_mm / pixel_mm) + 1)))


def propagation_grid(
    labels: np.ndarray, spacing_mm: tuple[float, float], *, model_spacing_mm: float | None = None
) -> InPlaneGrid:
    """The grid on which the annotation of a volume is completed: that of :func:`region_of_interest`.

    Args:
        labels: uint8 (slices, rows, columns) on the native grid, ``IGNORE`` where nothing is annotated.
        spacing_mm: (row, column) pixel size.
        model_spacing_mm: pixel size that pretrained weights were made for.
    """
    _, rows, columns = labels.shape
    area = region_of_interest(labels, spacing_mm)
    return InPlaneGrid.fit(
        (rows, columns), spacing_mm, max_pixels=MAX_PIXELS, model_spacing_mm=model_spacing_mm, area=area
    )


def region_of_interest(labels: np.ndarray, spacing_mm: tuple[float, float]) -> Area:
    """The rows and columns around all annotated structures, with a margin for what they do in other slices.

    It is at least as large as fits on :data:`MAX_PIXELS` at the native spacing. All of the slices where one is only
    partly annotated: a structure may be larger than the scribble in it.

    Args:
        labels: uint8 (slices, rows, columns), ``IGNORE`` where nothing is annotated.
        spacing_mm: (row, column) pixel size.
    """
    _, *size = labels.shape
    annotated = labels[(labels != IGNORE).any(axis=(1, 2))]
    shown = (annotated > 0).any(axis=0)
    if (annotated == IGNORE).any() or not shown.any():
        return range(size[0]), range(size[1])
    spans = [np.flatnonzero(shown.any(axis=1 - axis))[[0, -1]] + (0, 1) for axis in (0, 1)]
    pixel = min(spacing_mm)
    largest = max((stop - start) * mm for (start, stop), mm in zip(spans, spacing_mm, strict=True))
    margin = max(_MARGIN * largest, _LEAST_MARGIN * pixel)
    rows, columns = (
        _widened(span, n, margin / mm, pixel / mm) for span, n, mm in zip(spans, size, spacing_mm, strict=True)
    )
    return rows, columns


def _widened(span: np.ndarray, n: int, margin: float, share: float) -> range:
    """One side of the region, in pixels that are 1 / ``share`` times as long as the finest."""
    step = max(1, round(_STEP * share))
    start, stop = math.floor((span[0] - margin) / step) * step, math.ceil((span[1] + margin) / step) * step
    missing = round(MAX_PIXELS * share) - (stop - start)
    if missing > 0:
        start -= missing // 2 // step * step
        stop += round(MAX_PIXELS * share) - (stop - start)
    length = min(stop - start, n)
    start = min(max(start, 0), n - length)
    return range(start, start + length)
