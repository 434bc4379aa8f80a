"""DICOM SEG that dcmqi, another implementation, reads back equal."""

import json
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.sr import CodedConcept
from mrml_cases import GEOMETRIES, KIDNEY, masks_of, some_labels, write_dicom_series

from sslseg.errors import InputError
from sslseg.geometry import Geometry
from SSLSegmentLib import export, mrml
from SSLSegmentLib.dicom_seg import coded_concepts
from SSLSegmentLib.oriented_image import onto

DCMQI = Path(sys.executable).with_name("segimage2itkimage")


def read_with_dcmqi(path, folder, geometry):
    """For each segment what dcmqi says of it, and its voxels on ``geometry``."""
    folder.mkdir()
    command = [DCMQI, "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    found = []
    for [attributes] in json.loads((folder / "meta.json").read_text(encoding="utf-8"))["segmentAttributes"]:
        image = sitk.ReadImage(str(folder / f"{attributes['labelID']}.nrrd"))
        i, j, k = image.GetSize()  # only the slices that hold the segment
        grid = Geometry((k, j, i), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        offset = geometry.voxel_map(grid)
        assert offset is not None
        np.testing.assert_allclose(geometry.affine @ offset, grid.affine, atol=1e-4)
        found.append((attributes, onto(sitk.GetArrayFromImage(image), grid, geometry) > 0))
    return found


@pytest.fixture
def series_volume(app, scene, dicom_series):
    folder, _, _ = dicom_series
    assert scene is app.scene
    return app.load_volume(folder)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_dcmqi_reads_the_same_voxels(app, scene, add_segmentation, tmp_path, name):
    geometry = GEOMETRIES[name]
    array = np.random.default_rng(0).integers(0, 100, geometry.shape).astype(np.int16)
    (tmp_path / "series").mkdir()
    write_dicom_series(tmp_path / "series", array, geometry)
    volume = app.load_volume(tmp_path / "series")
    assert scene.IsNodePresent(volume)
    grid = mrml.volume_geometry(volume)  # ITK stacks a left-handed series the other way round
    labels = some_labels(geometry.shape)
    node = add_segmentation(volume, masks_of(labels))
    [path] = export.export_segmentation(node, volume, tmp_path, formats=["dcm"], base_name="seg")
    assert path == tmp_path / "seg.dcm"
    for value, (_, found) in enumerate(read_with_dcmqi(path, tmp_path / "read", grid), start=1):
        np.testing.assert_array_equal(found, labels == value)


def test_overlap_names_colours_and_codes_are_kept(series_volume, add_segmentation, tmp_path):
    grid = mrml.volume_geometry(series_volume)
    labels = some_labels(grid.shape)
    node = add_segmentation(series_volume, {"organ": labels > 0, "lesion": labels == 2}, name="Körper")
    organ = node.GetSegmentation().GetSegment("organ")
    organ.SetName("Größe 心 a\\b " + "x" * 80)
    organ.SetTerminology(KIDNEY)
    [path] = export.export_segmentation(node, series_volume, tmp_path, formats=["dcm"])
    (first, organ_mask), (second, lesion_mask) = read_with_dcmqi(path, tmp_path / "read", grid)
    np.testing.assert_array_equal(organ_mask, labels > 0)
    np.testing.assert_array_equal(lesion_mask, labels == 2)
    assert first["SegmentLabel"] == ("Größe 心 a/b " + "x" * 80)[:64]
    assert second["SegmentLabel"] == "Name of lesion"
    np.testing.assert_allclose(first["recommendedDisplayRGBValue"], (230, 51, 26), atol=2)
    kind = first["SegmentedPropertyTypeCodeSequence"], first["SegmentedPropertyTypeModifierCodeSequence"]
    assert [code["CodeMeaning"] for code in kind] == ["Kidney", "Right"]
    assert second["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == "85756007"


def test_object_refers_to_its_patient_and_images(series_volume, dicom_series, add_segmentation, tmp_path):
    labels = some_labels(mrml.volume_geometry(series_volume).shape)
    node = add_segmentation(series_volume, masks_of(labels), name="Entwurf")
    [path] = export.export_segmentation(node, series_volume, tmp_path, formats=["dcm"])
    images = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, dicom_series[0].iterdir())}
    image = next(iter(images.values()))
    stored = highdicom.seg.segread(path)
    assert (stored.StudyInstanceUID, stored.PatientID) == (image.StudyInstanceUID, "7")
    assert str(stored.PatientName) == "Müller^Ä"
    assert stored.SeriesDescription == "Entwurf"
    assert stored.SeriesInstanceUID != image.SeriesInstanceUID
    [referred] = stored.ReferencedSeriesSequence
    assert {item.ReferencedSOPInstanceUID for item in referred.ReferencedInstanceSequence} <= images.keys()
    for item in stored.PerFrameFunctionalGroupsSequence:
        [source] = item.DerivationImageSequence[0].SourceImageSequence
        position = images[source.ReferencedSOPInstanceUID].ImagePositionPatient
        np.testing.assert_allclose(item.PlanePositionSequence[0].ImagePositionPatient, position, atol=1e-4)


def test_empty_segment_is_left_out_with_a_word(series_volume, add_segmentation, tmp_path):
    labels = some_labels(mrml.volume_geometry(series_volume).shape)
    node = add_segmentation(series_volume, {"none": labels > 9, "second": labels == 2})
    told = []
    [path] = export.export_segmentation(node, series_volume, tmp_path, formats=["dcm"], on_message=told.append)
    assert [item.SegmentLabel for item in pydicom.dcmread(path).SegmentSequence] == ["Name of second"]
    assert told == ["Nothing is painted in 'Name of none': left out of surfaces and DICOM SEG."]


def test_cropped_volume_is_put_back_on_its_images(series_volume, add_volume, add_segmentation, tmp_path):
    grid = mrml.volume_geometry(series_volume)
    affine = grid.affine
    affine[:3, 3] = (affine @ (2, 3, 1, 1))[:3]
    cropped = Geometry.from_affine((3, 7, 6), affine)
    volume = add_volume(np.zeros(cropped.shape, np.int16), cropped, "cropped")
    volume.SetAndObserveStorageNodeID(series_volume.GetStorageNodeID())
    labels = np.random.default_rng(3).integers(0, 3, cropped.shape).astype(np.uint8)
    node = add_segmentation(volume, masks_of(labels))
    [path] = export.export_segmentation(node, volume, tmp_path, formats=["dcm"])
    for value, (_, found) in enumerate(read_with_dcmqi(path, tmp_path / "read", grid), start=1):
        np.testing.assert_array_equal(found, onto(labels, cropped, grid) == value)


def test_files_are_found_in_slicers_database_by_uid(monkeypatch, series_volume, dicom_series, add_volume):
    files = {pydicom.dcmread(path).SOPInstanceUID: path for path in dicom_series[0].iterdir()}
    volume = add_volume(np.zeros((2, 3, 4), np.int16), Geometry((2, 3, 4)))
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(files))

    class Database:
        def fileForInstance(self, uid):
            return str(files.get(uid, ""))

    assert export.dicom_files(volume) == []
    monkeypatch.setattr("slicer.dicomDatabase", Database(), raising=False)
    assert export.dicom_files(volume) == list(files.values())
    assert set(export.dicom_files(series_volume)) == set(files.values())


