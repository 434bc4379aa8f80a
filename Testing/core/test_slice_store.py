"""Finding images and keeping their slices: nothing is lost, nothing odd gets in, and old slices are never used."""

import json
import os

import numpy as np
import pytest
import torch
from pretrain_files import GRID, image_array, write_frames, write_images, write_mess
from synthetic import make_geometry
from test_dicom_series import write_series

from sslseg.errors import InputError, SSLSegError
from sslseg.pretrain_data import find_data_sets, fingerprint
from sslseg.progress import ignore_progress, never_stop
from sslseg.slice_store import open_store
from sslseg.slices import InPlaneGrid, SliceStack
from sslseg.volume import Volume, write_array


def opened(folder, places, **options):
    options = {
        "on_progress": ignore_progress,
        "should_stop": never_stop,
        "max_pixels": 32,
        "spacing_mm": None,
    } | options
    return open_store(folder, find_data_sets(places), **options)


def reference(array, geometry=GRID, size=(32, 29)):
    """All slices of a volume, as the fine-tuning sees them."""
    rows, columns = array.shape[1:]
    stack = SliceStack.from_volume(Volume(array, geometry), 0, InPlaneGrid((rows, columns), size), torch.device("cpu"))
    return list(stack.images[:, 0].half().numpy())


def test_slices_are_those_of_the_fine_tuning(tmp_path):
    store = opened(tmp_path / "store", [write_images(tmp_path / "Bilder mit Lücke", 3)])
    expected = [image for number in range(3) for image in reference(image_array(number))]
    assert len(store) == len(expected) == 18
    for found, wanted in zip(store, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert isinstance(store.values, np.memmap)
    assert store.skipped == ()


def test_every_frame_of_a_4d_file_counts(tmp_path):
    path = write_frames(tmp_path / "cine.nii.gz", 3)
    store = opened(tmp_path / "store", [path], max_pixels=64)
    expected = [image for number in range(3) for image in reference(image_array(number), size=(40, 36))]
    assert len(store) == 18
    for found, wanted in zip(store, expected, strict=True):
        np.testing.assert_allclose(found.astype(float), wanted.astype(float), atol=2e-3)


def test_dicom_series_are_found_in_sub_folders(tmp_path):
    geometry = make_geometry((5, 24, 20), spacing=(1.0, 1.0, 3.0))
    image = np.rint(image_array(1, geometry)).astype(np.int16)
    (tmp_path / "data").mkdir()
    write_series(tmp_path / "data" / "patient", geometry, image)
    write_series(tmp_path / "data" / "patient", geometry, image, prefix="b", SeriesInstanceUID="1.2.3.5")
    (data_set,) = find_data_sets([tmp_path / "data"])
    assert len(data_set.sources) == 2
    store = opened(tmp_path / "store", [tmp_path / "data"])
    assert len(store) == 10
    (tmp_path / "data" / "patient" / "b000.dcm").write_bytes(b"damaged")
    assert fingerprint([data_set]) not in store.key


def test_a_damaged_series_is_said(tmp_path):
    (tmp_path / "data" / "series").mkdir(parents=True)
    (tmp_path / "data" / "series" / "a.dcm").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"None of the 1 images found can be used \(.*a\.dcm is a damaged DICOM"):
        opened(tmp_path / "store", [tmp_path / "data"])


def test_slices_run_along_the_coarsest_axis(tmp_path):
    geometry = make_geometry((30, 8, 28), spacing=(1.0, 5.0, 1.0))
    write_array(image_array(0, geometry), geometry, tmp_path / "coronal.nrrd")
    store = opened(tmp_path / "store", [tmp_path / "coronal.nrrd"])
    assert [tuple(image.shape) for image in store] == [(30, 28)] * 8


def test_pixel_size_can_be_fixed(tmp_path):
    store = opened(tmp_path / "store", [write_images(tmp_path / "data", 1)], spacing_mm=2.0)
    assert store[0].shape == (20, 18)


def test_slices_that_show_nothing_are_left_out(tmp_path):
    array = image_array()
    array[1] = array.min()
    array[4] = array.min() + np.random.default_rng(0).normal(0, 0.01, array[4].shape)
    write_array(array, GRID, tmp_path / "image.nrrd")
    assert len(opened(tmp_path / "store", [tmp_path / "image.nrrd"])) == 4


