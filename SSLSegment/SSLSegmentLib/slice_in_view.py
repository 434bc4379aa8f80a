"""Which slice of a volume the user is looking at."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from sslseg.errors import InputError
from SSLSegmentLib.mrml import volume_geometry
from SSLSegmentLib.oriented_image import lps_affine

PARALLEL = 0.95
"""A view shows slices along an axis if the cosine between its normal and the axis is larger."""


def slice_in_view(scene: Any, volume: Any, axis: int) -> int | None:
    """The slice along an array axis that a view of the present layout shows.

    Args:
        scene: its slice views are looked at.
        volume: the volume node.
        axis: array axis of the slices, 0 (K), 1 (J) or 2 (I).

    Returns:
        The index along ``axis``; None where no view shows such slices, or none of the volume's.
    """
    if volume is None:
        return None
    try:
        shape = volume_geometry(volume).shape
    except InputError:
        return None
    from_world = np.linalg.inv(_voxel_to_world(volume))
    step = np.linalg.inv(from_world)[:3, 2 - axis]
    views = list(scene.GetNodesByClass("vtkMRMLSliceNode"))
    shown = [view for view in views if view.IsMappedInLayout()]  # outside of the desktop nothing is ever mapped
    for view in shown or views:
        plane = lps_affine(view.GetSliceToRAS())
        facing = abs(plane[:3, 2] @ step) / np.linalg.norm(plane[:3, 2]) / np.linalg.norm(step)
        index = round(float((from_world @ plane[:, 3])[2 - axis]))
        if facing > PARALLEL and 0 <= index < shape[axis]:
            return index
    return None


def _voxel_to_world(volume: Any) -> np.ndarray:
    """From (i, j, k, 1) to the LPS position at which views show a voxel, transforms of the volume included."""
    matrix, to_world = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    vtk.vtkMatrix4x4.Multiply4x4(to_world, matrix, matrix)
    return lps_affine(matrix)