def test_volume_that_is_not_from_dicom_is_refused(volume, labels, add_segmentation, tmp_path):
    node = add_segmentation(volume, masks_of(labels))
    with pytest.raises(InputError, match="'volume' was not loaded from DICOM"):
        export.export_segmentation(node, volume, tmp_path, formats=["dcm"])
    assert list(tmp_path.iterdir()) == []


def test_resampled_volume_is_refused(series_volume, labels, add_segmentation, tmp_path):
    series_volume.SetSpacing(1.0, 1.0, 1.0)
    node = add_segmentation(series_volume, masks_of(labels))
    with pytest.raises(InputError, match="not lie on the grid of its DICOM images any more"):
        export.export_segmentation(node, series_volume, tmp_path / "out", formats=["dcm"])
    assert list((tmp_path / "out").iterdir()) == []


def test_images_that_are_gone_are_said(series_volume, dicom_series, labels, add_segmentation, tmp_path):
    next(dicom_series[0].iterdir()).unlink()
    node = add_segmentation(series_volume, masks_of(labels))
    with pytest.raises(InputError, match="is needed for a DICOM SEG and cannot be read"):
        export.export_segmentation(node, series_volume, tmp_path, formats=["dcm"])


def test_images_that_no_segmentation_can_refer_to_are_said(series_volume, dicom_series, add_segmentation, tmp_path):
    labels = some_labels(mrml.volume_geometry(series_volume).shape)
    node = add_segmentation(series_volume, masks_of(labels))
    for path in dicom_series[0].iterdir():
        image = pydicom.dcmread(path)
        del image.StudyInstanceUID
        image.save_as(path)
    with pytest.raises(InputError, match=r"do not hold what a DICOM SEG takes over .*StudyInstanceUID"):
        export.export_segmentation(node, series_volume, tmp_path / "out", formats=["dcm"])
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_package_is_said(monkeypatch, series_volume, labels, add_segmentation, tmp_path):
    node = add_segmentation(series_volume, masks_of(labels))
    monkeypatch.setitem(sys.modules, "highdicom", None)
    monkeypatch.delitem(sys.modules, "SSLSegmentLib.dicom_seg")
    monkeypatch.delattr("SSLSegmentLib.dicom_seg")
    with pytest.raises(InputError, match=r"needs the Python package highdicom: install sslsegment\[dicom\]"):
        export.export_segmentation(node, series_volume, tmp_path, formats=["dcm"])


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientBirthDate": "00000000", "StudyDate": "20120000", "StudyTime": "99"},
        {"PatientSex": "unknown", "PatientName": "anonymous"},
        {"FrameOfReferenceUID": None},
        {"PatientID": None, "StudyID": None, "AccessionNumber": None, "PatientSex": None},
        {"SpecificCharacterSet": "ISO_IR 100"},
        {"StudyInstanceUID": "1.2.03.04"},
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_faults_of_real_series_are_mended(app, scene, add_segmentation, tmp_path, changes):
    geometry = GEOMETRIES["oblique"]
    (tmp_path / "series").mkdir()
    write_dicom_series(tmp_path / "series", np.arange(720, dtype=np.int16).reshape(geometry.shape), geometry)
    for path in (tmp_path / "series").iterdir():
        image = pydicom.dcmread(path)
        for name, value in changes.items():
            if value is None:
                delattr(image, name)
            else:
                setattr(image, name, value)
        image.save_as(path)
    volume = app.load_volume(tmp_path / "series")
    assert scene.IsNodePresent(volume)
    labels = some_labels(geometry.shape)
    node = add_segmentation(volume, masks_of(labels))
    [path] = export.export_segmentation(node, volume, tmp_path, formats=["dcm"])
    for value, (_, found) in enumerate(read_with_dcmqi(path, tmp_path / "read", geometry), start=1):
        np.testing.assert_array_equal(found, labels == value)
    stored = pydicom.dcmread(path)
    assert stored.StudyInstanceUID == image.StudyInstanceUID
    assert stored.get("PatientName", "") == image.get("PatientName", "")


