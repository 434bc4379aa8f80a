"""Folders of small unlabelled images for tests of the pretraining."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from synthetic import make_geometry, make_labels, make_volume

from sslseg.volume import write_array, write_volume

GRID = make_geometry((6, 40, 36), spacing=(1.0, 1.0, 4.0))


def image_array(seed=0, geometry=GRID) -> np.ndarray:
    """An image with shapes, smooth texture and a little noise."""
    coarse = np.random.default_rng(seed).normal(0, 25, (1, 1, *(max(2, n // 4) for n in geometry.shape)))
    texture = torch.nn.functional.interpolate(torch.from_numpy(coarse), geometry.shape, mode="trilinear")[0, 0].numpy()
    return (make_volume(make_labels(geometry), geometry, seed=seed, noise=4).array + texture).astype(np.float32)


def write_images(folder: Path, count=2, *, geometry=GRID) -> Path:
    """``count`` images as NRRD files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write_array(image_array(number, geometry), geometry, folder / f"image{number}.nrrd")
    return folder


def write_frames(path: Path, count=3) -> Path:
    """A 4-D file."""
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(image_array(n)) for n in range(count)]), str(path))
    return path


def write_mess(folder: Path) -> Path:
    """Two images that can be read and one of every kind that cannot."""
    write_images(folder, 2)
    labels = make_labels(GRID)
    write_volume(make_volume(labels, GRID), folder / "image2_gt.nrrd")  # left out by its name
    (folder / "labelsTr").mkdir()
    write_array(labels, GRID, folder / "labelsTr" / "image0.nii.gz")  # and by that of its folder
    write_array(labels, GRID, folder / "organs.nii.gz")  # by its values
    write_array(np.full(GRID.shape, 7.0, np.float32), GRID, folder / "constant.nii.gz")
    broken = image_array()
    broken[2, 3, 4] = np.nan
    write_array(broken, GRID, folder / "nan.nii.gz")
    whole = (folder / "image0.nrrd").read_bytes()
    (folder / "cut.nrrd").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mha").write_bytes(b"")
    sitk.WriteImage(sitk.GetImageFromArray(image_array()[0]), str(folder / "flat.mha"))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(folder / "rgb.mha"))
    (folder / "notes.txt").write_text("not an image", encoding="utf-8")
    return folder
