"""Numpy arrays on a :class:`~sslseg.geometry.Geometry` (LPS) as Slicer's images (RAS), and the way back.

With ``segments.py`` and ``mrml.py`` the only place that knows RAS from LPS and that an image has an extent of its own.
"""

from __future__ import annotations

import itertools

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from sslseg.geometry import Geometry

_RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

Box = tuple[slice, slice, slice]
"""A part of an array, as slices along (K, J, I)."""


def ras_matrix(lps: np.ndarray) -> vtk.vtkMatrix4x4:
    """The VTK matrix in RAS of a 4 x 4 matrix from voxels to LPS."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy((_RAS_LPS @ lps).ravel())
    return matrix


def lps_affine(ras: vtk.vtkMatrix4x4) -> np.ndarray:
    """The 4 x 4 matrix from voxels to LPS of a VTK matrix in RAS."""
    return _RAS_LPS @ [[ras.GetElement(row, column) for column in range(4)] for row in range(4)]


def lps_transform(ras: vtk.vtkMatrix4x4) -> np.ndarray:
    """The 4 x 4 matrix between two LPS spaces of a VTK matrix between two RAS spaces."""
    return lps_affine(ras) @ _RAS_LPS


def ras_transform(lps: np.ndarray) -> vtk.vtkMatrix4x4:
    """The VTK matrix between two RAS spaces of a 4 x 4 matrix between two LPS spaces."""
    return ras_matrix(lps @ _RAS_LPS)


def part_of(lattice: Geometry, start: tuple[int, int, int], shape: tuple[int, ...]) -> Geometry:
    """The grid of ``shape`` (K, J, I) that begins at voxel ``start`` (K, J, I; may be outside) of ``lattice``."""
    affine = lattice.affine
    affine[:3, 3] = (affine @ (*start[::-1], 1.0))[:3]
    return Geometry.from_affine((shape[0], shape[1], shape[2]), affine)


def boxed(lattice: Geometry, box: Box) -> Geometry:
    """The grid of the voxels ``box`` of ``lattice``."""
    return part_of(lattice, (box[0].start, box[1].start, box[2].start), tuple(part.stop - part.start for part in box))


def moved(geometry: Geometry, lps: np.ndarray) -> Geometry:
    """``geometry`` after the linear transform ``lps`` (4 x 4)."""
    return Geometry.from_affine(geometry.shape, lps @ geometry.affine)


def box_around(other: Geometry, grid: Geometry) -> Box:
    """The voxels of ``grid`` that lie in ``other``, and no more around them than it takes."""
    spans = zip(_span(other, grid), grid.shape, strict=True)
    parts = [slice(max(0, start), min(n, stop)) for (start, stop), n in spans]
    return parts[0], parts[1], parts[2]


def grown_to_hold(grid: Geometry, other: Geometry) -> Geometry:
    """``grid`` with as many voxels more on each side as it takes to hold all of ``other``."""
    spans = [(min(0, start), max(n, stop)) for (start, stop), n in zip(_span(other, grid), grid.shape, strict=True)]
    (k, _), (j, _), (i, _) = spans
    return part_of(grid, (k, j, i), tuple(stop - start for start, stop in spans))


def bounding_box(array: np.ndarray) -> Box | None:
    """The smallest box of ``array`` (K, J, I) that holds all that is not 0; None where everything is 0."""
    box: list[slice] = []
    for axis in range(3):
        found = np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(found):
            return None
        box.append(slice(int(found[0]), int(found[-1]) + 1))
        array = array[tuple(box[axis] if a == axis else slice(None) for a in range(3))]
    return box[0], box[1], box[2]


def image_grid(image: vtk.vtkImageData, lattice: Geometry) -> Geometry:
    """The grid of the voxels that ``image`` really holds, where (0, 0, 0) of ``lattice`` is voxel (0, 0, 0)."""
    i, _, j, _, k, _ = image.GetExtent()
    return part_of(lattice, (k, j, i), image.GetDimensions()[::-1])


def image_lattice(image: slicer.vtkOrientedImageData) -> Geometry:
    """The lattice of an image that knows where it lies; its shape means nothing."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return Geometry.from_affine((1, 1, 1), lps_affine(matrix))


