"""Image files: every geometry through every format, and one clear sentence for what cannot be used."""

import gzip
import json
import struct
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import SimpleITK as sitk
from synthetic import GEOMETRIES, assert_same_grid, make_geometry, make_labels, make_volume

from sslseg.errors import InputError, OutputError
from sslseg.integrity import has_only_finite_values
from sslseg.itk_io import use_utf8_file_names
from sslseg.volume import Volume, read_volume, write_array, write_volume

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
GRID = GEOMETRIES["oblique"]
IMAGE = make_volume(make_labels(GRID), GRID).array


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", sorted(GEOMETRIES))
def test_round_trip(folder, name, ending):
    geometry = GEOMETRIES[name]
    volume = make_volume(make_labels(geometry), geometry)
    path = folder / f"Bild ä{ending}"
    write_volume(volume, path)
    again = read_volume(path)
    assert again.name == path.name
    assert again.array.dtype == np.float32
    assert np.array_equal(again.array, volume.array)
    assert_same_grid(again.geometry, geometry)
    assert names_in(folder) == [path.name]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_pixel_types(tmp_path, dtype, ending):
    array = np.arange(8 * 20 * 18).reshape(8, 20, 18).astype(dtype)
    write_array(array, GRID, tmp_path / f"a{ending}")
    found = read_volume(str(tmp_path / f"a{ending}")).array
    assert found.dtype == np.float32
    assert np.array_equal(found, array.astype(np.float32))


def test_array_is_its_own_memory(tmp_path):
    """SimpleITK's view of an image would dangle once the image is gone."""
    write_array(IMAGE, GRID, tmp_path / "a.nrrd")
    array = read_volume(tmp_path / "a.nrrd").array
    assert array.flags.owndata
    assert array.flags.writeable
    assert array.flags.c_contiguous


def test_compression(tmp_path):
    write_array(make_labels(GRID), GRID, tmp_path / "plain.nrrd")
    write_array(make_labels(GRID), GRID, tmp_path / "packed.nrrd", compress=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("plain.nrrd", "packed.nrrd")]
    assert sizes[0] > make_labels(GRID).size > sizes[1]
    assert np.array_equal(read_volume(tmp_path / "plain.nrrd").array, read_volume(tmp_path / "packed.nrrd").array)


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "A.NII.GZ", "a.b.c.nrrd"])
def test_other_names_that_are_read(tmp_path, name):
    image = sitk.GetImageFromArray(IMAGE)
    sitk.WriteImage(image, str(tmp_path / name.lower()))
    (tmp_path / name.lower()).rename(tmp_path / name)
    assert np.array_equal(read_volume(tmp_path / name).array, IMAGE)


@pytest.mark.parametrize("ending", ENDINGS)
def test_fourth_axis_of_one_volume_is_dropped(tmp_path, ending):
    image = sitk.JoinSeries([sitk.GetImageFromArray(IMAGE)])
    image.SetSpacing((0.5, 0.6, 0.7, 1))
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    volume = read_volume(tmp_path / f"a{ending}")
    assert np.array_equal(volume.array, IMAGE)
    assert volume.geometry.spacing == pytest.approx((0.5, 0.6, 0.7))


@pytest.mark.parametrize("ending", ["", ".txt", ".png", ".nrrd.bak", ".gz"])
def test_unsupported_ending(tmp_path, ending):
    path = tmp_path / f"image{ending}"
    path.write_bytes(b"something")
    with pytest.raises(
        InputError, match=r"has an ending that is not supported: use \.nii\.gz, .* or \.mhd\.$"
    ) as caught:
        read_volume(path)
    assert str(path) in str(caught.value)
    with pytest.raises(InputError, match=r"ending that is not supported: use \.nii\.gz, \.nii, \.nrrd or \.mha\.$"):
        write_array(IMAGE, GRID, path)
    assert path.read_bytes() == b"something"


def with_value(value):
    array = IMAGE.copy()
    array[2, 3, 4] = value
    return sitk.GetImageFromArray(array)


BAD_IMAGES = {
    "2-D": (sitk.GetImageFromArray(IMAGE[0]), "is a 2-D image: give a 3-D volume"),
    "4-D": (sitk.JoinSeries([sitk.GetImageFromArray(IMAGE)] * 3), "is 4-D with 3 volumes: extract"),
    "RGB": (sitk.GetImageFromArray(np.stack([IMAGE] * 3, -1).astype(np.uint8), isVector=True), "3 values per voxel"),
    "vector": (sitk.GetImageFromArray(np.stack([IMAGE] * 2, -1), isVector=True), "2 values per voxel"),
    "NaN": (with_value(np.nan), "holds NaN or infinite values: replace"),
    "infinite": (with_value(np.inf), "holds NaN or infinite values: replace"),
    "minus infinite": (with_value(-np.inf), "holds NaN or infinite values: replace"),
    "constant": (sitk.GetImageFromArray(np.full((4, 5, 6), 7, np.int16)), "has the value 7 in every voxel"),
    "one voxel": (sitk.GetImageFromArray(np.full((1, 1, 1), 7, np.int16)), "has the value 7 in every voxel"),
}


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("fault", BAD_IMAGES)
def test_images_that_cannot_be_used(folder, fault, ending):
    image, words = BAD_IMAGES[fault]
    path = folder / f"a{ending}"
    sitk.WriteImage(image, str(path))
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert str(caught.value).startswith(f"{path} {words}"[: len(str(path)) + 1])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.98, 0.9999])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_truncated_file(folder, capfd, ending, packed, share):
    """NIfTI is read without complaint by SimpleITK: the rest is zeros or whatever lay in memory."""
    path = folder / f"a{ending}"
    noise = np.random.default_rng(0).integers(0, 1000, GRID.shape).astype(np.int16)
    write_array(noise, GRID, path, compress=packed)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"damaged.*copy or export it again") as caught:
        read_volume(path)
    assert str(caught.value).startswith(str(path))
    assert capfd.readouterr() == ("", ""), "the sentence is all that is told"


