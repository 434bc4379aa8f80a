"""What is drawn in a segmentation, slice by slice. No MRML: for any thread, since a large drawing takes a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sslseg.annotation import drawn_axis
from sslseg.geometry import Geometry
from SSLSegmentLib.layers import Layer, painted_in_box

_Slices = dict[int, tuple[str, ...]]


@dataclass(frozen=True)
class Drawing:
    """Which slices are drawn on.

    Attributes:
        slices: for each array axis, the slices with a drawing, in order, and the segments that are drawn on each.
        axis: the array axis along whose slices was drawn.
        problem: why the nodes cannot be read, as a sentence; empty where they can.
    """

    slices: tuple[_Slices, _Slices, _Slices] = field(default_factory=lambda: ({}, {}, {}))
    axis: int = 0
    problem: str = ""


def read_drawing(
    layers: Sequence[Layer], to_volume: np.ndarray, geometry: Geometry, segment_ids: Sequence[str], *, find_axis: bool
) -> Drawing:
    """Look at the voxels.

    Args:
        layers: all that is drawn; class c is ``segment_ids[c - 1]``.
        to_volume: 4 x 4 (LPS), from the coordinates of the layers to those of ``geometry``.
        geometry: the grid of the volume, whose slices are meant.
        segment_ids: of all segments.
        find_axis: whether the axis is wanted, which takes most of the time.
    """
    painted, box = painted_in_box(layers, to_volume, geometry)
    found = _classes_by_slice(painted, len(segment_ids))
    k, j, i = (
        {
            part.start + int(index): tuple(segment_ids[int(c) - 1] for c in np.flatnonzero(present[index]))
            for index in np.flatnonzero(present.any(axis=1))
        }
        for part, present in zip(box, found, strict=True)
    )
    if not find_axis:
        return Drawing((k, j, i), geometry.default_axis())
    in_the_open = np.pad(painted > 0, 1)  # else the drawing would fill the box, and with it whole slices
    return Drawing((k, j, i), drawn_axis(in_the_open, geometry))


def _classes_by_slice(painted: np.ndarray, n: int) -> list[np.ndarray]:
    """For each axis, bool (slices, n + 1): whether a class is drawn on a slice."""
    found = [np.zeros((length, n + 1), bool) for length in painted.shape]
    for k, plane in enumerate(painted):
        for c in map(int, np.flatnonzero(np.bincount(plane.ravel(), minlength=n + 1))):
            if c > 0:
                here = plane == c
                found[0][k, c] = True
                found[1][:, c] |= here.any(axis=1)
                found[2][:, c] |= here.any(axis=0)
    return found
