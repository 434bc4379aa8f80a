"""What needs no intensities: copies of annotated slices, and shapes between them."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from sslseg.finetune import Case

_ABSENT, _ALONE = -1e9, 1e9


def copy(case: Case) -> np.ndarray:
    """Each slice is a copy of the nearest annotated one."""
    labels = np.moveaxis(case.annotation.labels, case.axis, 0)
    annotated = np.array(case.annotation.annotated_slices(case.axis))
    nearest = [annotated[np.abs(annotated - index).argmin()] for index in range(len(labels))]
    return np.moveaxis(labels[nearest], 0, case.axis)


def signed_distance(case: Case) -> np.ndarray:
    """Signed distances of each structure, interpolated linearly between annotated slices; a copy beyond the last one.

    After Raya and Udupa, Shape-based interpolation of multidimensional objects (IEEE TMI 1990).
    """
    labels = np.moveaxis(case.annotation.labels, case.axis, 0)
    annotated = case.annotation.annotated_slices(case.axis)
    distances = {index: _distances(labels[index], case) for index in annotated}
    completed = np.empty_like(labels)
    for index in range(len(labels)):
        below = max((a for a in annotated if a <= index), default=annotated[0])
        above = min((a for a in annotated if a >= index), default=annotated[-1])
        share = (index - below) / (above - below) if above > below else 0.0
        first, second = _meeting(distances[below], distances[above])
        completed[index] = ((1 - share) * first + share * second).argmax(0)
    return np.moveaxis(completed, 0, case.axis)


def _distances(labels: np.ndarray, case: Case) -> np.ndarray:
    """Of each class, background included: distance in mm to its outermost pixels, positive inside.

    _ABSENT where the slice does not show it, _ALONE where it shows nothing else.
    """
    maps = np.full((case.annotation.n_classes, *labels.shape), _ABSENT)
    present = np.unique(labels)
    if len(present) == 1:
        maps[present[0]] = _ALONE
        return maps
    for c in present:
        image = sitk.GetImageFromArray((labels == c).astype(np.uint8))
        image.SetSpacing(case.volume.geometry.in_plane_spacing(case.axis)[::-1])
        distance = sitk.SignedMaurerDistanceMap(
            image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True
        )
        maps[c] = sitk.GetArrayFromImage(distance)
    return maps


def _meeting(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let a structure that only one of two slices shows end half way between them, and what is alone there begin."""
    return _answer(first, second), _answer(second, first)


def _answer(maps: np.ndarray, other: np.ndarray) -> np.ndarray:
    deepest = other.max(axis=(1, 2), keepdims=True)
    answered = np.where((maps == _ABSENT) & (other != _ABSENT) & (other != _ALONE), -deepest, maps)
    alone = [c for c in range(len(maps)) if maps[c, 0, 0] == _ALONE]
    for c in alone:
        rest = np.delete(deepest, c)
        answered[c] = rest.max() if rest.max() > _ABSENT else _ALONE
    return answered
