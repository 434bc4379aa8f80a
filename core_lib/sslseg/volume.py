"""``Volume``: the image of one patient as an array with its geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslseg.geometry import Geometry


@dataclass(frozen=True)
class Volume:
    """A scalar 3-D image.

    Attributes:
        array: float32 (K, J, I), in the units of the file (HU for CT).
        geometry: the grid of ``array``.
        name: what to call it in messages, as a rule the file name.
    """

    array: np.ndarray
    geometry: Geometry
    name: str = "volume"
