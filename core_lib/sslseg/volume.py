"""``Volume``: the image of one patient as an array with its geometry, and its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sslseg.dicom_series import is_dicom, read_series
from sslseg.errors import InputError
from sslseg.geometry import Geometry
from sslseg.itk_io import NOT_FINITE, geometry_of, read_image, to_image, write_image


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


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """The image of a NRRD, NIfTI or MetaImage file, of a DICOM series folder, or of the series of one DICOM file.

    Sub-folders are not searched.

    Raises:
        InputError: missing, of another kind, incomplete or damaged; not one scalar 3-D image; NaN or infinite values;
            the same value everywhere; or a DICOM folder that does not hold exactly one evenly spaced series.
    """
    source = Path(path)
    image = read_series(source) if is_dicom(source) else read_image(source)
    # One copy, straight from the file's own pixel type; the view dies with the image.
    array = np.array(sitk.GetArrayViewFromImage(image), dtype=np.float32)
    check_values(array, str(source))
    return Volume(array, geometry_of(image), source.absolute().name)


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> None:
    """Write an image as .nrrd, .nii.gz, .nii or .mha; see :func:`write_array`."""
    write_array(volume.array, volume.geometry, path)


def write_array(array: np.ndarray, geometry: Geometry, path: str | os.PathLike[str], *, compress: bool = False) -> None:
    """Write any numbers on a grid as .nrrd, .nii.gz, .nii or .mha.

    Args:
        array: (K, J, I), in the pixel type to write.
        geometry: the grid of ``array``.
        path: an older file stays until the new one is complete.
        compress: pack .nrrd and .mha; .nii.gz always is, .nii never.

    Raises:
        InputError: another ending.
        OutputError: no such folder, no permission, disk full. Nothing half-written stays.
    """
    write_image(to_image(array, geometry), path, compress=compress)


def check_values(array: np.ndarray, name: str) -> None:
    """Raise :class:`InputError` unless an image, called ``name`` in the message, is finite and shows something."""
    low, high = array.min(), array.max()  # NaN wins in both, and no temporary array is needed
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name} {NOT_FINITE}.")
    if low == high:
        raise InputError(f"{name} has the value {low:g} in every voxel: give an image that shows something.")
