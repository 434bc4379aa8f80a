"""A DICOM series folder as one volume, refused where it is not an evenly spaced stack of slices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sslseg.errors import InputError
from sslseg.geometry import SPACE_TOLERANCE_MM
from sslseg.itk_io import READ_ENDINGS, check_readable, itk_session, metadata

POSITION_TOLERANCE_MM = 0.1
"""How far slices may lie from an even stack: scanners round positions, some at 0.1 mm."""

POSITION_TOLERANCE_GAPS = 0.2
"""But no farther than this share of the distance between slices, which is 0.05 mm in micro-CT."""

_ALIKE_TOLERANCE = 1e-3  # of the pixel spacing, as a share; and of each component of the directions
_SHOWN = 3
_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_IMAGE_CLASS = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(1|2|4|7|12|20|128)\b")
"""Storage classes whose files are images (CT, MR, PET, ...), as opposed to reports and directories."""


@dataclass(frozen=True)
class _Slice:
    """The header of one file; ``position`` and ``orientation`` (row, column direction) in LPS mm."""

    path: Path
    size: tuple[int, ...]
    components: int
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing: np.ndarray

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.orientation[:3], self.orientation[3:])


def is_dicom(path: Path) -> bool:
    """Whether ``path`` is to be read as DICOM: a folder, or a file that is not of another known kind."""
    if path.is_dir() or path.suffix.lower() in _DICOM_ENDINGS:
        return True
    return path.is_file() and not path.name.lower().endswith(READ_ENDINGS) and _has_dicom_mark(path)


def files_of_series(path: Path) -> list[Path]:
    """The files of the series in a folder (sub-folders are not searched), or of the one that a DICOM file belongs to.

    They are ordered along the normal of the slices.

    Raises:
        InputError: no series, several, a damaged file, or images that do not form one even stack.
    """
    if not path.is_dir():
        check_readable(path)
    with itk_session():
        slices = [_header(file) for file in _unordered_files(path)]
    _check_alike(path, slices)
    slices.sort(key=lambda s: float(s.normal @ s.position))
    _check_positions(path, slices)
    return [s.path for s in slices]


def read_series(path: Path) -> sitk.Image:
    """The volume of :func:`files_of_series`, which says what is refused."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files_of_series(path)])
    with itk_session():
        try:
            return reader.Execute()
        except RuntimeError as error:
            raise InputError(f"The DICOM images in {path} are damaged: copy or export them again.") from error


def _unordered_files(path: Path) -> list[Path]:
    folder = path if path.is_dir() else path.parent
    found = {
        series: [Path(file) for file in sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series)]
        for series in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    }
    _check_none_is_damaged(folder, {file.name for files in found.values() for file in files})
    if path != folder:
        own = [files for files in found.values() if path.name in {file.name for file in files}]
        if not own:
            raise InputError(f"{path} is not a readable DICOM image: copy or export it again.")
        return own[0]
    if not found:
        raise InputError(
            f"{path} holds no DICOM images: give the folder in which the images of one series lie (sub-folders are not "
            "searched)."
        )
    if len(found) > 1:
        listed = "; ".join(_describe(files) for files in found.values())
        raise InputError(
            f"{path} holds {len(found)} DICOM series ({listed}): give a file of the one to use, or move it into a "
            "folder of its own."
        )
    return next(iter(found.values()))


def _check_none_is_damaged(folder: Path, readable: set[str]) -> None:
    """GDCM passes over what it cannot read, so that a truncated file would silently be a missing slice."""
    for file in sorted(folder.iterdir()):
        if file.name in readable or not file.is_file():
            continue
        with file.open("rb") as stream:
            head = stream.read(1024)
        is_image = _IMAGE_CLASS.search(head) if head[128:132] == b"DICM" else file.suffix.lower() in _DICOM_ENDINGS
        if is_image:
            raise InputError(f"{file} is a damaged DICOM image: copy or export it again.")


