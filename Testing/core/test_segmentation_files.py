"""Label files that are a part of the image, or stored in another order, and those that Slicer writes."""

import numpy as np
import pytest
import SimpleITK as sitk
from synthetic import GEOMETRIES, SEGMENTS, make_geometry, make_labels

from sslseg.annotation import IGNORE, Segment
from sslseg.errors import InputError
from sslseg.geometry import Geometry
from sslseg.itk_io import to_image
from sslseg.labelmap_io import read_dense_labels, read_labels, write_labels

GRID = GEOMETRIES["anisotropic"]
LABELS = make_labels(GRID)
NAMES = sorted(GEOMETRIES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz", ".mha"])
def test_box_around_the_segments_is_put_back(folder, name, ending):
    """As Slicer saves a segmentation, or somebody a crop."""
    geometry = GEOMETRIES[name]
    labels = make_labels(geometry)
    box = tuple(slice(int(a.min()), int(a.max()) + 1) for a in np.nonzero(labels))
    begin = [s.start for s in box]
    affine = geometry.affine
    affine[:3, 3] = (affine @ (*begin[::-1], 1))[:3]
    part = Geometry.from_affine(labels[box].shape, affine)
    write_labels(labels[box], part, SEGMENTS, folder / f"a{ending}")
    assert np.array_equal(read_dense_labels(folder / f"a{ending}", geometry).labels, labels)
    # Nothing is known outside of a file that says what is not annotated.
    partly = labels[box].copy()
    partly[0, 0, 0] = IGNORE
    expected = np.full_like(labels, IGNORE)
    expected[box] = partly
    write_labels(partly, part, SEGMENTS, folder / f"b{ending}")
    assert np.array_equal(read_dense_labels(folder / f"b{ending}", geometry).labels, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("orientation", ["RAI", "LPS", "PIR", "SAL"])
def test_other_order_of_the_same_voxels(folder, name, orientation):
    """SimpleITK's own reorientation as the reference: axes swapped and reversed, no voxel moved."""
    geometry = GEOMETRIES[name]
    labels = make_labels(geometry)
    turned = sitk.DICOMOrient(to_image(labels, geometry), orientation)
    sitk.WriteImage(turned, str(folder / "a.nrrd"))
    assert np.array_equal(read_dense_labels(folder / "a.nrrd", geometry).labels, labels)


def test_label_map_of_a_part_of_the_image_is_mentioned(folder):
    """It may be a crop, or else a slice was lost: the user decides. A segmentation of Slicer is a part as a rule."""
    part = Geometry((7, 20, 18), GRID.spacing, GRID.origin, GRID.direction)
    write_labels(LABELS[:7], part, SEGMENTS, folder / "a.nrrd")
    write_labels(LABELS[:7], part, SEGMENTS, folder / "a.seg.nrrd")
    for slices in (None, [3]):
        assert (
            "; it covers 18 x 20 x 7 of 18 x 20 x 8 voxels." in read_labels(folder / "a.nrrd", GRID, slices=slices).rule
        )
        assert "covers" not in read_labels(folder / "a.seg.nrrd", GRID, slices=slices).rule
        assert "covers" not in read_labels(folder / "a.nrrd", slices=slices).rule


def test_file_that_reaches_beyond_the_image(folder):
    part = Geometry((4, 10, 9), GRID.spacing, tuple((GRID.affine @ (6, 5, 2, 1))[:3]), GRID.direction)
    write_labels(LABELS, GRID, SEGMENTS, folder / "a.seg.nrrd")
    assert np.array_equal(read_dense_labels(folder / "a.seg.nrrd", part).labels, LABELS[2:6, 5:15, 6:15])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (make_geometry((8, 20, 18), spacing=(0.7, 0.9, 8.0)), "it lies up to 0.95 mm away"),
        (make_geometry((8, 20, 18), spacing=(0.7, 0.85, 8.0), origin=(-31.2, 20.25, 117)), "it lies up to 0.3 mm away"),
        (make_geometry((8, 20, 17), spacing=(0.8, 0.85, 8.0)), "its size is 17 x 20 x 8 voxels instead of 18 x 20 x 8"),
        (make_geometry((8, 20, 18), spacing=(0.7, 0.85, 8.0), origin=(-31.5, 20.25, 217)), "lies"),
    ],
)
def test_labels_of_another_image(folder, other, words):
    path = folder / "a.nii.gz"
    write_labels(make_labels(other), other, SEGMENTS, path)
    with pytest.raises(InputError) as caught:
        read_labels(path, GRID)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert words in message
    assert "give labels" in message
    with pytest.raises(InputError, match="give labels"):
        read_dense_labels(path, GRID)


