"""How a result is shown follows the settings at once, and nothing else in the scene changes."""

import numpy as np
import pytest
import slicer
from loop_driver import GEOMETRY, SHAPE
from vtk.util import numpy_support

from sslseg.geometry import Geometry
from SSLSegmentLib import mrml
from SSLSegmentLib.result import measured, outputs, percent
from SSLSegmentLib.surfaces import MOST_VOXELS, surfaces


@pytest.fixture
def shown(scene, loop, patient):
    """The loop with a result, and a slice view of its volume."""
    view = scene.AddNode(slicer.vtkMRMLSliceCompositeNode())
    view.SetBackgroundVolumeID(patient.volume.GetID())
    loop.view = view
    show(loop, patient)
    yield loop
    scene.RemoveNode(view)


def show(loop, patient, labels=None):
    uncertainty = np.linspace(0, 1, patient.truth.size, dtype=np.float32).reshape(SHAPE)
    segments = mrml.segments_from_node(patient.segmentation)
    labels = patient.truth if labels is None else labels
    found = outputs(labels, uncertainty, GEOMETRY, segments, 0, loop.settings.show_in_3d)
    loop.overlay.show(patient.volume, found, "mine")
    loop.result = found.result


def change(loop, **values):
    for name, value in values.items():
        setattr(loop.settings, name, value)
    loop.update_display()


def display(loop):
    return loop.overlay.prediction.GetDisplayNode()


def test_each_setting_takes_effect_at_once(shown, patient):
    node = display(shown)
    assert node.GetVisibility()
    assert node.GetVisibility3D()
    assert node.GetVisibility2DOutline()
    assert node.GetVisibility2DFill()
    change(shown, prediction_opacity=0.3)
    assert node.GetOpacity() == pytest.approx(0.3)
    change(shown, prediction_style="outline")
    assert (node.GetVisibility2DOutline(), node.GetVisibility2DFill()) == (1, 0)
    change(shown, prediction_style="fill")
    assert (node.GetVisibility2DOutline(), node.GetVisibility2DFill()) == (0, 1)
    change(shown, show_in_3d=False)
    assert not node.GetVisibility3D()
    change(shown, show_prediction=False)
    assert not node.GetVisibility()
    assert patient.is_untouched()


def test_the_uncertainty_is_a_layer_in_front(shown):
    unsure = shown.overlay.uncertainty.GetID()
    assert shown.view.GetForegroundVolumeID() == unsure
    assert shown.view.GetForegroundOpacity() == pytest.approx(0.5)
    change(shown, uncertainty_opacity=0.8)
    assert shown.view.GetForegroundOpacity() == pytest.approx(0.8)
    change(shown, show_uncertainty=False)
    assert shown.view.GetForegroundVolumeID() is None
    change(shown, show_uncertainty=True)
    assert shown.view.GetForegroundVolumeID() == unsure


@pytest.mark.parametrize("end", ["discard", "shutdown", "another volume", "the node is removed"])
def test_the_views_are_as_before_when_the_result_goes(shown, scene, patient, idle_driver, end):
    if end == "discard":
        idle_driver.do("discard")
    elif end == "shutdown":
        shown.shutdown()
    elif end == "another volume":
        idle_driver.do("set_volume", None)
    else:
        scene.RemoveNode(shown.overlay.uncertainty)
    assert shown.view.GetForegroundVolumeID() is None
    assert shown.view.GetBackgroundVolumeID() == patient.volume.GetID()


def test_what_the_user_has_set_up_otherwise_survives_the_next_result(shown, patient):
    display(shown).SetOpacity2DFill(0.77)
    display(shown).SetVisibility(False)
    show(shown, patient, patient.truth[::-1].copy())
    change(shown, prediction_opacity=0.4)
    assert display(shown).GetOpacity2DFill() == pytest.approx(0.77)
    assert not display(shown).GetVisibility()
    change(shown, show_prediction=False)
    change(shown, show_prediction=True)
    assert display(shown).GetVisibility()


