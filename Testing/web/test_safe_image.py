"""A header cannot make the server read another file."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from sslseg.errors import InputError
from SSLSegmentWeb.safe_image import check_fits_memory, check_self_contained

IMAGE = sitk.GetImageFromArray(np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6))
NRRD = (
    b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nendian: little\n"
    b"space: left-posterior-superior\n"
)
META = b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\n"


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii", "a.nii.gz", "a.mha", "Ä b.seg.nrrd", "A.NII.GZ"])
def test_takes_what_is_whole(tmp_path, name):
    sitk.WriteImage(IMAGE, str(tmp_path / name.lower()))
    (tmp_path / name.lower()).rename(tmp_path / name)
    check_self_contained(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nrrd", NRRD + b"data file: /etc/passwd\n\n"),
        ("a.nrrd", NRRD + b"datafile: secret.raw\n\n"),
        ("a.nrrd", NRRD + b"Data File : secret.raw\n\n"),
        ("a.nrrd", NRRD.replace(b"\n", b"\r\n") + b"data file: secret.raw\r\n\r\n"),
        ("a.nrrd", NRRD + b"# " + b"x" * (1 << 20)),
        ("a.nrrd", NRRD + b"# a comment\rdata file: secret.raw\n\n"),
        ("a.nrrd", NRRD.replace(b"\n", b"\r") + b"data file: secret.raw\r\r\n\n"),
        ("a.mha", META + b"ElementDataFile = /etc/passwd\n"),
        ("a.mha", META + b"Comment = ElementDataFile = LOCAL\nElementDataFile = LIST\n"),
        ("a.mha", META + b"elementdatafile: secret.raw\n"),
        ("a.mha", b"elementdatafile = LOCAL\n" + META + b"ElementDataFile = secret.raw\n"),
        ("a.mha", b"Comment = a\rElementDataFile = LOCAL\n" + META + b"ElementDataFile = secret.raw\n"),
        ("a.mha", b"Comment = a\rElementDataFile = LOCAL\n" + b"Comment = b\n" * 100_000 + META),
        ("a.mha", META + b"Modality\nElementDataFile = LOCAL\nElementDataFile = secret.raw\n"),
        ("a.mha", META + b"Modality\nElementDataFile = LOCAL\n" + b"Comment = b\n" * 100_000),
        ("a.mha", META),
    ],
)
def test_refuses_a_header_that_names_another_file(tmp_path, name, content):
    (tmp_path / "secret.raw").write_bytes(bytes(16))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="in another file"):
        check_self_contained(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.nii", NRRD + b"data file: secret.raw\n\n", "no .nii file inside"),
        ("a.nii.gz", META, "no .nii.gz file inside"),
        ("a.nrrd", META, "no .nrrd file inside"),
        ("a.mha", b"\x89HDF\r\n\x1a\n", "no .mha file inside"),
        ("a.nii", b"\x89HDF\r\n\x1a\n", "no .nii file inside"),
        ("a.mhd", META, "ending that is not supported"),
        ("a.nhdr", NRRD, "ending that is not supported"),
        ("a.txt", b"text", "ending that is not supported"),
        ("a.nrrd", b"", "empty"),
    ],
)
def test_refuses_what_is_something_else(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        check_self_contained(tmp_path / name)


def test_looks_into_no_packed_file(tmp_path):
    """NIfTI names nothing: what is inside of the packed file is for the reader to judge."""
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"text"))
    check_self_contained(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["a.nrrd", "a.seg.nrrd", "a.nii.gz", "a.mha"])
def test_takes_what_fits_into_memory(tmp_path, name):
    sitk.WriteImage(IMAGE, str(tmp_path / name))
    check_fits_memory(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nrrd", NRRD.replace(b"2 2 2", b"30000 30000 30000") + b"\n"),
        ("a.nrrd", NRRD.replace(b"2 2 2", b"30000 30000 30000").replace(b"raw", b"gzip") + b"\n" + gzip.compress(b"")),
        ("a.mha", META.replace(b"2 2 2", b"30000 30000 30000") + b"ElementDataFile = LOCAL\n"),
    ],
)
def test_refuses_what_only_says_that_it_is_large(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"needs 2.16e\+05 GB of memory"):
        check_fits_memory(tmp_path / name)