def test_what_cannot_be_used_is_skipped_and_said(tmp_path):
    said = []
    store = opened(tmp_path / "store", [write_mess(tmp_path / "data")], on_progress=said.append)
    assert len(store) == 12
    for name in ("organs", "constant", "nan", "cut", "empty", "flat", "rgb"):
        assert sum(name in reason for reason in store.skipped) == 1, name
    assert len(store.skipped) == 7
    assert [p.message for p in said if p.message] == [f"Skipped: {reason}" for reason in store.skipped]
    assert (said[-1].step, said[-1].steps) == (9, 9)


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights on Windows")
def test_a_link_to_nowhere_is_skipped(tmp_path):
    data = write_images(tmp_path / "data", 1)
    (data / "gone.nii.gz").symlink_to(tmp_path / "nowhere.nii.gz")
    store = opened(tmp_path / "store", [data])
    assert len(store) == 6
    assert store.skipped == (f"{data / 'gone.nii.gz'} does not exist: check the path.",)


def test_what_is_said_while_images_are_read_is_heard(tmp_path, capfd):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(60):
        write_array(image_array(number), GRID, data / f"{number}.mha")  # ITK's reader of these prints past Python
    opened(tmp_path / "store", [data], on_progress=lambda p: os.write(2, f"{p.step} ".encode()))
    os.write(2, b"done")
    assert capfd.readouterr().err == " ".join([*map(str, range(1, 61)), "done"])


def test_a_store_is_built_once_and_again_when_data_change(tmp_path):
    data = write_images(tmp_path / "data", 2)
    first = opened(tmp_path / "store", [data])
    reports = []
    assert opened(tmp_path / "store", [data], on_progress=reports.append).key == first.key
    assert reports == []
    assert opened(tmp_path / "store", [data], max_pixels=16).key != first.key
    os.utime(data / "image1.nrrd", ns=(1, 1))
    assert opened(tmp_path / "store", [data]).key != first.key
    (data / "image1.nrrd").unlink()
    assert len(opened(tmp_path / "store", [data])) == 6


def test_an_interrupted_store_leaves_nothing(tmp_path):
    data = write_images(tmp_path / "data", 2)
    with pytest.raises(SSLSegError, match="Stopped"):
        opened(tmp_path / "store", [data], should_stop=lambda: True)
    assert list((tmp_path / "store").iterdir()) == []


def manifest(folder, entries, name="manifest.json"):
    path = folder / name
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries), encoding="utf-8")
    return path


def test_a_manifest_names_data_sets(tmp_path):
    write_images(tmp_path / "heart", 1)
    write_images(tmp_path / "more", 2)
    yaml = "data_sets:\n- {name: a, path: heart, modality: MR, anatomy: heart, licence: CC0}\n- {name: b, path: more}\n"
    for path in (
        manifest(tmp_path, yaml, "m.yaml"),
        manifest(tmp_path, [{"name": "a", "path": "heart", "modality": "MR", "anatomy": "heart", "licence": "CC0"},
                            {"name": "b", "path": "more"}]),
    ):  # fmt: skip
        first, second = found = find_data_sets([path])
        assert (first.group, second.group) == ("MR heart", "b")
        assert (first.licence, second.licence) == ("CC0", "not stated")
        assert [len(data_set.sources) for data_set in found] == [1, 2]
        assert list(opened(tmp_path / "store", [path]).domains) == [0] * 6 + [1] * 12


def test_a_manifest_leaves_files_out_and_knows_variables_of_the_environment(tmp_path, monkeypatch):
    names = sorted(path.name for path in write_images(tmp_path / "elsewhere" / "images", 3).iterdir())
    monkeypatch.setenv("SCANS", str(tmp_path / "elsewhere"))
    entry = {"name": "a", "path": "$SCANS/images", "leave_out": [f"{names[0][:-5]}*", names[2]]}
    (found,) = find_data_sets([manifest(tmp_path, [entry])])
    assert [source.name for source in found.sources] == [names[1]]
    assert "path" not in found.as_dict()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"name": "a", "path": "missing"}], "missing does not exist"),
        ([{"name": "a", "path": "x"}, {"name": "a", "path": "x"}], "Two data sets are called 'a'"),
        ([{"name": "a"}], "without a name or a path"),
        ([{"name": "a", "path": "x", "license": "CC0"}], "unknown field 'license'"),
        ([{"name": "a", "path": "x", "leave_out": "y*"}], "leaves out 'y\\*' of 'a'"),
        ([], "not a manifest"),
        ({"name": "a"}, "not a manifest"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        find_data_sets([manifest(tmp_path, entries)])


def test_nothing_to_read_is_an_error(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="No images were found"):
        find_data_sets([tmp_path / "data"])
    write_array(np.zeros(GRID.shape, np.float32), GRID, tmp_path / "data" / "constant.nrrd")
    with pytest.raises(InputError, match="None of the 1 images"):
        opened(tmp_path / "store", [tmp_path / "data"])
    assert list((tmp_path / "store").iterdir()) == []
