"""What a page may open of the server's folder."""

import shutil

import pytest

from sslseg.errors import InputError
from SSLSegmentWeb.data_folder import DataFolder


@pytest.fixture
def root(tmp_path):
    """A folder with images, and something private beside it."""
    root = tmp_path / "data"
    for name in ("b.nii.gz", "A.NRRD", "sub dir/ü.mha", "sub dir/notes.txt", ".hidden/c.nrrd", "sub dir/.d.nrrd"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    (tmp_path / "private.nrrd").write_bytes(b"secret")
    return root


def test_lists_images_below_the_folder(root):
    assert DataFolder(root).names() == ["A.NRRD", "b.nii.gz", "sub dir/ü.mha"]


def test_opens_what_it_lists(root):
    folder = DataFolder(root)
    assert [folder.path(name) for name in folder.names()] == [(root / name).resolve() for name in folder.names()]


@pytest.mark.parametrize(
    "name",
    [
        "../private.nrrd", "sub dir/../../private.nrrd", "..", "missing.nrrd", "a\0b", "/etc/passwd", "b.nii.gz/x",
        "", ".", ".hidden", ".hidden/c.nrrd", "sub dir/.d.nrrd", "sub dir/notes.txt",
    ],
)  # fmt: skip
def test_opens_nothing_else(root, name):
    with pytest.raises(InputError, match="There is no file"):
        DataFolder(root).path(name)


def test_follows_no_link_out_of_the_folder(root):
    (root / "link.nrrd").symlink_to(root.parent / "private.nrrd")
    (root / "out").symlink_to(root.parent, target_is_directory=True)
    (root / "inside.nrrd").symlink_to(root / "A.NRRD")
    folder = DataFolder(root)
    assert folder.names() == ["A.NRRD", "b.nii.gz", "inside.nrrd", "sub dir/ü.mha"]
    for name in ("link.nrrd", "out/private.nrrd", "out"):
        with pytest.raises(InputError):
            folder.path(name)


def test_ends_although_links_go_round(root):
    (root / "round").symlink_to(root, target_is_directory=True)
    assert DataFolder(root).names() == ["A.NRRD", "b.nii.gz", "sub dir/ü.mha"]


@pytest.mark.data
def test_offers_a_dicom_series_as_its_folder(root, data_dir):
    source = next(folder for folder in (data_dir / "sunnybrook" / "dicom").iterdir() if folder.is_dir())
    shutil.copytree(source, root / "series")
    folder = DataFolder(root)
    assert "series" in folder.names()
    (root / "series" / "zz").symlink_to(root.parent / "private.nrrd")
    with pytest.raises(InputError, match="links that lead out"):
        folder.path("series")


def test_without_a_folder_there_is_nothing():
    assert DataFolder(None).names() == []
    with pytest.raises(InputError):
        DataFolder(None).path("private.nrrd")