def _has_dicom_mark(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _reader_of(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path} is a damaged DICOM image: copy or export it again.") from error
    return reader


def _describe(files: list[Path]) -> str:
    """A series as the user knows it, for example: 'T2 axial', MR, 24 images, for example 001.dcm."""
    reader = _reader_of(files[0])
    description = metadata(reader, "0008|103e") or f"series {metadata(reader, '0020|0011') or 'without a name'}"
    return f"'{description}', {metadata(reader, '0008|0060')}, {len(files)} images, for example {files[0].name}"


def _header(path: Path) -> _Slice:
    reader = _reader_of(path)
    size = reader.GetSize()
    if len(size) > 2 and size[2] > 1:
        raise InputError(f"{path} is a multi-frame DICOM file: save it as NRRD or NIfTI, for example with 3D Slicer.")
    position, orientation = (_numbers(reader, tag) for tag in ("0020|0032", "0020|0037"))
    if len(position) != 3 or len(orientation) != 6:
        raise InputError(f"{path} does not say where it lies in the patient: give a CT, MR or PET series.")
    return _Slice(path, size, reader.GetNumberOfComponents(), position, orientation, np.array(reader.GetSpacing()[:2]))


def _numbers(reader: sitk.ImageFileReader, tag: str) -> np.ndarray:
    return np.array([float(v) for v in metadata(reader, tag).split("\\") if v.strip()])


def _check_alike(path: Path, slices: list[_Slice]) -> None:
    first = slices[0]
    if first.components > 1:
        raise InputError(f"{first.path} is a colour image: give a series of grey values.")
    for other in slices[1:]:
        for what, alike in (
            ("size", other.size == first.size),
            ("pixel spacing", np.allclose(other.pixel_spacing, first.pixel_spacing, rtol=_ALIKE_TOLERANCE)),
            ("orientation", np.allclose(other.orientation, first.orientation, atol=_ALIKE_TOLERANCE)),
        ):
            if not alike:
                raise InputError(
                    f"The DICOM images in {path} are not one stack: {first.path.name} and {other.path.name} differ in "
                    f"{what}, so move those that do not belong to it elsewhere."
                )


def _check_positions(path: Path, slices: list[_Slice]) -> None:
    """Refuse what SimpleITK would read with a wrong geometry: it looks at the first and the last position only."""
    if len(slices) == 1:
        return
    normal = slices[0].normal
    along = np.array([normal @ s.position for s in slices])
    gaps = np.diff(along)
    pairs = [
        (float(gap), f"{a.path.name} and {b.path.name} ({begin:.4g} and {end:.4g} mm)")
        for gap, (a, b), (begin, end) in zip(gaps, pairwise(slices), pairwise(along), strict=True)
    ]
    double = [names for gap, names in pairs if gap < SPACE_TOLERANCE_MM]
    if double:
        raise InputError(
            f"The slice positions in {path} are uneven: {len(slices)} images lie at {len(slices) - len(double)} "
            f"positions, at the same place {_listed(double)}, so keep one time point or echo."
        )
    usual = float(np.median(gaps))
    tolerance = min(POSITION_TOLERANCE_MM, POSITION_TOLERANCE_GAPS * usual)
    wide = [f"{gap:.4g} mm between {names}" for gap, names in pairs if abs(gap - usual) > tolerance]
    if wide:
        raise InputError(
            f"The slice positions in {path} are uneven: {_listed(wide)} instead of {usual:.4g} mm, so add the missing "
            "images or resample the series onto an even grid."
        )
    sideways = np.array([s.position for s in slices]) - np.outer(along, normal)
    shift = float(np.linalg.norm(sideways - sideways[0], axis=1).max())
    if shift > tolerance:
        raise InputError(
            f"The slices in {path} are shifted sideways by up to {shift:.3g} mm (tilted gantry): resample the series "
            "onto a regular grid, for example with 3D Slicer."
        )


def _listed(items: list[str]) -> str:
    more = f"; {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return "; ".join(items[:_SHOWN]) + more
