"""Slicer's Fill between slices."""

from __future__ import annotations

import itk
import numpy as np

from sslseg.annotation import IGNORE
from sslseg.finetune import Case

_INTERPOLATOR = itk.MorphologicalContourInterpolator
"""Named here because ITK loads its templates when they are first used, which takes seconds."""


def contours(case: Case) -> np.ndarray:
    """ITK's morphological contour interpolation (Zukić et al., 2016), on which Slicer's Fill between slices rests.

    It fills between annotated slices and leaves empty what lies beyond the last one.
    """
    labels = np.where(case.annotation.labels == IGNORE, 0, case.annotation.labels)
    image = itk.image_from_array(np.ascontiguousarray(labels))
    interpolator = _INTERPOLATOR.New(image, axis=2 - case.axis)  # ITK counts I, J, K
    interpolator.Update()
    return np.asarray(itk.array_from_image(interpolator.GetOutput()), np.uint8)
