"""What needs no intensities: copies of annotated slices, and shapes between them."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from sslseg.finetune import Case

_ABSENT = -1e9


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
        first, second = _vanishing(distances[below], distances[above])
        completed[index] = ((1 - share) * first + share * second).argmax(0)
    return np.moveaxis(completed, 0, case.axis)


def _distances(labels: np.ndarray, case: Case) -> np.ndarray:
    """Of each class: distance in mm to its border, positive inside; _ABSENT where the slice does not show it."""
    spacing = case.volume.geometry.in_plane_spacing(case.axis)[::-1]
    maps = np.full((case.annotation.n_classes, *labels.shape), _ABSENT)
    present = np.unique(labels)
    for c in present:
        image = sitk.GetImageFromArray((labels == c).astype(np.uint8))
        image.SetSpacing(spacing)
        distance = sitk.SignedMaurerDistanceMap(
            image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True
        )
        maps[c] = sitk.GetArrayFromImage(distance) if len(present) > 1 else np.hypot(*labels.shape)
    return maps


def _vanishing(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let a structure that only one of two slices shows end half way between them."""
    deepest = [maps.max(axis=(1, 2), keepdims=True) for maps in (first, second)]
    return (
        np.where((first == _ABSENT) & (second != _ABSENT), -deepest[1], first),
        np.where((second == _ABSENT) & (first != _ABSENT), -deepest[0], second),
    )
