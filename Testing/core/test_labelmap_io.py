"""Label files: what counts as annotated, names and colours, and the way onto the grid of the image."""

import warnings

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio
from synthetic import GEOMETRIES, SEGMENTS, assert_same_grid, make_labels, make_volume

from sslseg.annotation import IGNORE, Segment, default_segments
from sslseg.errors import InputError, OutputError
from sslseg.labelmap_io import LABEL_ENDINGS, check_label_ending, read_dense_labels, read_labels, write_labels
from sslseg.volume import write_array

GRID = GEOMETRIES["anisotropic"]  # 8 slices of 8 mm along K
LABELS = make_labels(GRID)
COLUMN = np.where(np.arange(18) == 9, LABELS, 0)
NAMES = sorted(GEOMETRIES)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def save(path, array, geometry=GRID):
    write_array(np.asarray(array), geometry, path)
    return path


def refusal(path, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        read_labels(path, *args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def kept(labels, slices, rest):
    """``labels`` in ``slices`` along K, ``rest`` elsewhere."""
    result = np.full_like(labels, rest)
    result[list(slices)] = labels[list(slices)]
    return result


# Writing and reading back


@pytest.mark.parametrize("ending", LABEL_ENDINGS)
@pytest.mark.parametrize("name", NAMES)
def test_round_trip(folder, name, ending):
    geometry = GEOMETRIES[name]
    labels = make_labels(geometry)
    labels[:, 0, 0] = IGNORE
    path = folder / f"Etikett ä{ending}"
    write_labels(labels, geometry, SEGMENTS, path)
    assert names_in(folder) == [path.name]
    alone = read_dense_labels(path)
    assert np.array_equal(alone.labels, labels)
    assert alone.labels.dtype == np.uint8
    assert_same_grid(alone.geometry, geometry)
    onto = read_dense_labels(str(path), geometry)
    assert np.array_equal(onto.labels, labels)
    assert onto.geometry == geometry
    assert [s.label_value for s in onto.segments] == [1, 2]


@pytest.mark.parametrize("ending", LABEL_ENDINGS)
def test_label_values_of_the_user_are_kept(folder, ending):
    segments = (Segment("late", (1, 0, 0), 200, "a"), Segment("early", (0, 1, 0), 7, "b"))
    write_labels(LABELS, GRID, segments, folder / f"a{ending}")
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"a{ending}")))
    assert np.array_equal(stored, np.choose(LABELS, [0, 200, 7]))


def test_plain_label_map_has_classes_in_the_order_of_their_values(tmp_path):
    found = read_dense_labels(save(tmp_path / "a.nrrd", np.choose(LABELS, [0, 200, 7]).astype(np.int16)))
    assert np.array_equal(found.labels, np.choose(LABELS, [0, 2, 1]))
    assert found.segments == default_segments([7, 200])


def test_segmentation_keeps_what_slicer_knows(folder):
    segments = (*SEGMENTS, Segment("Größe: 5|x, leer", (0.123456789, 0.5, 1.0), 9, "the id"))
    write_labels(LABELS, GRID, segments, folder / "a.seg.nrrd")
    found = read_dense_labels(folder / "a.seg.nrrd")
    assert found.segments == segments
    assert found.n_classes == 4  # the empty one is a class


def test_label_values_that_clash_are_numbered_anew(folder):
    segments = (Segment("a", (1, 0, 0), 1, "a"), Segment("b", (0, 1, 0), 1, "b"))
    write_labels(LABELS, GRID, segments, folder / "a.seg.nrrd")
    found = read_dense_labels(folder / "a.seg.nrrd")
    assert np.array_equal(found.labels, LABELS)
    assert [(s.name, s.label_value) for s in found.segments] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("name", NAMES)