def layered(layers, fields, geometry=GRID):
    """A .seg.nrrd whose segments overlap, with the fields that Slicer writes: each layer is a component."""
    image = sitk.GetImageFromArray(np.stack(layers, axis=-1).astype(np.uint8), isVector=True)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    for name, value in fields.items():
        image.SetMetaData(name, value)
    return image


def test_overlapping_segments_the_later_wins(folder):
    """Also when it lies in an earlier layer, and although each layer numbers its labels from 1."""
    a, b, c = (np.zeros(GRID.shape, np.uint8) for _ in range(3))
    a[2:6, 3:12, 3:12], b[4:7, 5:15, 8:14], c[5, 2:6, 2:9] = 1, 1, 1
    fields = {
        "Segment0_ID": "A", "Segment0_Name": "erstes Ü", "Segment0_LabelValue": "1", "Segment0_Layer": "0",
        "Segment0_Color": "0.1 0.2 0.3", "Segment0_Tags": "DICOM.x:1|TerminologyEntry:x~y^z:1~w|Status:new|",
        "Segment1_ID": "B", "Segment1_LabelValue": "1", "Segment1_Layer": "1", "Segment1_Color": "1 1 0",
        "Segment2_ID": "C", "Segment2_Name": "C", "Segment2_LabelValue": "2", "Segment2_Layer": "0",
        "Segment2_Color": "0 1 0",
    }  # fmt: skip
    layers = [np.where(c, 2, a), b]
    sitk.WriteImage(layered(layers, fields), str(folder / "a.seg.nrrd"))
    found = read_dense_labels(folder / "a.seg.nrrd", GRID)
    expected = np.where(c, 3, np.where(b, 2, a))
    assert np.array_equal(found.labels, expected)
    assert found.segments == (
        Segment("erstes Ü", (0.1, 0.2, 0.3), 1, "A", "x~y^z:1~w"),
        Segment("B", (1.0, 1.0, 0.0), 2, "B"),
        Segment("C", (0.0, 1.0, 0.0), 3, "C"),
    )


def test_old_files_have_one_segment_a_layer(folder):
    a, b = LABELS == 1, LABELS == 2
    fields = {"Segment0_ID": "A", "Segment0_Name": "a", "Segment1_ID": "B", "Segment1_Name": "b"}
    sitk.WriteImage(layered([a, b], fields), str(folder / "a.seg.nrrd"))
    found = read_dense_labels(folder / "a.seg.nrrd", GRID)
    assert np.array_equal(found.labels, LABELS)
    assert [s.name for s in found.segments] == ["a", "b"]


def test_label_without_a_name_is_not_lost(folder):
    image = to_image(LABELS, GRID)
    image.SetMetaData("Segment0_ID", "A")
    image.SetMetaData("Segment0_LabelValue", "2")
    sitk.WriteImage(image, str(folder / "a.seg.nrrd"))
    found = read_dense_labels(folder / "a.seg.nrrd", GRID)
    assert [(s.name, s.label_value) for s in found.segments] == [("A", 2), ("Segment_1", 1)]
    assert np.array_equal(found.labels, np.choose(LABELS, [0, 2, 1]))


@pytest.mark.parametrize(
    ("field", "value"), [("LabelValue", "one"), ("Color", "red"), ("Color", "1 2"), ("Layer", "x")]
)
def test_damaged_segment_description(folder, field, value):
    image = to_image(LABELS, GRID)
    image.SetMetaData("Segment0_ID", "A")
    image.SetMetaData(f"Segment0_{field}", value)
    sitk.WriteImage(image, str(folder / "a.seg.nrrd"))
    with pytest.raises(InputError, match="has damaged segment descriptions: save"):
        read_dense_labels(folder / "a.seg.nrrd")


def test_too_many_segments(folder):
    image = layered([LABELS > 0] * 256, {f"Segment{n}_ID": str(n) for n in range(256)})
    sitk.WriteImage(image, str(folder / "a.seg.nrrd"))
    with pytest.raises(InputError, match="has 256 segments: keep those to be learnt, at most 254"):
        read_dense_labels(folder / "a.seg.nrrd")
