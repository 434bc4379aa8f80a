"""How good a segmentation is: Dice, 95 % Hausdorff distance and volumes, over the voxels where the truth is known.

Dice and the surface distances are MONAI's. What is defined here is what counts: voxels whose reference is ``IGNORE``
and slices that were annotated for training are left out, and background is never a class of its own.

===================  =======================  =======================
in evaluated voxels  Dice                     HD95
===================  =======================  =======================
class in both        2 |P ∩ R| / (|P| + |R|)  finite
class in one only    0                        infinite (null in JSON)
class in neither     NaN, not counted         NaN, not counted
===================  =======================  =======================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_dice
from monai.metrics.utils import get_mask_edges, get_surface_distance

from sslseg.annotation import IGNORE, Segment, check_slices, slice_index
from sslseg.errors import InputError
from sslseg.geometry import Geometry


@dataclass(frozen=True)
class ClassScore:
    """The agreement of one class.

    Attributes:
        name: of the segment.
        dice: 0..1, or NaN where the class is in neither label map.
        hd95_mm: the larger of the two directed 95th percentiles of the surface distances, in mm; infinite where one
            of the two label maps lacks the class, NaN where both do.
        volume_ml: volume in the prediction, evaluated voxels only.
        reference_volume_ml: volume in the reference, evaluated voxels only.
    """

    name: str
    dice: float
    hd95_mm: float
    volume_ml: float
    reference_volume_ml: float


@dataclass(frozen=True)
class Scores:
    """The agreement of two label maps.

    Attributes:
        classes: one entry a foreground class.
        voxels: number of evaluated voxels.
    """

    classes: tuple[ClassScore, ...]
    voxels: int

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the classes that occur, background excluded; NaN where none does."""
        return mean_dice([score.dice for score in self.classes])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what is infinite or NaN becomes None."""
        keys = ("dice", "hd95_mm", "volume_ml", "reference_volume_ml")
        classes = [{"name": c.name} | {key: _finite(getattr(c, key)) for key in keys} for c in self.classes]
        return {"mean_dice": _finite(self.mean_dice), "voxels": self.voxels, "classes": classes}


def evaluate(  # noqa: PLR0913 - two label maps and what to compare
    prediction: np.ndarray,
    reference: np.ndarray,
    geometry: Geometry,
    segments: Sequence[Segment],
    *,
    axis: int = 0,
    ignore_slices: Sequence[int] = (),
) -> Scores:
    """Compare two label maps of one grid.

    Surfaces are those of the whole label maps (where the reference is unknown, the prediction stands in for it), so
    leaving out slices cuts no false surfaces; only surface voxels in evaluated voxels are counted.

    Args:
        prediction: uint8 (K, J, I) class indices.
        reference: uint8 (K, J, I) class indices, ``IGNORE`` where the truth is not known.
        geometry: the grid of both.
        segments: the foreground classes; class c is ``segments[c - 1]``.
        axis: array axis of ``ignore_slices``.
        ignore_slices: slices that are left out, as a rule those that were annotated for training.

    Raises:
        InputError: another shape, a slice that does not exist, or nothing left to evaluate.
    """
    if prediction.shape != reference.shape:
        raise InputError(
            f"The prediction has shape {prediction.shape} and the reference {reference.shape}: compare label maps of "
            "one grid."
        )
    counted = reference != IGNORE
    if len(ignore_slices):
        check_slices(ignore_slices, reference.shape, axis)
        counted[slice_index(ignore_slices, axis)] = False
    if not counted.any():
        raise InputError("No voxel is left to evaluate: the reference is unknown or ignored everywhere.")
    dice = dice_per_class(prediction[counted], reference[counted], len(segments) + 1)
    reference = np.where(reference == IGNORE, prediction, reference)
    voxel_ml = float(np.prod(geometry.spacing)) / 1000
    scores = []
    for index, segment in enumerate(segments, start=1):
        masks = prediction == index, reference == index
        volumes = [int((mask & counted).sum()) * voxel_ml for mask in masks]
        hd95 = _hd95(*masks, counted, geometry.spacing[::-1])
        scores.append(ClassScore(segment.name, float(dice[index - 1]), hd95, volumes[0], volumes[1]))
    return Scores(tuple(scores), int(counted.sum()))


def dice_per_class(prediction: np.ndarray, reference: np.ndarray, n_classes: int) -> np.ndarray:
    """Hard Dice of every foreground class over the voxels whose reference is known.

    Args:
        prediction: class indices, any shape.
        reference: class indices of the same shape, ``IGNORE`` where the truth is not known.
        n_classes: number of classes, background included.

    Returns:
        float64 (n_classes - 1,); NaN for a class that is in neither.
    """
    if n_classes < 2:
        return np.empty(0)
    known = reference != IGNORE
    one, other = (torch.from_numpy(np.ascontiguousarray(x[known])).reshape(1, 1, -1) for x in (prediction, reference))
    dice = compute_dice(one, other, include_background=False, ignore_empty=False, num_classes=n_classes)[0]
    present = [bool((one == c).any() or (other == c).any()) for c in range(1, n_classes)]
    return np.where(present, dice.double().numpy(), np.nan)


def mean_dice(dice: Sequence[float] | np.ndarray) -> float:
    """The mean over the classes that occur; NaN where none does."""
    known = [float(value) for value in dice if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _hd95(prediction: np.ndarray, reference: np.ndarray, counted: np.ndarray, spacing_kji: Sequence[float]) -> float:
    present = [bool((mask & counted).any()) for mask in (prediction, reference)]
    if not all(present):
        return math.inf if any(present) else math.nan
    box = _bounding_box(prediction | reference)
    edges = get_mask_edges(prediction[box], reference[box], crop=False)
    percentiles = []
    for one, other in (edges, edges[::-1]):
        distances = np.asarray(get_surface_distance(one, other, spacing=list(spacing_kji)))[counted[box][one]]
        if distances.size:
            percentiles.append(float(np.percentile(distances, 95)))
    return max(percentiles, default=math.nan)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
