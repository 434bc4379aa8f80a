"""What a training has found, with all that a panel wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslseg.annotation import Segment
from sslseg.geometry import Geometry


@dataclass(frozen=True)
class SegmentVolume:
    """How large one predicted segment is.

    Attributes:
        segment_id: of the segment, as in the user's segmentation.
        name: of the segment.
        color: RGB, 0 to 1 each.
        volume_ml: millilitres; 0 where nothing was found.
    """

    segment_id: str
    name: str
    color: tuple[float, float, float]
    volume_ml: float


@dataclass(frozen=True)
class Result:
    """A prediction as it was made, whatever is drawn since.

    Attributes:
        labels: uint8 class indices (K, J, I) on the volume's grid.
        uncertainty: uint8 (K, J, I), 0 (sure) to 100 percent.
        segments: c in ``labels`` stands for ``segments[c - 1]``.
        axis: array axis of the slices.
        volumes: how large each segment is, in the order of ``segments``.
    """

    labels: np.ndarray
    uncertainty: np.ndarray
    segments: tuple[Segment, ...]
    axis: int
    volumes: tuple[SegmentVolume, ...] = ()


def measured(labels: np.ndarray, geometry: Geometry, segments: tuple[Segment, ...]) -> tuple[SegmentVolume, ...]:
    """The volume of each segment in ``labels``; for a thread that may take its time."""
    counts = np.zeros(len(segments) + 1, np.int64)
    for plane in labels:  # a histogram of a whole CT at once would need eight times its memory
        counts += np.bincount(plane.ravel(), minlength=len(counts))
    ml_of_voxel = float(np.prod(geometry.spacing)) / 1000
    return tuple(
        SegmentVolume(segment.segment_id, segment.name, segment.color, int(counts[c]) * ml_of_voxel)
        for c, segment in enumerate(segments, start=1)
    )
