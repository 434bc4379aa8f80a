"""Slicer's Fill between slices."""

from __future__ import annotations

import itk
import numpy as np

from sslseg.annotation import IGNORE
from sslseg.finetune import Case

_INTERPOLATOR = itk.MorphologicalContourInterpolator
"""Named here because ITK loads its templates when they are first used, which takes seconds."""

# Its threads corrupt the memory every now and then (2.1.2), so that the process ends in the middle or at its end.
itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(1)


def contours(case: Case) -> np.ndarray:
    """ITK's morphological contour interpolation (Zukić et al., 2016), as in Slicer's Fill between slices.

    What does not lie between annotated slices stays empty; with one slice that is everything.
    """
    labels = np.where(case.annotation.labels == IGNORE, 0, case.annotation.labels)
    image = itk.image_from_array(np.ascontiguousarray(labels))
    interpolator = _INTERPOLATOR.New(image, axis=2 - case.axis)  # ITK counts I, J, K
    interpolator.Update()
    return np.asarray(itk.array_from_image(interpolator.GetOutput()), np.uint8)