def voxels(image: vtk.vtkImageData) -> np.ndarray:
    """The voxels of ``image`` as a (K, J, I) view of its memory."""
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def fill_image(image: vtk.vtkImageData, array: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Give ``image`` a copy of ``array`` (K, J, I) that begins at voxel ``start`` (K, J, I).

    Memory that the image already has for as many voxels is used again.
    """
    extent = [bound for first, n in zip(start, array.shape, strict=True) for bound in (first + n - 1, first)]
    image.SetExtent(*reversed(extent))
    image.AllocateScalars(numpy_support.get_vtk_array_type(array.dtype), 1)
    voxels(image)[...] = array
    image.Modified()


def shared_image(array: np.ndarray) -> vtk.vtkImageData:
    """An image without spacing whose voxels are the memory of ``array`` (K, J, I), which it keeps alive."""
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(np.ascontiguousarray(array).reshape(-1)))
    return image


def oriented_image(array: np.ndarray, grid: Geometry, lattice: Geometry | None = None) -> slicer.vtkOrientedImageData:
    """A copy of ``array`` (K, J, I) that lies at ``grid``, with voxel indices counted from those of ``lattice``.

    Slicer compares lattices by the position of voxel (0, 0, 0), so the images of one segmentation should share it.
    """
    start = lattice.voxel_offset(grid) if lattice else (0, 0, 0)
    if start is None:
        raise ValueError("the grid is not a part of the lattice")
    image = slicer.vtkOrientedImageData()
    fill_image(image, array, start)
    image.SetGeometryFromImageToWorldMatrix(ras_matrix((lattice or grid).affine))
    return image


def label_image(labels: np.ndarray, geometry: Geometry) -> slicer.vtkOrientedImageData:
    """Labels (K, J, I) as a layer for a segmentation, cropped to what is not background; in any thread."""
    labels = np.asarray(labels, np.uint8)
    box = bounding_box(labels) or (slice(0, 1),) * 3
    return oriented_image(labels[box], boxed(geometry, box), geometry)


def onto(array: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    """Labels of grid ``source`` on grid ``target``: the nearest voxel, and 0 outside ``source``.

    Exact where both are parts of one lattice. The result may be ``array`` itself: don't write to it.
    """
    offset = target.voxel_offset(source)
    if offset is None:
        return _resampled(array, source, target)
    if offset == (0, 0, 0) and source.shape == target.shape:
        return array
    result = np.zeros(target.shape, array.dtype)
    spans = [(max(0, o), min(n, o + m), o) for n, m, o in zip(target.shape, source.shape, offset, strict=True)]
    if all(first < last for first, last, _ in spans):
        taken = tuple(slice(first - o, last - o) for first, last, o in spans)
        result[tuple(slice(first, last) for first, last, _ in spans)] = array[taken]
    return result


def _span(other: Geometry, grid: Geometry) -> list[tuple[int, int]]:
    """First voxel of ``grid`` in ``other`` and the one after the last, along K, J and I; may be outside ``grid``."""
    k, j, i = other.shape
    edges = [(-0.5, n - 0.5) for n in (i, j, k)]
    corners = np.array([[*corner, 1] for corner in itertools.product(*edges)], float).T
    inside = (np.linalg.solve(grid.affine, other.affine) @ corners)[2::-1]
    first, last = np.ceil(inside.min(axis=1)), np.floor(inside.max(axis=1))
    return [(int(a), int(b) + 1) for a, b in zip(first, last, strict=True)]


def _resampled(array: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    reference = slicer.vtkOrientedImageData()
    reference.SetDimensions(*target.shape[::-1])
    reference.SetGeometryFromImageToWorldMatrix(ras_matrix(target.affine))
    result = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        oriented_image(array, source), reference, result, False, False
    )
    return voxels(result)
