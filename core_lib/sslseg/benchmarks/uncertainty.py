"""Is the uncertainty worth looking at: in which slices are the errors, and how many at each level of uncertainty?"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from sslseg.geometry import other_axes

EDGES = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the levels of uncertainty; the first is nearly all of the background."""


def rank_correlation(uncertainty: np.ndarray, wrong: np.ndarray, annotated: list[int], axis: int) -> float | None:
    """Spearman's correlation of the summed uncertainty of a slice with the number of its wrong voxels.

    Args:
        uncertainty: (K, J, I) in [0, 1].
        wrong: bool (K, J, I), where the prediction errs.
        annotated: slices that do not count.
        axis: array axis of the slices.

    Returns:
        -1 to 1; None where there are fewer than three slices, or all are alike.
    """
    others = other_axes(axis)
    unsure = np.delete(uncertainty.sum(axis=others, dtype=np.float64), annotated)
    errors = np.delete(wrong.sum(axis=others), annotated)
    if len(errors) < 3 or np.ptp(errors) == 0 or np.ptp(unsure) == 0:
        return None
    value = float(np.corrcoef(_ranks(unsure), _ranks(errors))[0, 1])
    return round(value, 4) if math.isfinite(value) else None


def errors_by_level(
    uncertainty: np.ndarray, wrong: np.ndarray, annotated: list[int], axis: int
) -> list[tuple[int, int]]:
    """(voxels, wrong ones) at each level of uncertainty between two of :data:`EDGES`; arguments as above."""
    unsure, errors = (np.delete(array, annotated, axis).ravel() for array in (uncertainty, wrong))
    level = np.digitize(unsure, EDGES[1:-1])
    n_levels = len(EDGES) - 1
    voxels = np.bincount(level, minlength=n_levels)
    found = np.bincount(level[errors], minlength=n_levels)
    return [(int(n), int(k)) for n, k in zip(voxels, found, strict=True)]


def level_names() -> list[str]:
    """Of the levels, for the head of a table."""
    return [f"{low:g} to {high:g}" for low, high in pairwise(EDGES)]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