def test_single_missing_byte(tmp_path):
    write_array(IMAGE, GRID, tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(content[:-1])
    with pytest.raises(InputError, match="incomplete"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_damaged_compressed_file(tmp_path, ending, place):
    """SimpleITK reads most of these without complaint, with wrong voxels."""
    path = tmp_path / f"a{ending}"
    write_array(np.random.default_rng(0).integers(0, 4, GRID.shape).astype(np.int16), GRID, path, compress=True)
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_volume(path)


@pytest.mark.parametrize(("byte_order", "other"), [("<", ">"), (">", "<")])
def test_nan_is_seen_in_either_byte_order(tmp_path, byte_order, other):
    """A number may be NaN when its bytes are read the wrong way round."""
    header = struct.pack(f"{byte_order}i", 348) + bytes(348)
    harmless = np.full(100, np.nan, f"{other}f4").tobytes()
    (tmp_path / "a.nii").write_bytes(header + harmless + b"behind the voxels: " + bytes([255] * 8))
    assert has_only_finite_values(tmp_path / "a.nii", 352, 400, "f4")
    (tmp_path / "b.nii.gz").write_bytes(
        gzip.compress(header + harmless + np.full(1, np.inf, f"{byte_order}f4").tobytes())
    )
    assert has_only_finite_values(tmp_path / "b.nii.gz", 352, 400, "f4")
    assert not has_only_finite_values(tmp_path / "b.nii.gz", 352, 404, "f4")


def test_gzip_of_several_members(tmp_path):
    """As parallel gzip programs write them."""
    write_array(IMAGE, GRID, tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    assert np.array_equal(read_volume(tmp_path / "b.nii.gz").array, IMAGE)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "does not exist: check"), (b"", "is empty"), (b"not an image " * 99, "cannot be read")],
)
def test_no_image_in_the_file(folder, ending, content, words):
    path = folder / f"a{ending}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_volume(path)
    assert str(caught.value).startswith(str(path))


def test_file_as_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match="does not exist"):
        read_volume(tmp_path / "file" / "a.nrrd")


def test_detached_header_without_its_data(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(IMAGE), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_volume(tmp_path / "a.mhd")


def test_sheared_nifti(tmp_path):
    """A tilted gantry, as some converters write it: ITK has no such grid."""
    write_array(IMAGE, make_geometry(GRID.shape, spacing=(1, 1, 3)), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[252:256] = struct.pack("<hh", 0, 1)  # no qform, sform 1
    content[280:328] = struct.pack("<12f", -1, 0, 0, 0, 0, -1, 1.2, 0, 0, 0, 3, 0)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(InputError, match="axes are not perpendicular, so resample"):
        read_volume(tmp_path / "a.nii")


def test_array_of_another_shape_is_a_mistake_of_ours(tmp_path):
    with pytest.raises(ValueError, match="does not fit"):
        write_volume(Volume(IMAGE[1:], GRID), tmp_path / "a.nrrd")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_such_folder(tmp_path, ending):
    (tmp_path / "file").write_bytes(b"x")
    for place in ("missing", "file"):
        with pytest.raises(OutputError, match="cannot be written"):
            write_array(IMAGE, GRID, tmp_path / place / f"a{ending}")
    assert names_in(tmp_path) == ["file"]


FULL_DISK = """
import json, resource, signal, sys
import numpy as np
from sslseg.errors import OutputError
from sslseg.geometry import Geometry
from sslseg.volume import write_array
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing past the limit then fails like a full disk does
array = np.random.default_rng(0).integers(0, 255, (10, 100, 100)).astype(np.uint8)
for name, packed, size in json.loads(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        write_array(array, Geometry(array.shape), name, compress=packed)
    except OutputError as error:
        print(error)
    else:
        print("written without complaint")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of files")
def test_full_disk(folder):
    """At half of the file, and at its last bytes, which are only written when it is closed."""
    cases, older = [], {}
    for number, (ending, packed, size) in enumerate(product(ENDINGS, [False, True], [50_000, 99_000, 99_990])):
        path = folder / f"{number}{ending}"
        path.write_bytes(b"old")
        older[path.name] = b"old"
        cases.append((str(path), packed, size))
    child = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", FULL_DISK, json.dumps(cases)],
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    for (path, _, _), said in zip(cases, child.stdout.splitlines(), strict=True):
        assert said.startswith(f"{path} could not be written ("), said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == older


def test_file_names_are_utf8_on_windows():
    calls = []
    use_utf8_file_names("win32", lambda category, name: calls.append((category, name)) or name)
    assert [name for _, name in calls] == [".UTF8"]


def test_file_names_need_nothing_elsewhere():
    use_utf8_file_names("linux", lambda *_: pytest.fail("the locale is the user's"))
    use_utf8_file_names("darwin", lambda *_: pytest.fail("the locale is the user's"))
