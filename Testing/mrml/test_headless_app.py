"""Files into a scene on slicer-core and back, without Slicer's application."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from mrml_cases import KIDNEY, some_labels, some_segments

from sslseg.errors import InputError, OutputError
from sslseg.labelmap_io import write_labels
from sslseg.volume import write_array
from SSLSegmentLib import mrml
from SSLSegmentLib.headless_app import boot
from SSLSegmentLib.oriented_image import onto


@pytest.fixture
def image_file(geometry, tmp_path):
    array = np.random.default_rng(0).integers(-1000, 1000, geometry.shape).astype(np.int16)
    path = tmp_path / "ein Bild é.nrrd"
    write_array(array, geometry, path)
    return path


def test_boot_starts_one_application(app):
    assert boot() is app
    assert slicer.mrmlScene is app.scene


def test_volume_file_is_loaded_as_slicer_loads_it(app, scene, image_file):
    ours = app.load_volume(image_file)
    theirs = slicer.modules.volumes.logic().AddArchetypeVolume(str(image_file), "theirs", 0)
    # Slicer's own reader turns left-handed axes round: the same voxels at the same places, in another order.
    grid, their_grid = mrml.volume_geometry(ours), mrml.volume_geometry(theirs)
    np.testing.assert_array_equal(mrml.scalar_voxels(ours), onto(mrml.scalar_voxels(theirs), their_grid, grid))
    assert grid.voxel_map(their_grid) is not None
    assert ours.GetName() == "ein Bild é.nrrd"
    assert ours.GetStorageNode().GetFileName() == str(image_file)
    assert scene.IsNodePresent(ours)


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz", ".nrrd"])
def test_segmentation_file_is_loaded_on_the_volume(app, scene, image_file, geometry, tmp_path, ending):
    volume = app.load_volume(image_file)
    labels = some_labels(geometry.shape)
    path = tmp_path / f"Etiketten{ending}"
    write_labels(labels, geometry, some_segments(), path)
    node = app.load_segmentation(path, volume)
    np.testing.assert_array_equal(mrml.class_array(node, volume), labels)
    assert node.GetName() == "Etiketten"
    assert scene.IsNodePresent(node)
    if ending == ".seg.nrrd":
        assert mrml.segments_from_node(node) == some_segments()


def test_overlapping_segments_are_loaded_as_they_were_drawn(app, volume, labels, add_segmentation, tmp_path):
    drawn = add_segmentation(volume, {"organ": labels > 0, "lesion": labels == 2})
    drawn.GetSegmentation().GetSegment("lesion").SetTerminology(KIDNEY)
    path = tmp_path / "overlap.seg.nrrd"
    storage = drawn.CreateDefaultStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(drawn)
    node = app.load_segmentation(path, volume)
    assert mrml.segments_from_node(node) == mrml.segments_from_node(drawn)
    organ, lesion = mrml.segments_from_node(node)
    np.testing.assert_array_equal(mrml.class_array(node, volume, [organ]), labels > 0)
    np.testing.assert_array_equal(mrml.class_array(node, volume, [lesion]), labels == 2)


def test_voxels_that_are_not_annotated_are_left_unpainted(app, volume, labels, tmp_path):
    path = tmp_path / "sparse.nrrd"
    sparse = labels.copy()
    sparse[:2] = 255
    write_array(sparse, mrml.volume_geometry(volume), path)
    node = app.load_segmentation(path, volume)
    np.testing.assert_array_equal(mrml.class_array(node, volume), np.where(sparse == 255, 0, sparse))
    assert [segment.label_value for segment in mrml.segments_from_node(node)] == [1, 2]


def test_dicom_series_keeps_its_files(app, scene, dicom_series):
    folder, array, geometry = dicom_series
    node = app.load_volume(folder)
    np.testing.assert_array_equal(mrml.scalar_voxels(node), array)
    assert geometry.difference(mrml.volume_geometry(node)) is None
    storage = node.GetStorageNode()
    names = {storage.GetNthFileName(n) for n in range(storage.GetNumberOfFileNames())}
    assert names == {str(path) for path in folder.iterdir()}
    assert scene.IsNodePresent(storage)


@pytest.mark.parametrize("content", [b"", b"NRRD0004\ntype: unsigned char\n", b"not an image"])
@pytest.mark.parametrize("name", ["broken.seg.nrrd", "broken.nii.gz"])
def test_damaged_file_is_refused_and_no_node_is_left(app, scene, volume, tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    before = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match=name):
        app.load_segmentation(path, volume)
    with pytest.raises(InputError, match=name):
        app.load_volume(path)
    assert scene.GetNumberOfNodes() == before


def test_truncated_segmentation_is_refused_instead_of_ending_the_process(app, volume, labels, tmp_path):
    path = tmp_path / "truncated.seg.nrrd"
    write_labels(labels, mrml.volume_geometry(volume), some_segments(), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="truncated"):
        app.load_segmentation(path, volume)


def test_segmentation_of_another_grid_is_refused(app, volume, labels, tmp_path):
    path = tmp_path / "other.nrrd"
    image = sitk.GetImageFromArray(labels)
    sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match="other"):
        app.load_segmentation(path, volume)


def test_scene_is_saved_under_its_own_ending_only(app, volume, tmp_path):
    assert volume is not None
    with pytest.raises(InputError, match="ends in \\.mrb"):
        app.save_scene(tmp_path / "scene.nrrd")
    with pytest.raises(OutputError, match="cannot be written"):
        app.save_scene(tmp_path / "no such folder" / "scene.mrb")
    assert list(tmp_path.iterdir()) == []


def test_saving_a_scene_leaves_the_source_images_alone(app, scene, dicom_series, tmp_path):
    folder, array, _ = dicom_series
    before = {path: path.read_bytes() for path in folder.iterdir()}
    node = app.load_volume(folder)
    app.save_scene(tmp_path / "scene.mrb")
    storage = node.GetStorageNode()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert {storage.GetNthFileName(n) for n in range(storage.GetNumberOfFileNames())} == {str(path) for path in before}
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    [again] = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    np.testing.assert_array_equal(mrml.scalar_voxels(again), array)


def test_application_ends_cleanly_and_can_be_started_again():
    code = (
        "from SSLSegmentLib.headless_app import boot\n"
        "import slicer\n"
        "for _ in range(2):\n"
        "    app = boot()\n"
        "    app.scene.AddNewNodeByClass('vtkMRMLSegmentationNode').CreateDefaultDisplayNodes()\n"
        "    app.shutdown()\n"
        "    assert slicer.mrmlScene is None\n"
        "print('ended')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stdout.strip(), run.stderr.strip()) == (0, "ended", "")