def test_slicerio_reads_the_segmentation(folder, name):
    geometry = GEOMETRIES[name]
    labels = make_labels(geometry)
    write_labels(labels, geometry, SEGMENTS, folder / "a.seg.nrrd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = slicerio.read_segmentation(str(folder / "a.seg.nrrd"))
    assert np.array_equal(found["voxels"].transpose(2, 1, 0), labels)
    assert np.allclose(found["ijkToLPS"], geometry.affine, rtol=0, atol=1e-4)
    liver, tumour = found["segments"]
    assert (liver["name"], liver["id"], liver["labelValue"], liver["color"]) == (
        "Liver",
        "liver_id",
        1,
        [0.8, 0.4, 0.3],
    )
    assert liver["terminology"]["type"] == ["SCT", "10200004", "Liver"]
    assert (tumour["name"], tumour["labelValue"]) == ("Tumour of the liver", 2)


def test_class_without_a_segment_is_a_mistake_of_ours(tmp_path):
    with pytest.raises(ValueError, match="above 1"):
        write_labels(LABELS, GRID, SEGMENTS[:1], tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a.png", "a.seg.nhdr", "a", "a.nii.zip", "a.mhd"])
def test_unsupported_ending(tmp_path, name):
    sentence = r"ending that is not supported: use \.seg\.nrrd, \.nii\.gz, \.nii, \.nrrd or \.mha\.$"
    with pytest.raises(InputError, match=sentence):
        check_label_ending(tmp_path / name)
    with pytest.raises(InputError, match=sentence):
        write_labels(LABELS, GRID, SEGMENTS, tmp_path / name)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.seg.nrrd", ".seg.nrrd"), ("a.nrrd", ".nrrd"), ("A.NII.GZ", ".nii.gz"), ("a.seg.nii.gz", ".nii.gz")],
)
def test_ending(name, ending):
    assert check_label_ending(name) == ending


def test_no_such_folder(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_labels(LABELS, GRID, SEGMENTS, tmp_path / "missing" / "a.seg.nrrd")


# What is annotated


@pytest.mark.parametrize(
    ("array", "arguments", "expected", "axis", "rule"),
    [
        pytest.param(
            LABELS, {"slices": [2, 5]}, kept(LABELS, [2, 5], IGNORE), 0, "slices 2, 5 along axis 0 (K)", id="named"
        ),
        pytest.param(
            LABELS, {"slices": [0, 4]}, kept(LABELS, [0, 4], IGNORE), 0, "only the named", id="named and empty"
        ),
        pytest.param(
            kept(LABELS, [3, 4], IGNORE), {"slices": [4, 6]}, kept(LABELS, [4], IGNORE), 0, "slice 4 along",
            id="named, but 255 there",
        ),
        pytest.param(
            LABELS, {"slices": [9], "axis": 1},
            np.where(np.arange(20)[:, None] == 9, LABELS, IGNORE), 1, "slice 9 along axis 1 (J)", id="named along J",
        ),
        pytest.param(
            kept(LABELS, [0, 2, 3, 4, 6], IGNORE), {}, kept(LABELS, [0, 2, 3, 4, 6], IGNORE), 0,
            "slices 0, 2-4, 6 along axis 0 (K); 255 marks", id="255",
        ),
        pytest.param(kept(LABELS, [3, 5], 0), {}, kept(LABELS, [3, 5], IGNORE), 0, "no 255", id="labelled slices"),
        pytest.param(
            kept(LABELS, [2, 3, 4, 5], 0), {}, kept(LABELS, [2, 3, 4, 5], IGNORE), 0, "slices 2-5", id="half of them"
        ),
        pytest.param(
            COLUMN, {}, np.where(np.arange(18) == 9, LABELS, IGNORE), 2,
            "slice 9 along axis 2 (I); the file has no 255, so only", id="labelled along I",
        ),
        pytest.param(
            COLUMN, {"axis": 0}, np.where(COLUMN.any(axis=(1, 2), keepdims=True), COLUMN, IGNORE), 0,
            "along axis 0 (K)", id="axis of the user",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_what_is_annotated(folder, array, arguments, expected, axis, rule, ending):
    path = save(folder / f"a{ending}", np.asarray(array, np.uint8))
    found = read_labels(path, GRID, **arguments)
    assert np.array_equal(found.annotation.labels, expected)
    assert found.axis == axis
    assert rule in found.rule
    assert found.rule.startswith(path.name)
    assert found.rule.endswith(".")


def test_scribbles(folder):
    labels = np.full(GRID.shape, IGNORE, np.uint8)
    labels[3, 4:9, 5], labels[3, 2, 2:12], labels[6, 5:8, 9] = 1, 0, 2
    found = read_labels(save(folder / "a.nrrd", labels), GRID)
    assert np.array_equal(found.annotation.labels, labels)
    assert found.axis == 0
    assert found.annotation.annotated_slices(0) == [3, 6]


def test_segment_that_is_empty_stays_a_class(folder):
    write_labels(kept(LABELS, [0, 1], 0), GRID, SEGMENTS, folder / "a.seg.nrrd")
    found = read_labels(folder / "a.seg.nrrd", GRID, slices=[0, 1])
    assert 2 not in found.annotation.labels
    assert found.annotation.segments == SEGMENTS


def test_one_class(folder):
    found = read_labels(save(folder / "a.nrrd", kept(LABELS > 0, [3], 0).astype(np.uint8)))
    assert found.annotation.n_classes == 2


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64", "float32", "float64"])
def test_pixel_types(folder, dtype):
    found = read_dense_labels(save(folder / "a.nrrd", LABELS.astype(dtype)), GRID)
    assert np.array_equal(found.labels, LABELS)


def test_no_file_has_too_many_classes_up_to_254(folder):
    labels = np.zeros(GRID.shape, np.uint8)
    labels.flat[:2000] = np.repeat(np.arange(200), 10) + 55
    labels.flat[2000:2540] = np.repeat(np.arange(54), 10) + 1
    found = read_dense_labels(save(folder / "a.nrrd", np.where(labels == IGNORE, 0, labels)))
    assert found.n_classes == 255


# Bad input


def image_like(dtype, high):
    array = make_volume(LABELS, GRID, noise=30).array
    return np.interp(array, (array.min(), array.max()), (0, high)).astype(dtype)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(GRID.shape, np.uint8), "holds only background: draw"),
        (np.full(GRID.shape, IGNORE, np.uint8), "has no annotated slice: annotate"),
        (kept(np.zeros_like(LABELS), [3], IGNORE), "holds only background: draw"),
        (LABELS.astype(np.int16) - 1, "holds negative values (down to -1): give a label map"),
        (LABELS * np.uint16(200), "holds the label 400, which is above 254: give a label map"),
        (LABELS * np.float32(0.5), "holds values that are not whole numbers: give a label map"),
        (np.where(LABELS, np.nan, 0).astype(np.float32), "holds values that are not whole numbers: give a label map"),
        (image_like(np.uint8, 250), "looks like an image, as its values change from voxel to voxel: give a label map"),
        (image_like(np.int16, 1000), "holds the label 1000, which is above 254: give a label map"),
        (make_volume(LABELS, GRID).array, "holds values that are not whole numbers"),
    ],
)
def test_no_labels(folder, array, words):
    path = save(folder / "a.nrrd", array)
    assert refusal(path, GRID).startswith(f"{path} {words}")


def test_nan_in_nifti_labels(folder):
    """SimpleITK reads it as 0, that is as background."""
    path = save(folder / "a.nii.gz", np.where(LABELS, LABELS, np.nan).astype(np.float32))
    assert refusal(path, GRID).startswith(f"{path} holds NaN")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"slices": []}, "No slice is named"),
        ({"slices": [3, 8]}, "Slice 8 does not exist: along axis 0 (K) the volume has slices 0 to 7"),
        ({"slices": [-1]}, "Slice -1 does not exist"),
        ({"slices": [18], "axis": 2}, "Slice 18 does not exist: along axis 2 (I) the volume has slices 0 to 17"),
        ({"slices": [0, 7]}, "a.nrrd holds only background"),
    ],
)
def test_wrong_slices(folder, arguments, words):
    assert words in refusal(save(folder / "a.nrrd", LABELS), GRID, **arguments)


