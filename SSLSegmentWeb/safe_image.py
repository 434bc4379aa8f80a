"""Whether an image file is what its ending says, and holds its voxels itself."""

from __future__ import annotations

import struct
from pathlib import Path

from sslseg.dicom_series import is_dicom
from sslseg.errors import InputError
from sslseg.itk_io import WRITE_ENDINGS

HEADER_BYTES = 1 << 20
GZIP = b"\x1f\x8b"
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


def _nrrd_holds_voxels(head: bytes) -> bool:
    header, end, _ = head.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = header.lower().split(b"\n")
    return bool(end) and not any(field.replace(b" ", b"").startswith(b"datafile:") for field in fields)


def _meta_holds_voxels(head: bytes) -> bool:
    for line in head.splitlines():
        key, _, value = line.replace(b":", b"=", 1).partition(b"=")
        if key.strip().lower() == b"elementdatafile":
            return value.strip().lower() == b"local"
    return False
