"""Whether an image file is what its ending says, holds its voxels itself, and is not too large to be opened."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import psutil
import SimpleITK as sitk

from sslseg.dicom_series import is_dicom
from sslseg.errors import InputError
from sslseg.itk_io import WRITE_ENDINGS, itk_session

HEADER_BYTES = 1 << 20
GZIP = b"\x1f\x8b"
_LOCAL = re.compile(rb"elementdatafile[ \t]*[=:][ \t]*local[ \t]*\r?(?:\n|$)")
BYTES_OF_VOXEL = 8
"""At least so many are taken for each voxel: as it is read, and as a float of the volume."""
NIFTI_HEADERS = {struct.pack(order + "i", size) for order in "<>" for size in (348, 540)}


def check_self_contained(path: Path) -> None:
    """Refuse a file that a stranger may have made to let the server read another one.

    Headers of NRRD and MetaImage can name the file of the voxels: any file that the server can read, somebody else's
    too. And readers go by the content, whatever the ending says.

    Args:
        path: a file, or a folder with a DICOM series, which names nothing.

    Raises:
        InputError: it is refused, or has another ending than .nii.gz, .nii, .nrrd and .mha and is no DICOM.
    """
    if path.is_dir() or is_dicom(path):
        return
    ending = next((ending for ending in WRITE_ENDINGS if path.name.lower().endswith(ending)), "")
    if not ending:
        raise InputError(f"{path} has an ending that is not supported: use {', '.join(WRITE_ENDINGS)} or DICOM images.")
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    if not head:
        raise InputError(f"{path} is empty (0 bytes): copy or export it again.")
    if ending == ".nrrd":
        fits, holds = head.startswith(b"NRRD"), _nrrd_holds_voxels(head)
    elif ending == ".mha":
        fits, holds = head.lstrip()[:1].isalpha(), _meta_holds_voxels(head)
    else:
        fits, holds = head.startswith(GZIP) if ending == ".nii.gz" else head[:4] in NIFTI_HEADERS, True
    if not fits:
        raise InputError(f"{path} is no {ending} file inside, or is damaged: copy or export it again.")
    if not holds:
        raise InputError(f"{path} keeps its voxels in another file: save it as one .nrrd, .nii.gz or .mha file.")


def check_fits_memory(path: Path) -> None:
    """Refuse a file whose header says more voxels than this machine has memory for.

    A few bytes can say anything, and packed ones can keep it: a session that takes all memory takes it from the others.

    Args:
        path: a file that is self-contained; of a DICOM series the files are as large as it is.

    Raises:
        InputError: it is too large.
    """
    if is_dicom(path):
        return
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with itk_session():
        try:
            reader.ReadImageInformation()
        except RuntimeError:  # who reads it says why
            return
    needed = math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * BYTES_OF_VOXEL
    if needed > psutil.virtual_memory().available:
        raise InputError(
            f"{path} needs {needed / 1e9:.3g} GB of memory, more than there is left: crop or resample the image."
        )


def _nrrd_holds_voxels(head: bytes) -> bool:
    header, end, _ = head.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = header.lower().split(b"\n")
    named = any(field.replace(b" ", b"").startswith(b"datafile:") for field in fields)
    return bool(end) and not named and b"\r" not in header  # for readers, a carriage return alone ends a line, too


def _meta_holds_voxels(head: bytes) -> bool:
    """Readers pass over words that they do not know, and find other lines than these where one is not plain."""
    for line in head.split(b"\n"):
        key, _, value = line.removesuffix(b"\r").replace(b":", b"=", 1).partition(b"=")
        if not key.strip() or not value.strip() or b"\r" in key + value:
            return False
        if key.strip() == b"ElementDataFile":
            break
    named = head.lower()
    return 0 < named.count(b"elementdatafile") == len(_LOCAL.findall(named))
