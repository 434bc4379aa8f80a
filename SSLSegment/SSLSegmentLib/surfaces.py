"""Surfaces of predicted segments for 3-D views, made of arrays in any thread.

Slicer would make them itself, but on its main thread, where a whole CT takes seconds.
"""

from __future__ import annotations

import numpy as np
import vtk

from sslseg.geometry import Geometry
from SSLSegmentLib.oriented_image import bounding_box, boxed, ras_matrix, shared_image

MOST_VOXELS = 4_000_000
"""What is larger is made of every second (third, ...) voxel: a surface of it looks the same and is there at once."""


def surfaces(
    labels: np.ndarray, geometry: Geometry, n: int, most_voxels: int | None = MOST_VOXELS
) -> list[vtk.vtkPolyData]:
    """The surface of each class of a label map, in RAS mm; empty where there is no voxel.

    Args:
        labels: uint8 (K, J, I), classes 1 to ``n``.
        geometry: their grid.
        n: number of classes.
        most_voxels: of a larger part every second (third, ...) voxel is used; None: all of them.
    """
    box = bounding_box(labels)
    if box is None:
        return [vtk.vtkPolyData() for _ in range(n)]
    inside = labels[box]
    step = int(np.ceil((inside.size / (most_voxels or inside.size)) ** (1 / 3)))
    reduced = np.pad(inside[::step, ::step, ::step], 1)
    affine = boxed(geometry, box).affine @ np.diag([step, step, step, 1.0])
    affine[:3, 3] = (affine @ (-1, -1, -1, 1))[:3]
    image = shared_image(reduced)
    # Not np.unique, which holds up every other thread of a viewer.
    return [_surface(image, c, affine) if (reduced == c).any() else vtk.vtkPolyData() for c in range(1, n + 1)]


def _surface(image: vtk.vtkImageData, value: int, affine: np.ndarray) -> vtk.vtkPolyData:
    nets = vtk.vtkSurfaceNets3D()
    nets.SetInputData(image)
    nets.SetValue(0, value)
    nets.SetOutputMeshTypeToTriangles()
    transform = vtk.vtkTransform()
    transform.SetMatrix(ras_matrix(affine))
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetTransform(transform)
    placed.SetInputConnection(nets.GetOutputPort())
    turned = vtk.vtkReverseSense()
    turned.SetInputConnection(placed.GetOutputPort())
    turned.SetReverseCells(bool(np.linalg.det(affine[:3, :3]) < 0))
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(turned.GetOutputPort())
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    surface = normals.GetOutput()
    surface.GetCellData().Initialize()  # which labels meet there would be taken for colours
    return surface
