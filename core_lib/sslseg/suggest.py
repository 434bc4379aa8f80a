"""Which slice to annotate next: where the prediction is least sure and no annotated slice is near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslseg.annotation import Annotation
from sslseg.errors import InputError


@dataclass(frozen=True)
class Suggestion:
    """One un-annotated slice.

    Attributes:
        index: of the slice along the axis.
        score: higher is more worth annotating; comparable within one volume only.
        reason: for the user, one clause.
    """

    index: int
    score: float
    reason: str


def suggest(
    labels: np.ndarray, uncertainty: np.ndarray, annotation: Annotation, axis: int, n: int | None = None
) -> list[Suggestion]:
    """Score every slice that has no annotation, best first.

    The score is the summed uncertainty of the slice times the square root of the distance to the nearest annotated
    slice, both relative to their largest value: the first says where the model errs, the second prefers what is far
    from everything known.

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
    others = tuple(a for a in range(3) if a != axis)
    unsure = uncertainty.sum(axis=others, dtype=np.float64)
    foreground = np.asarray((labels > 0).any(axis=others))
    distance = np.array([min((abs(i - a) for a in annotated), default=1) for i in range(labels.shape[axis])], float)
    score = (unsure / max(unsure[candidates].max(), 1e-9)) * np.sqrt(distance / max(distance.max(), 1.0))
    ranked = sorted(candidates, key=lambda i: (-score[i], i))
    mean = float(unsure[candidates].mean())
    return [
        Suggestion(i, float(score[i]), _reason(unsure[i] / max(mean, 1e-9), int(distance[i]), bool(foreground[i])))
        for i in ranked[:n]
    ]


def _reason(relative: float, distance: int, has_foreground: bool) -> str:
    where = f"{distance} slice{'s' if distance != 1 else ''} from the nearest annotated one"
    what = "structures predicted" if has_foreground else "nothing predicted"
    return f"{relative:.1f} x the mean uncertainty, {where}, {what}"
