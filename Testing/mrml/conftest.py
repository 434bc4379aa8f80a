"""A headless Slicer, booted once, and nodes made from arrays with Slicer's own functions."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import numpy as np
import pytest
import slicer
from loop_driver import Driver, Patient
from mrml_cases import GEOMETRIES, some_labels, write_dicom_series

from sslseg.geometry import Geometry
from SSLSegmentLib import mrml
from SSLSegmentLib.worker_process import WorkerProcess


@pytest.fixture(params=GEOMETRIES)
def geometry(request: pytest.FixtureRequest) -> Geometry:
    return GEOMETRIES[request.param]


@pytest.fixture
def add_volume(scene: slicer.vtkMRMLScene) -> Callable:
    """``add_volume(array, geometry, name)`` makes a volume node as Slicer does."""

    def add(array, geometry, name="volume"):
        assert slicer.mrmlScene is scene
        ijk_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
        return slicer.util.addVolumeFromArray(array, ijk_to_ras, name)

    return add


@pytest.fixture
def add_segmentation(scene) -> Callable:
    """``add_segmentation(volume, masks)`` paints each mask (K, J, I) of a dict into a segment, as Slicer's editor does.

    Each segment gets a layer of its own, cropped to what is painted; ``shared=True`` merges those that do not overlap.
    """

    def add(volume, masks, *, shared=False, name="segmentation"):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        colors = [(0.9, 0.2, 0.1), (0.1, 0.6, 0.9), (0.9, 0.8, 0.1), (0.3, 0.8, 0.4)]
        for (segment_id, mask), color in zip(masks.items(), colors, strict=False):
            node.GetSegmentation().AddEmptySegment(segment_id, f"Name of {segment_id}", color)
            if mask.any():
                slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment_id, volume)
                painted = slicer.vtkOrientedImageData()
                node.GetBinaryLabelmapRepresentation(segment_id, painted)
                logic = slicer.vtkSlicerSegmentationsModuleLogic
                assert logic.SetBinaryLabelmapToSegment(painted, node, segment_id, logic.MODE_REPLACE)
        if shared:
            node.GetSegmentation().CollapseBinaryLabelmaps(False)
        return node

    return add


@pytest.fixture
def volume(add_volume):
    geometry = GEOMETRIES["oblique"]
    return add_volume(np.random.default_rng(0).integers(0, 100, geometry.shape).astype(np.int16), geometry)


@pytest.fixture
def labels(volume):
    """Classes 0, 1 and 2 in a part of the volume."""
    return some_labels(mrml.volume_geometry(volume).shape)


@pytest.fixture
def history():
    return slicer.vtkSegmentationHistory()


@pytest.fixture
def dicom_series(tmp_path):
    """Folder, array and geometry of an oblique series."""
    geometry = GEOMETRIES["oblique"]
    array = np.random.default_rng(1).integers(-1000, 1000, geometry.shape).astype(np.int16)
    folder = tmp_path / "Serie 1 é"
    folder.mkdir()
    write_dicom_series(folder, array, geometry)
    return folder, array, geometry


@pytest.fixture
def patient(add_volume, add_segmentation):
    return Patient(add_volume, add_segmentation)


@pytest.fixture
def new_driver(scene):
    """``new_driver(script)`` makes a loop of its own, with ``script`` in the place of the worker where given."""
    made = []

    def make(script: str | None = None, **options) -> Driver:
        if script is not None:
            options["worker_factory"] = functools.partial(scripted_worker, script)
        made.append(Driver(scene, **options))
        return made[-1]

    yield make
    for driver in made:
        driver.end()


@pytest.fixture(scope="module")
def shared_driver(app):
    """One loop with a warm worker; each test finds an empty scene, as after 'Close scene'."""
    driver = Driver(app.scene)
    driver.loop.worker.start()
    yield driver
    driver.end()


def scripted_worker(script, *, folder, **options):
    return WorkerProcess([sys.executable, "-c", script, str(folder)], **options)


@pytest.fixture
def idle_driver(scene):
    """A loop whose worker is never started."""
    driver = Driver(scene)
    yield driver
    driver.end()


@pytest.fixture
def loop(idle_driver, patient):
    """The loop of ``idle_driver`` with the patient's nodes."""
    patient.open_in(idle_driver)
    return idle_driver.loop
