"""Images for tests of the session."""

import numpy as np
import SimpleITK as sitk

SHAPE = (9, 40, 48)
GRIDS = {
    "upright": ((0.8, 0.8, 4.0), np.diag([1.0, 1.0, 1.0]), (10.0, -20.0, 30.0)),
    "oblique": ((0.9, 1.1, 5.0), None, (-31.5, 12.25, -77.0)),
    "flipped": ((1.0, 1.0, 3.0), np.diag([-1.0, -1.0, 1.0]), (100.0, 90.0, 5.0)),
    "sagittal": ((0.7, 0.7, 6.0), np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]), (0.0, 0.0, 0.0)),
}


def write_phantom(path, grid):
    """A bright ellipsoid on a grid of :data:`GRIDS`."""
    spacing, direction, origin = GRIDS[grid]
    if direction is None:
        rotation = sitk.Euler3DTransform()
        rotation.SetRotation(0.25, -0.15, 0.4)
        direction = np.array(rotation.GetMatrix()).reshape(3, 3)
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    noise = np.random.default_rng(0).normal(0, 20, SHAPE)
    image = sitk.GetImageFromArray((np.where(k**2 + j**2 + i**2 < 0.4, 400, 100) + noise).astype(np.int16))
    image.SetSpacing(spacing)
    image.SetDirection(np.asarray(direction).ravel())
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return image


def write_drawing(path, image, slices):
    """The ellipsoid of a phantom, drawn on some of its slices."""
    labels = (sitk.GetArrayFromImage(image) > 250).astype(np.uint8)
    labels[[index for index in range(len(labels)) if index not in slices]] = 0
    drawing = sitk.GetImageFromArray(labels)
    drawing.CopyInformation(image)
    sitk.WriteImage(drawing, str(path))
    return labels
