"""Which slice to annotate next: the one that settles most of what the prediction is unsure of, there and nearby."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslseg.annotation import Annotation
from sslseg.errors import InputError
from sslseg.geometry import other_axes

_TO_NEIGHBOURS = 0.3  # how much an annotated slice settles next to it, falling with the distance
_REACH = 0.1  # of the slices of the volume: where that has fallen to 1/e
_DIGITS = 9  # of a score: of slices alike to these, the one farthest from all others is taken


@dataclass(frozen=True)
class Suggestion:
    """One un-annotated slice.

    Attributes:
        index: of the slice along the axis.
        score: share of the volume's uncertainty that it is expected to settle, 0 to 1.
        reason: for the user, one clause.
    """

    index: int
    score: float
    reason: str


def suggest(
    labels: np.ndarray, uncertainty: np.ndarray, annotation: Annotation, axis: int, n: int | None = None
) -> list[Suggestion]:
    """Rank every slice that has no annotation, best first.

    An annotated slice settles all of its own uncertainty and a part of that of its neighbours, less of it the further
    they are. Each slice is chosen as the one that settles most of what those before it, annotated or ranked, have left:
    a greedy choice of facilities, so that the first three lie apart.

    Args:
        labels: uint8 (K, J, I) predicted classes.
        uncertainty: float32 (K, J, I) in [0, 1].
        annotation: what is annotated; only its slices count.
        axis: array axis of the slices.
        n: how many to return; None = all.

    Raises:
        InputError: the shapes differ, or every slice is annotated already.
    """
    if not labels.shape == uncertainty.shape == annotation.labels.shape:
        raise InputError("Prediction, uncertainty and annotation have different shapes: take them from one volume.")
    annotated = annotation.annotated_slices(axis)
    candidates = sorted(set(range(labels.shape[axis])) - set(annotated))
    if not candidates:
        raise InputError("Every slice is annotated already: there is nothing to suggest.")
    others = other_axes(axis)
    unsure = uncertainty.sum(axis=others, dtype=np.float64)
    foreground = np.asarray((labels > 0).any(axis=others))
    places = np.arange(labels.shape[axis])
    apart = np.abs(places[:, None] - places)
    settles = _settled_by(apart)
    settled = settles[annotated].max(axis=0, initial=0.0)
    from_annotated = apart[annotated].min(axis=0, initial=len(places))
    nearest = from_annotated  # to what is annotated or ranked
    mean = float(unsure[candidates].mean())
    total = max(float(unsure.sum()), 1e-9)
    ranked: list[Suggestion] = []
    while candidates and len(ranked) != n:
        gains = (np.maximum(settles[candidates] - settled, 0) @ unsure / total).round(_DIGITS)
        first = int(np.lexsort((-nearest[candidates], -gains))[0])
        best = candidates.pop(first)
        settled = np.maximum(settled, settles[best])
        nearest = np.minimum(nearest, apart[best])
        distance = int(from_annotated[best]) if annotated else 1
        reason = _reason(unsure[best] / max(mean, 1e-9), distance, bool(foreground[best]))
        ranked.append(Suggestion(best, float(gains[first]), reason))
    return ranked


def _settled_by(apart: np.ndarray) -> np.ndarray:
    """Row i: the share of the uncertainty of each slice that an annotation of slice i, so far apart, settles."""
    settles = _TO_NEIGHBOURS * np.exp(-apart / (_REACH * len(apart)))
    np.fill_diagonal(settles, 1.0)
    return settles


def _reason(relative: float, distance: int, has_foreground: bool) -> str:
    where = f"{distance} slice{'s' if distance != 1 else ''} from the nearest annotated one"
    what = "structures predicted" if has_foreground else "nothing predicted"
    return f"{relative:.1f} x the mean uncertainty, {where}, {what}"