def test_named_slices_that_the_file_calls_unknown(folder):
    path = save(folder / "a.nrrd", kept(LABELS, [3], IGNORE))
    assert refusal(path, GRID, slices=[5]).startswith(f"{path} has no annotated slice")


def test_rgb_labels(folder):
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([LABELS] * 3, axis=-1), isVector=True), str(folder / "a.nrrd"))
    assert (
        refusal(folder / "a.nrrd") == f"{folder / 'a.nrrd'} has 3 values per voxel (RGB or vector): give a label map."
    )


@pytest.mark.parametrize("ending", LABEL_ENDINGS)
def test_file_that_cannot_be_read(folder, ending):
    path = folder / f"a{ending}"
    assert refusal(path) == f"{path} does not exist: check the path."
    write_labels(LABELS, GRID, SEGMENTS, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert refusal(path).startswith(f"{path} ")
    path.write_bytes(b"")
    assert refusal(path).startswith(f"{path} is empty")


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.png", "ending that is not supported"), ("", "is a folder: give a file"), ("2d.nrrd", "is a 2-D image")],
)
def test_file_of_another_kind(folder, name, words):
    (folder / "a.png").write_bytes(b"x")
    sitk.WriteImage(sitk.GetImageFromArray(LABELS[0]), str(folder / "2d.nrrd"))
    assert words in refusal(folder / name)


@pytest.mark.data
@pytest.mark.parametrize(
    ("image", "labels", "classes"),
    [
        ("abdomen/ct", "abdomen/ct_labels", 41),
        ("spine/mr_image", "spine/mr_subregion_labels", 13),
        ("brain/colin27_t1", "brain/colin27_aal_labels", 116),
        ("acdc/patient002_ED", "acdc/patient002_ED_gt", 3),
    ],
)
def test_real_labels_and_the_image_in_their_place(data_dir, image, labels, classes):
    assert len(read_dense_labels(data_dir / f"{labels}.nii.gz").segments) == classes
    assert "give a label map" in refusal(data_dir / f"{image}.nii.gz")
