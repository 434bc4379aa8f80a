"""Files that other programs read back equal: slicerio, SimpleITK, VTK and Slicer itself."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicerio
import vtk
from mrml_cases import KIDNEY, SURFACE, linear_transform, masks_of, some_labels

from sslseg.errors import InputError
from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels
from SSLSegmentLib import export, mrml

READERS = {"stl": vtk.vtkSTLReader, "obj": vtk.vtkOBJReader, "ply": vtk.vtkPLYReader}


@pytest.fixture
def drawn(volume, labels, add_segmentation):
    node = add_segmentation(volume, masks_of(labels), name="Entwurf")
    node.GetSegmentation().GetSegment("first").SetName("Größe 心")
    node.GetSegmentation().GetSegment("first").SetTerminology(KIDNEY)
    return node


def assert_same_place(found: Geometry, expected: Geometry):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)


def test_segmentation_file_is_read_by_slicerio(add_volume, add_segmentation, geometry, tmp_path):
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    labels = some_labels(geometry.shape)
    node = add_segmentation(volume, masks_of(labels))
    node.GetSegmentation().GetSegment("first").SetTerminology(KIDNEY)
    [path] = export.export_segmentation(node, volume, tmp_path, formats=["seg.nrrd"])
    assert path == tmp_path / "segmentation.seg.nrrd"
    stored = slicerio.read_segmentation(str(path))
    first, second = stored["segments"]
    assert [(s["name"], s["id"]) for s in (first, second)] == [("Name of first", "first"), ("Name of second", "second")]
    np.testing.assert_allclose(first["color"], (0.9, 0.2, 0.1), atol=1e-3)
    assert first["terminology"]["type"] == ["SCT", "64033007", "Kidney"]
    assert first["terminology"]["typeModifier"] == ["SCT", "24028007", "Right"]
    for segment, value in ((first, 1), (second, 2)):
        layer = stored["voxels"][segment["layer"]] if stored["voxels"].ndim == 4 else stored["voxels"]
        np.testing.assert_array_equal(np.equal(layer.T, segment["labelValue"]), labels == value)
    assert_same_place(Geometry.from_affine(layer.shape[::-1], stored["ijkToLPS"]), geometry)


def test_segmentation_file_keeps_overlap_and_letters(app, volume, labels, add_segmentation, tmp_path):
    node = add_segmentation(volume, {"organ": labels > 0, "lesion": labels == 2}, name="Überlappung")
    node.GetSegmentation().GetSegment("organ").SetName("Größe 心")
    [path] = export.export_segmentation(node, volume, tmp_path, formats=["seg.nrrd"])
    again = app.load_segmentation(path, volume)
    organ, lesion = mrml.segments_from_node(again)
    assert (organ, lesion) == mrml.segments_from_node(node)
    np.testing.assert_array_equal(mrml.class_array(again, volume, [organ]), labels > 0)
    np.testing.assert_array_equal(mrml.class_array(again, volume, [lesion]), labels == 2)


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd"])
def test_label_map_is_read_by_itk(add_volume, add_segmentation, geometry, tmp_path, ending):
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    labels = some_labels(geometry.shape)
    node = add_segmentation(volume, {**masks_of(labels), "third": np.zeros(labels.shape, bool)})
    [path] = export.export_segmentation(node, volume, tmp_path / "neu", formats=[ending], base_name="é")
    assert path == tmp_path / "neu" / f"é.{ending}"
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), labels)
    i, j, k = image.GetSize()
    assert_same_place(Geometry((k, j, i), image.GetSpacing(), image.GetOrigin(), image.GetDirection()), geometry)


@pytest.mark.parametrize("ending", READERS)
def test_surfaces_lie_around_their_segments_in_lps(add_volume, add_segmentation, geometry, tmp_path, ending):
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    mask = np.zeros(geometry.shape, bool)
    mask[tuple(slice(n // 4, max(n // 4 + 1, n - 1)) for n in geometry.shape)] = True
    node = add_segmentation(volume, {"block": mask})
    node.GetSegmentation().SetConversionParameter("Smoothing factor", "0")
    [path] = export.export_segmentation(node, volume, tmp_path, formats=[ending], base_name="s")
    assert path.name == f"s_Name of block.{ending}"
    reader = READERS[ending]()
    reader.SetFileName(str(path))
    reader.Update()
    points = vtk.util.numpy_support.vtk_to_numpy(reader.GetOutput().GetPoints().GetData())
    inside = np.linalg.solve(geometry.affine, np.c_[points, np.ones(len(points))].T)[2::-1]  # k, j, i
    index = np.argwhere(mask)
    np.testing.assert_allclose(inside.mean(axis=1), index.mean(axis=0), atol=0.05)
    assert (inside.min(axis=1) > index.min(axis=0) - 0.6).all()
    assert (inside.max(axis=1) < index.max(axis=0) + 0.6).all()


def test_slicer_reads_surfaces_where_they_were(scene, volume, drawn, tmp_path):
    paths = export.export_segmentation(drawn, volume, tmp_path, formats=["stl", "ply", "obj"])
    assert len(paths) == 6
    drawn.CreateClosedSurfaceRepresentation()
    shown = vtk.vtkPolyData()
    drawn.GetClosedSurfaceRepresentation("first", shown)
    for path in paths[::2]:
        model = scene.AddNewNodeByClass("vtkMRMLModelNode")
        storage = scene.AddNewNodeByClass("vtkMRMLModelStorageNode")
        storage.SetFileName(str(path))
        assert storage.ReadData(model)
        # Slicer smooths its own surface more: they agree to a part of a voxel.
        bounds = model.GetPolyData().GetBounds()
        np.testing.assert_allclose(bounds, shown.GetBounds(), atol=0.7 * max(volume.GetSpacing()))


def test_ply_has_the_colour_of_the_segment(volume, drawn, tmp_path):
    path = export.export_segmentation(drawn, volume, tmp_path, formats=["ply"])[0]
    reader = vtk.vtkPLYReader()
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetOutput().GetPointData().GetScalars().GetTuple3(0) == (230, 51, 26)


def test_node_is_not_even_converted(volume, drawn, tmp_path):
    before = mrml.fingerprint(drawn), drawn.GetSegmentation().GetMTime()
    formats = [name for name in export.FORMATS if name != "dcm"]
    export.export_segmentation(drawn, volume, tmp_path, formats=formats)
    assert (mrml.fingerprint(drawn), drawn.GetSegmentation().GetMTime()) == before
    assert not drawn.GetSegmentation().ContainsRepresentation(SURFACE)
    assert drawn.GetStorageNode() is None


def test_every_format_follows_a_volume_that_was_moved(scene, volume, labels, drawn, tmp_path):
    geometry = mrml.volume_geometry(volume)
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    volume.SetAndObserveTransformNodeID(linear_transform(scene, turned).GetID())
    expected = mrml.class_array(drawn, volume)
    assert (expected != labels).any()
    paths = export.export_segmentation(drawn, volume, tmp_path, formats=["nrrd", "seg.nrrd"])
    volume.SetAndObserveTransformNodeID(None)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(paths[0]))), expected)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(paths[1]))
    assert storage.ReadData(node)
    np.testing.assert_array_equal(mrml.class_array(node, volume), expected)
    assert geometry.shape == expected.shape


def test_empty_segments_are_left_out_of_surfaces_with_a_word(volume, labels, add_segmentation, tmp_path):
    node = add_segmentation(volume, {**masks_of(labels), "third": np.zeros(labels.shape, bool)})
    told = []
    paths = export.export_segmentation(node, volume, tmp_path, formats=["stl", "ply"], on_message=told.append)
    assert [path.name for path in paths[:2]] == ["segmentation_Name of first.stl", "segmentation_Name of second.stl"]
    assert told == ["Nothing is painted in 'Name of third': left out of surfaces and DICOM SEG."]


@pytest.mark.parametrize("masks", [{}, {"first": np.zeros((6, 12, 10), bool)}])
def test_nothing_painted_is_a_label_map_but_no_surface(volume, add_segmentation, tmp_path, masks):
    node = add_segmentation(volume, masks)
    [path] = export.export_segmentation(node, volume, tmp_path, formats=["nrrd"])
    assert not read_dense_labels(path).labels.any()
    with pytest.raises(InputError, match="holds nothing on the volume 'volume'"):
        export.export_segmentation(node, volume, tmp_path, formats=["stl"])


def test_segments_of_the_same_name_get_files_of_their_own(volume, labels, add_segmentation, tmp_path):
    node = add_segmentation(volume, masks_of(some_labels(labels.shape, n=3)))
    for segment_id, name in (("first", "Leber"), ("second", "leber"), ("third", "a/b:c")):
        node.GetSegmentation().GetSegment(segment_id).SetName(name)
    paths = export.export_segmentation(node, volume, tmp_path, formats=["stl"], base_name="x")
    assert [path.name for path in paths] == ["x_Leber.stl", "x_leber_2.stl", "x_a_b_c.stl"]


def test_longest_names_fit_file_systems(volume, labels, add_segmentation, tmp_path):
    node = add_segmentation(volume, masks_of(labels), name="心" * 300)
    for segment_id in ("first", "second"):
        node.GetSegmentation().GetSegment(segment_id).SetName("肝" * 300)
    assert len(set(export.export_segmentation(node, volume, tmp_path, formats=["stl"]))) == 2


def test_folder_with_the_name_of_the_segmentation_is_no_obstacle(volume, drawn, tmp_path):
    (tmp_path / "Entwurf").mkdir()
    assert export.export_segmentation(drawn, volume, tmp_path, formats=["nrrd"]) == [tmp_path / "Entwurf.nrrd"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Größe 心", "Größe 心"),
        ("a/b\\c:d*e?f", "a_b_c_d_e_f"),
        ('<"|>\n', "_"),
        ("con", "_con"),
        ("COM1.x", "_COM1.x"),
        ("console", "console"),
        ("ends with dot. ", "ends with dot"),
        (" ..", "_"),
        ("", "_"),
        ("e\u0301", "é"),
        ("x" * 300, "x" * 100),
        ("心" * 300, "心" * 33),
    ],
)
def test_file_names_are_safe_everywhere(name, expected):
    assert export.safe_file_name(name) == expected


def test_files_are_named_after_the_study(app, volume, drawn):
    assert export.suggested_name(drawn, volume) == "Entwurf"
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(app.scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Muster^Max")
    hierarchy.CreateItem(hierarchy.CreateStudyItem(patient, "Herz: MR (2020)"), volume)
    assert export.suggested_name(drawn, volume) == "Herz_ MR (2020) Entwurf"


@pytest.mark.parametrize("is_open", [True, False])
def test_dicom_files_go_into_the_database(monkeypatch, is_open):
    inserted = []
    database = types.SimpleNamespace(isOpen=is_open, insert=inserted.append)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert export.add_to_database([Path("größer.dcm")]) is is_open
    assert inserted == (["größer.dcm"] if is_open else [])


def test_unknown_format_is_refused_before_anything_is_written(volume, drawn, tmp_path):
    with pytest.raises(InputError, match=r"no export format 'doc': choose from seg\.nrrd, nii\.gz"):
        export.export_segmentation(drawn, volume, tmp_path, formats=["seg.nrrd", "doc"])
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file_is_refused(volume, drawn, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        export.export_segmentation(drawn, volume, tmp_path / "file", formats=["seg.nrrd"])


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from sslseg.annotation import default_segments
from sslseg.errors import OutputError
from sslseg.geometry import Geometry
from SSLSegmentLib import export, mrml
from SSLSegmentLib.headless_app import boot
scene = boot().scene
labels = np.random.default_rng(0).integers(0, 2, (20, 20, 20)).astype(np.uint8)
volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
mrml.fill_volume(volume, labels, Geometry(labels.shape))
node = mrml.show_prediction(scene, volume, labels, default_segments([1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing past the limit then fails like a full disk does
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
for name in export.FORMATS:
    if name != "dcm":
        try:
            print(export.export_segmentation(node, volume, sys.argv[1], formats=[name], base_name="x"))
        except OutputError as error:
            print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of files")
def test_full_disk_leaves_older_files(tmp_path):
    endings = [f"_Segment_1.{name}" if name in READERS else f".{name}" for name in export.FORMATS if name != "dcm"]
    older = [tmp_path / f"x{ending}" for ending in endings]
    for path in older:
        path.write_bytes(b"old")
    command = [sys.executable, "-X", "utf8", "-c", FULL_DISK, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=60).stdout.splitlines()
    assert [line.split(" could not be written (")[0] for line in said] == [str(path) for path in older]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(older, b"old")
