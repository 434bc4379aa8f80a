"""What a training has found, with all that a panel wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from sslseg.annotation import Segment
from sslseg.geometry import Geometry
from SSLSegmentLib.oriented_image import label_image
from SSLSegmentLib.surfaces import surfaces


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


def percent(uncertainty: np.ndarray) -> np.ndarray:
    """Uncertainty (K, J, I), 0 to 1, as whole percents, a quarter of the memory; for a thread that takes its time."""
    result = np.empty(uncertainty.shape, np.uint8)
    for plane, rounded in zip(uncertainty, result, strict=True):
        rounded[:] = np.rint(plane * np.float32(100))
    return result


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


@dataclass(frozen=True)
class Outputs:
    """A result, and all that it takes to show it, made before the main thread is asked.

    Attributes:
        result: what was found.
        image: the labels as a layer for a segmentation.
        surfaces: of each segment in RAS mm; None where none are wanted.
    """

    result: Result
    image: slicer.vtkOrientedImageData
    surfaces: list[vtk.vtkPolyData] | None = None


def outputs(  # noqa: PLR0913, PLR0917 - what was predicted, where, and what it means
    labels: np.ndarray,
    uncertainty: np.ndarray,
    geometry: Geometry,
    segments: tuple[Segment, ...],
    axis: int,
    with_surfaces: bool,
) -> Outputs:
    """What the files of a prediction mean; for a thread that may take its time.

    Args:
        labels: uint8 (K, J, I).
        uncertainty: (K, J, I), 0 to 1.
        geometry: the grid of both.
        segments: c in ``labels`` stands for ``segments[c - 1]``.
        axis: array axis of the slices.
        with_surfaces: whether 3-D views are to show them.
    """
    volumes = measured(labels, geometry, segments)
    result = Result(labels, percent(uncertainty), segments, axis, volumes)
    found = surfaces(labels, geometry, len(segments)) if with_surfaces else None
    return Outputs(result, label_image(labels, geometry), found)
