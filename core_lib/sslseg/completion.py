"""The annotation of a volume, completed: labels travel around what is annotated, where pixels can be small."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sslseg.annotation import IGNORE
from sslseg.pixel_features import PixelFeatures
from sslseg.progress import ShouldStop, never_stop
from sslseg.propagate import Propagation, propagate
from sslseg.slices import Area, InPlaneGrid

MAX_PIXELS = 128
"""Longest side, in pixels, of the grid on which labels travel: larger ones take more time and memory."""

_MARGIN, _LEAST_MARGIN = 0.5, 16  # share of the size of what is annotated; pixels
_STEP = 16  # pixels: the region moves in steps of it, so that features of many corrections are those from before

FeaturesOn = Callable[[InPlaneGrid], PixelFeatures]
"""Gives the features of all slices of a volume on a grid."""


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

    def probabilities(self, slices: slice | torch.Tensor) -> torch.Tensor:
        """Of slices on the native grid, (n, classes, rows, columns)."""
        return self.grid.to_native(self.propagation.probabilities[slices])

    def weight(self, slices: slice | torch.Tensor) -> torch.Tensor:
        """How far to trust them there, (n, 1, rows, columns)."""
        return self.grid.extend_to_native(self.propagation.weight[slices])


def complete_annotation(  # noqa: PLR0913 - what is completed, by what, and where
    features_on: FeaturesOn,
    labels: np.ndarray,
    n_classes: int,
    spacing_mm: tuple[float, float, float],
    *,
    model_spacing_mm: float | None = None,
    should_stop: ShouldStop = never_stop,
    **options: Any,
) -> Completion:
    """Complete the annotation of a volume, as far as its structures reach.

    Labels travel in :func:`region_of_interest`. Where they come to its edge they travel once more, in a wider one.

    Args:
        features_on: of the slices of the volume.
        labels: uint8 (slices, rows, columns) on the native grid, ``IGNORE`` where nothing is annotated.
        n_classes: number of classes, background included.
        spacing_mm: (between slices, row, column) distances of the native grid.
        model_spacing_mm: pixel size that pretrained weights were made for.
        should_stop: see :func:`sslseg.propagate.propagate`.
        options: of :func:`sslseg.propagate.propagate`.
    """
    between_mm, *pixel_mm = spacing_mm
    native, spacing = labels.shape[1:], (pixel_mm[0], pixel_mm[1])
    area = region_of_interest(labels, spacing, max(min(spacing), model_spacing_mm or 0))
    while True:
        grid = InPlaneGrid.fit(native, spacing, max_pixels=MAX_PIXELS, model_spacing_mm=model_spacing_mm, area=area)
        features = features_on(grid)
        window = window_for(between_mm, spacing[0] * len(area[0]) / grid.model[0])
        coarse = grid.labels_to_model(torch.from_numpy(labels)).to(features.device)
        found = propagate(features, coarse, n_classes, window=window, should_stop=should_stop, **options)
        wider = _wider(area, native, found.probabilities.argmax(1).any(0), window)
        if wider == area or should_stop():
            return Completion(found, grid)
        area = wider


def window_for(slice_spacing_mm: float, pixel_mm: float) -> int:
    """Half the width in pixels of the window: outlines may move by as much as slices are apart, and a pixel more.

    7 at most: the time grows with the square of it.
    """
    return int(min(7, max(2, round(slice_spacing_mm / pixel_mm) + 1)))


def region_of_interest(labels: np.ndarray, spacing_mm: tuple[float, float], pixel_mm: float) -> Area:
    """The rows and columns around all annotated structures, with a margin for what they do in other slices.

    It is at least as large as fits on :data:`MAX_PIXELS`. All of the slices where none is wholly annotated: a structure
    may be larger than the scribble in it.

    Args:
        labels: uint8 (slices, rows, columns), ``IGNORE`` where nothing is annotated.
        spacing_mm: (row, column) distances.
        pixel_mm: of the finest pixels that labels may travel on.
    """
    _, *size = labels.shape
    annotated = labels[(labels != IGNORE).any(axis=(1, 2))]
    shown = ((annotated > 0) & (annotated != IGNORE)).any(axis=0)
    if (annotated == IGNORE).any(axis=(1, 2)).all() or not shown.any():
        return range(size[0]), range(size[1])
    spans = [np.flatnonzero(shown.any(axis=1 - axis))[[0, -1]] + (0, 1) for axis in (0, 1)]
    largest = max((stop - start) * mm for (start, stop), mm in zip(spans, spacing_mm, strict=True))
    margin = max(_MARGIN * largest, _LEAST_MARGIN * pixel_mm)
    rows, columns = (
        _around(span, n, margin / mm, pixel_mm / mm) for span, n, mm in zip(spans, size, spacing_mm, strict=True)
    )
    return rows, columns


def _around(span: np.ndarray, n: int, margin: float, share: float) -> range:
    """One side of the region around ``span``, in pixels that are 1 / ``share`` times as long as the finest."""
    step = max(1, round(_STEP * share))
    wanted = float(span[1] - span[0]) + 2 * margin + step  # one step more: where it starts is rounded
    length = min(n, max(round(MAX_PIXELS * share), math.ceil(wanted / step) * step))
    start = round((float(span.sum()) - length) / 2 / step) * step
    start = min(max(start, 0), n - length)
    return range(start, start + length)


def _wider(area: Area, native: tuple[int, int], shown: torch.Tensor, near: int) -> Area:
    """The area, twice as long towards each side where something is ``shown`` (rows, columns) ``near`` its edge."""
    sides = []
    for dimension, (part, n) in enumerate(zip(area, native, strict=True)):
        across = shown.any(1 - dimension)
        before, after = (len(part) * bool(edge.any()) for edge in (across[:near], across[-near:]))
        sides.append(range(max(0, part.start - before), min(n, part.stop + after)))
    return sides[0], sides[1]
