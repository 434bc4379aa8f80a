"""An annotation as the seeds that region-growing tools take, and their result as classes."""

from __future__ import annotations

import numpy as np

from sslseg.annotation import IGNORE
from sslseg.finetune import Case


def seeds_of(case: Case) -> np.ndarray:
    """int16 (K, J, I): 0 where nothing is known, else the class + 1, so that annotated background is a seed too."""
    return np.where(case.annotation.labels == IGNORE, 0, case.annotation.labels.astype(np.int16) + 1)


def classes_of(grown: np.ndarray) -> np.ndarray:
    """The way back; what was not reached is background."""
    return np.maximum(grown.astype(np.int16) - 1, 0).astype(np.uint8)
