"""Image files through SimpleITK, with the checks that it leaves out: incomplete files are neither read nor left."""

from __future__ import annotations

import contextlib
import errno
import functools
import locale
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sslseg.errors import InputError
from sslseg.files import atomic_path
from sslseg.geometry import Geometry
from sslseg.integrity import has_only_finite_values, stored_bytes

WRITE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
"""One file each, so that an older one can be replaced in one step."""

READ_ENDINGS = (*WRITE_ENDINGS, ".nhdr", ".mhd")

NOT_FINITE = "holds NaN or infinite values: replace them, for example by the background value"

_META_IMAGE = (".mha", ".mhd")
_NIFTI = (".nii.gz", ".nii")
_NIFTI_HEADER_BYTES = 352
_NIFTI_FLOATS = {"16": "f4", "64": "f8"}


def check_ending(path: str | os.PathLike[str], endings: Sequence[str]) -> str:
    """The one of ``endings`` that ``path`` has, whatever its case.

    Raises:
        InputError: it has none of them.
    """
    name = Path(path).name.lower()
    for ending in sorted(endings, key=len, reverse=True):
        if name.endswith(ending):
            return ending
    choice = " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))
    raise InputError(f"{path} has an ending that is not supported: use {choice}.")


def check_readable(path: Path) -> None:
    """Raise :class:`InputError` unless ``path`` is a file that is there, may be read and is not empty."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file.")
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path} does not exist: check the path.") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path} cannot be read ({reason}): check the path and your permissions.") from error
    if empty:
        raise InputError(f"{path} is empty (0 bytes): copy or export it again.")


def read_image(path: Path, *, multi_component: bool = False, frames: bool = False) -> sitk.Image:
    """A 3-D image file as it is.

    Args:
        path: one of :data:`READ_ENDINGS`. A fourth axis of length 1 is dropped.
        multi_component: take several values per voxel too (the layers of a segmentation).
        frames: keep the fourth axis of a 4-D file.

    Raises:
        InputError: not there, of another kind, 2-D, 4-D, RGB, incomplete or damaged.
    """
    check_readable(path)
    ending = check_ending(path, READ_ENDINGS)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    # Not in other threads: they would hide what the rest of the program says, and restore each other's silence.
    alone = threading.current_thread() is threading.main_thread()
    quiet = _silent_metaio if ending in _META_IMAGE and alone else contextlib.nullcontext
    with itk_session():
        try:
            with quiet():
                reader.ReadImageInformation()
        except RuntimeError as error:
            raise InputError(f"{path} cannot be read: {_header_fault(error, ending)}.") from error
        _check_kind(path, reader, multi_component, frames)
        if ending in WRITE_ENDINGS:
            _check_integrity(path, ending, reader)
        if not (frames and len(reader.GetSize()) == 4):
            reader.SetExtractSize([*reader.GetSize()[:3], *(0 for _ in reader.GetSize()[3:])])
        try:
            with quiet():
                return reader.Execute()
        except RuntimeError as error:
            raise InputError(f"{path} is incomplete or damaged: copy or export it again.") from error


def write_image(image: sitk.Image, path: str | os.PathLike[str], *, compress: bool) -> None:
    """Write one of :data:`WRITE_ENDINGS`; an older file stays until the new one is complete.

    Raises:
        InputError: another ending.
        OutputError: no such folder, no permission, disk full.
    """
    ending = check_ending(path, WRITE_ENDINGS)
    data_bytes = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel() * image.GetSizeOfPixelComponent()
    with atomic_path(path) as temporary, itk_session():
        try:
            sitk.WriteImage(image, str(temporary), useCompression=compress)
        except RuntimeError as error:
            raise OSError(errno.EIO, "the file came out incomplete, perhaps because the disk is full") from error
        if stored_bytes(temporary) < data_bytes + (_NIFTI_HEADER_BYTES if ending in _NIFTI else 0):
            raise OSError(errno.EIO, "the file came out incomplete, perhaps because the disk is full")


def geometry_of(image: sitk.Image) -> Geometry:
    """The grid of a 3-D image."""
    i, j, k = image.GetSize()
    return Geometry((k, j, i), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def to_image(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    """A copy of ``array`` (K, J, I) that knows where it lies."""
    if array.shape != geometry.shape:
        raise ValueError(f"an array of shape {array.shape} does not fit a grid of shape {geometry.shape}")
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return image


def metadata(source: sitk.Image | sitk.ImageFileReader, key: str) -> str:
    """A header field as text, "" where it is not there. Headers are UTF-8 (Slicer) or Latin-1 (most of DICOM)."""
    if not source.HasMetaDataKey(key):
        return ""
    raw = source.GetMetaData(key).encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip()


@contextlib.contextmanager
def itk_session() -> Iterator[None]:
    """Calls of SimpleITK with file names in UTF-8, and without its warnings about oddities that real files have.

    Failures still raise.
    """
    use_utf8_file_names()
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


@contextlib.contextmanager
def _silent_metaio() -> Iterator[None]:
    """Keep the reader of MetaImage files from printing, past ITK, what is then raised anyway."""
    try:
        kept = os.dup(2)
    except OSError:  # a program without a console has nowhere to print to
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@functools.cache
def use_utf8_file_names(platform: str = sys.platform, set_locale: Callable[[int, str], str] = locale.setlocale) -> None:
    """On Windows, let C libraries open files whose names are not ASCII: SimpleITK hands them UTF-8.

    Windows before version 10 (1803) has no such locale; there only names in the system's code page can be opened.
    """
    if platform == "win32":
        with contextlib.suppress(locale.Error):
            set_locale(locale.LC_CTYPE, ".UTF8")


def _header_fault(error: RuntimeError, ending: str) -> str:
    if "orthonormal" in str(error):
        return "its axes are not perpendicular, so resample it onto a regular grid first"
    return f"it is damaged or not a {ending} image, so copy or export it again"


def _check_kind(path: Path, reader: sitk.ImageFileReader, multi_component: bool, frames: bool) -> None:
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    if len(size) < 3:
        raise InputError(f"{path} is a 2-D image: give a 3-D volume.")
    volumes = math.prod(size[3:])
    if volumes > 1 and not (frames and len(size) == 4):
        raise InputError(f"{path} is {len(size)}-D with {volumes} volumes: extract the one to use into a 3-D file.")
    if components > 1 and not multi_component:
        raise InputError(f"{path} has {components} values per voxel (RGB or vector): give a scalar image.")


def _check_integrity(path: Path, ending: str, reader: sitk.ImageFileReader) -> None:
    """Refuse what SimpleITK would pass over: cut or damaged files, and NaN in NIfTI."""
    found, expected, header = stored_bytes(path), 0, 0
    if ending in _NIFTI:
        header = int(float(reader.GetMetaData("vox_offset")))
        expected = math.prod(reader.GetSize()) * int(reader.GetMetaData("bitpix")) // 8
    if found < header + expected:
        raise InputError(f"{path} is incomplete or damaged: copy or export it again.")
    floats = _NIFTI_FLOATS.get(reader.GetMetaData("datatype")) if ending in _NIFTI else None
    if floats and not has_only_finite_values(path, header, expected, floats):
        raise InputError(f"{path} {NOT_FINITE}.")
