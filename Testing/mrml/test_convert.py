"""The command that turns a segmentation into other formats and into a picture."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_cases import GEOMETRIES, NO_OPENGL, some_labels, some_segments

from sslseg.labelmap_io import read_dense_labels, write_labels
from sslseg.volume import write_array
from SSLSegmentLib import render


@pytest.fixture
def files(tmp_path):
    """A volume and a segmentation of it."""
    geometry = GEOMETRIES["oblique"]
    write_array(np.arange(720, dtype=np.int16).reshape(geometry.shape), geometry, tmp_path / "Bild é.nrrd")
    write_labels(some_labels(geometry.shape), geometry, some_segments(), tmp_path / "Etiketten.seg.nrrd")
    return tmp_path / "Bild é.nrrd", tmp_path / "Etiketten.seg.nrrd"


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "SSLSegmentLib.convert", *map(str, arguments)],
        env=os.environ | environment, capture_output=True, encoding="utf-8", check=False, timeout=120,
    )  # fmt: skip


def test_formats_are_written_and_named(files, tmp_path):
    done = run(*files, "--out-dir", tmp_path / "neu", "--formats", "nii.gz,stl", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    written = json.loads(done.stdout)["files"]
    assert sorted(written) == sorted(str(path) for path in (tmp_path / "neu").iterdir())
    assert [name for name in written if name.endswith(".stl")]
    expected = read_dense_labels(files[1]).labels
    assert np.array_equal(read_dense_labels(tmp_path / "neu" / "Etiketten.nii.gz").labels, expected)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a window system")
def test_without_opengl_it_says_so_and_succeeds(files, tmp_path):
    done = run(*files, "--out-dir", tmp_path / "neu", "--picture", tmp_path / "x.png", **NO_OPENGL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("install the Debian packages libegl1") == 1
    assert not (tmp_path / "x.png").exists()
    assert (tmp_path / "neu" / "Etiketten.seg.nrrd").exists()


def test_picture_is_drawn(files, tmp_path):
    reason = render.rendering_available()
    if reason:
        pytest.skip(reason)
    target = tmp_path / "Bild 1 é.png"
    done = run(*files, "--out-dir", tmp_path / "neu", "--picture", target)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Wrote {target}." in done.stdout
    assert sitk.ReadImage(str(target)).GetSize() == (900, 900)


@pytest.mark.parametrize(
    ("segmentation", "formats", "expected"),
    [
        ("missing.seg.nrrd", "stl", "missing.seg.nrrd does not exist: check the path."),
        ("Etiketten.seg.nrrd", "docx", "'docx' is no export format: choose from"),
        ("Etiketten.seg.nrrd", "dcm", "DICOM"),
    ],
)
def test_bad_input_gets_one_sentence(files, tmp_path, segmentation, formats, expected):
    done = run(files[0], tmp_path / segmentation, "--out-dir", tmp_path / "neu", "--formats", formats)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert not (tmp_path / "neu").exists() or not list((tmp_path / "neu").iterdir())
