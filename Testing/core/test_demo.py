"""The demo: a real image that a package ships, all results on disk, and an honest table."""

import re
import socket

import numpy as np
import pytest
import SimpleITK as sitk
from cli_files import runner
from matplotlib.image import imread
from nilearn.datasets import load_mni152_template

from sslseg.annotation import IGNORE, Annotation, default_segments
from sslseg.checkpoint import read_header
from sslseg.demo import AXIS, SEGMENTS, compare, copy_nearest, load_brain
from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels
from sslseg.volume import read_volume


@pytest.fixture(scope="module")
def brain():
    return load_brain(4)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the demo must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_the_image_lies_where_nilearn_says(brain, tmp_path):
    """Read back by SimpleITK from a file that nibabel wrote."""
    path = tmp_path / "template.nii.gz"
    load_mni152_template(resolution=4).to_filename(path)
    written = read_volume(path)
    assert written.geometry.difference(brain.volume.geometry) is None
    assert np.allclose(1000 * written.array, brain.volume.array, atol=1000 / 255), "the file keeps 256 grey values"


def test_three_slices_are_annotated_and_the_rest_is_not_known(brain):
    annotation = brain.annotation
    assert tuple(annotation.annotated_slices(AXIS)) == brain.annotated
    assert len(brain.annotated) == 3
    unseen = [index for part in brain.ranges() for index in part]
    assert not set(unseen) & set(brain.annotated)
    assert (np.delete(annotation.labels, brain.annotated, AXIS) == IGNORE).all()
    assert not np.delete(brain.reference.labels, [*unseen, *brain.annotated], AXIS).any(), "no structure is left out"


def test_copying_takes_the_nearest_slice():
    labels = np.full((6, 1, 1), IGNORE, np.uint8)
    labels[1], labels[4] = 1, 2
    annotation = Annotation(labels, Geometry(labels.shape), default_segments([1, 2]))
    assert copy_nearest(annotation, 0).ravel().tolist() == [1, 1, 1, 2, 2, 2]


def test_the_table_counts_only_slices_that_were_never_shown(brain):
    perfect = brain.reference.labels.copy()
    perfect[list(brain.annotated)] = 0
    scores = compare(brain, perfect)
    assert [score["mean_dice"] for score in scores] == [1] * len(scores)
    assert all(score["mean_dice_copied"] < 0.9 for score in scores)
    assert scores[-1]["slices"] == "all"
    wrong = np.where(perfect == 1, 2, perfect)
    assert compare(brain, wrong)[-1]["dice"]["Grey matter"] == 0


def test_without_nilearn_it_says_what_to_install(capfd, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nilearn.datasets", None)
    done = runner(capfd)("demo", "-o", tmp_path / "out")
    assert done.code == 1
    assert done.err == "Error: The demo uses the brain image of the package nilearn: pip install nilearn.\n"


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
def test_the_demo_leaves_everything_on_disk(capfd, tmp_path):
    folder = tmp_path / "Démo mit Lücke"
    done = runner(capfd)("demo", "-o", folder, "--time-limit", 4, "--device", "cpu")
    assert done.code == 0, done.err
    files = {path.name for path in folder.iterdir()}
    pictures = {name for name in files if re.fullmatch(r"slice_\d{3}\.png", name)}
    assert len(pictures) == 4
    assert files - pictures == {
        "annotation.nrrd", "curves.png", "image.nrrd", "model.safetensors", "reference.seg.nrrd",
        "segmentation.nii.gz", "segmentation.seg.nrrd", "slices.png", "uncertainty.nrrd",
    }  # fmt: skip
    geometry = read_volume(folder / "image.nrrd").geometry
    for name in ("annotation.nrrd", "reference.seg.nrrd", "segmentation.nii.gz", "segmentation.seg.nrrd"):
        assert read_dense_labels(folder / name).geometry.difference(geometry) is None
    assert read_dense_labels(folder / "segmentation.seg.nrrd").segments == SEGMENTS
    assert sitk.ReadImage(str(folder / "uncertainty.nrrd")).GetPixelID() == sitk.sitkFloat32
    assert [entry["name"] for entry in read_header(folder / "model.safetensors")["classes"]] == [
        "Grey matter",
        "White matter",
    ]
    for name in (*pictures, "slices.png", "curves.png"):
        picture = imread(folder / name)
        assert min(picture.shape[:2]) > 300
        assert picture[..., :3].std() > 0.05
    _check_table(done.out)


def _check_table(text):
    """All rows are there, and the last one beats copying even after so short a training."""
    rows = [line.split() for line in text.splitlines() if re.match(r"\s*(\d+-\d+|all)\s", line)]
    assert len(rows) == 5
    *_, mean, copied = rows[-1]
    assert float(mean) > float(copied)