def points_of(node, segment_id):
    surface = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(mrml.CLOSED_SURFACE)
    return numpy_support.vtk_to_numpy(surface.GetPoints().GetData()) if surface.GetNumberOfPoints() else None


def test_surfaces_are_made_when_they_are_asked_for(loop, patient):
    loop.settings.show_in_3d = False
    show(loop, patient)
    segmentation = loop.overlay.prediction.GetSegmentation()
    assert not segmentation.ContainsRepresentation(mrml.CLOSED_SURFACE)
    change(loop, show_in_3d=True)
    assert segmentation.ContainsRepresentation(mrml.CLOSED_SURFACE)
    first = points_of(loop.overlay.prediction, "segment1")
    show(loop, patient, patient.truth[::-1].copy())
    assert points_of(loop.overlay.prediction, "segment1").shape != first.shape or not np.allclose(
        points_of(loop.overlay.prediction, "segment1"), first
    )
    empty = np.zeros(SHAPE, np.uint8)
    empty[2, 3, 4] = 1
    show(loop, patient, empty)
    assert points_of(loop.overlay.prediction, "segment2") is None


def test_surfaces_enclose_their_voxels_on_every_grid(geometry):
    labels = np.zeros(geometry.shape, np.uint8)
    inner = tuple(slice(n // 4, max(n // 4 + 1, 3 * n // 4)) for n in geometry.shape)
    labels[inner] = 2
    nothing, surface = surfaces(labels, geometry, 2)
    assert nothing.GetNumberOfPoints() == 0
    points = numpy_support.vtk_to_numpy(surface.GetPoints().GetData()) * (-1, -1, 1)
    voxels = np.linalg.solve(geometry.affine, np.c_[points, np.ones(len(points))].T)[2::-1].T
    for axis, part in enumerate(inner):
        assert part.start - 0.6 <= voxels[:, axis].min() <= part.start + 0.8
        assert part.stop - 1.8 <= voxels[:, axis].max() <= part.stop - 0.4
    normals = numpy_support.vtk_to_numpy(surface.GetPointData().GetNormals())
    outwards = points - points.mean(axis=0)
    assert (np.einsum("ij,ij->i", normals * (-1, -1, 1), outwards) > 0).mean() > 0.9


def test_the_surface_of_a_large_prediction_is_reduced_and_stays_in_place():
    geometry = Geometry((120, 200, 260), (0.7, 0.8, 1.5), (10.0, 20.0, 30.0))
    labels = np.ones(geometry.shape, np.uint8)
    assert labels.size > MOST_VOXELS
    (surface,) = surfaces(labels, geometry, 1)
    low, high = geometry.affine @ (0, 0, 0, 1), geometry.affine @ (259, 199, 119, 1)
    bounds = np.array(surface.GetBounds()).reshape(3, 2)
    expected = np.sort(np.array([low[:3], high[:3]]) * (-1, -1, 1), axis=0).T
    np.testing.assert_allclose(bounds, expected, atol=2.5)
    assert surface.GetNumberOfPoints() < 80_000


def test_volumes_and_percents(patient):
    segments = mrml.segments_from_node(patient.segmentation)
    geometry = Geometry((3, 4, 5), (0.5, 2.0, 3.0))
    labels = np.zeros(geometry.shape, np.uint8)
    labels[1, :2] = 1
    first, second = measured(labels, geometry, segments)
    assert (first.segment_id, first.name, first.color) == (segments[0].segment_id, segments[0].name, segments[0].color)
    assert first.volume_ml == pytest.approx(10 * 3.0 / 1000)
    assert second.volume_ml == 0
    uncertainty = np.array([[[0.0, 0.004, 0.006, 0.994, 1.0]]], np.float32)
    assert percent(uncertainty).tolist() == [[[0, 0, 1, 99, 100]]]