KIDNEY_CODES = {
    "category": CodedConcept("123037004", "SCT", "Anatomical Structure"),
    "type": CodedConcept("64033007", "SCT", "Kidney"),
    "type_modifier": CodedConcept("24028007", "SCT", "Right"),
}
TISSUE_CODES = dict.fromkeys(["category", "type"], CodedConcept("85756007", "SCT", "Tissue"))
REGION = KIDNEY.removesuffix("~^^~^^") + "~SCT^818983003^Abdomen~SCT^7771000^Left"


@pytest.mark.parametrize(
    ("terminology", "expected"),
    [
        (KIDNEY, KIDNEY_CODES),
        (
            REGION,
            KIDNEY_CODES
            | {
                "region": CodedConcept("818983003", "SCT", "Abdomen"),
                "region_modifier": CodedConcept("7771000", "SCT", "Left"),
            },
        ),
        ("", TISSUE_CODES),
        ("not a terminology entry", TISSUE_CODES),
        ("context~SCT^1^One~^^~^^~~^^~^^", TISSUE_CODES),
        ("context~a^b~c", TISSUE_CODES),
    ],
)
def test_terminology_becomes_codes(terminology, expected):
    assert coded_concepts(terminology) == expected


@pytest.mark.data
@pytest.mark.parametrize("case", ["SCD0000101_ED", "SCD0000301_ED"])
def test_real_series(app, scene, data_dir, tmp_path, case):
    assert scene is app.scene
    volume = app.load_volume(data_dir / "sunnybrook" / "dicom" / case)
    [labels_file] = (data_dir / "sunnybrook" / "labels").glob(f"{case}*")
    node = app.load_segmentation(labels_file, volume)
    labels = mrml.class_array(node, volume)
    [path] = export.export_segmentation(node, volume, tmp_path, formats=["dcm"])
    found = read_with_dcmqi(path, tmp_path / "read", mrml.volume_geometry(volume))
    assert len(found) == 2
    for value, (_, mask) in enumerate(found, start=1):
        np.testing.assert_array_equal(mask, labels == value)
