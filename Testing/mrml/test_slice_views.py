"""Slice views go to a slice, and show a volume in front, without losing anything that the user has set up."""

import numpy as np
import pytest
import slicer
import vtk
from mrml_cases import linear_transform

from sslseg.errors import InputError
from sslseg.geometry import Geometry
from SSLSegmentLib import mrml
from SSLSegmentLib.slice_views import ForegroundLayer, jump_to_slice, slice_in_view, slice_offsets

ORIENTATIONS = {"Axial": 2, "Coronal": 1, "Sagittal": 0}
"""Each orientation of a view, and the RAS axis that its slices are stacked along."""


def add_singleton(scene, node, name):
    """A view node as Slicer makes them: one for each name, which stays when the scene is closed."""
    node.SetLayoutName(name)
    return scene.AddNode(node)


@pytest.fixture
def views(scene):
    made = {}
    for name in ORIENTATIONS:
        view = add_singleton(scene, slicer.vtkMRMLSliceNode(), name)
        matrix = vtk.vtkMatrix3x3()
        getattr(slicer.vtkMRMLSliceNode, f"Get{name}SliceToRASMatrix")(matrix)
        view.AddSliceOrientationPreset(name, matrix)
        view.SetOrientation(name)
        view.SetFieldOfView(123.0, 77.0, 1.0)
        view.SetXYZOrigin(3.0, 4.0, 0.0)
        made[name] = view
    yield made
    for view in made.values():
        scene.RemoveNode(view)


def offsets(views):
    return {name: view.GetSliceOffset() for name, view in views.items()}


def everything_else(view):
    matrix = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
    return view.GetFieldOfView(), view.GetXYZOrigin(), matrix[:3, :3].tolist(), view.GetOrientation()


UPRIGHT = Geometry((10, 12, 14), (1.0, 2.0, 3.0), (-5.0, -6.0, 40.0))
"""K along S, J along P, I along L. Slicer counts sagittal offsets to the left."""


@pytest.mark.parametrize(
    ("axis", "index", "moved", "offset"),
    [(0, 4, "Axial", 52.0), (1, 3, "Coronal", 0.0), (2, 0, "Sagittal", -5.0), (0, 9, "Axial", 67.0)],
)
def test_the_views_of_that_orientation_go_to_the_slice_and_nothing_else_changes(
    views, scene, add_volume, axis, index, moved, offset
):
    volume = add_volume(np.zeros(UPRIGHT.shape, np.int16), UPRIGHT)
    before, rest = offsets(views), {name: everything_else(view) for name, view in views.items()}
    assert jump_to_slice(scene, volume, axis, index) == 1
    assert offsets(views) == pytest.approx({**before, moved: offset})
    assert {name: everything_else(view) for name, view in views.items()} == rest
    assert slice_in_view(scene, volume, axis) == index


def test_the_slice_is_found_where_a_transform_has_put_it(views, scene, add_volume):
    volume = add_volume(np.zeros(UPRIGHT.shape, np.int16), UPRIGHT)
    turned = np.array([[0, 0, 1, 7], [0, 1, 0, 8], [-1, 0, 0, 9], [0, 0, 0, 1.0]])  # K runs along L now
    volume.SetAndObserveTransformNodeID(linear_transform(scene, turned).GetID())
    assert jump_to_slice(scene, volume, 0, 4) == 1
    assert views["Sagittal"].GetSliceOffset() == pytest.approx(52.0 + 7)
    assert slice_in_view(scene, volume, 0) == 4


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.usefixtures("views")
def test_what_was_jumped_to_is_in_view_on_every_grid(scene, add_volume, geometry, axis):
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    index = geometry.shape[axis] // 2
    if jump_to_slice(scene, volume, axis, index):
        assert slice_in_view(scene, volume, axis) == index
    else:
        assert slice_in_view(scene, volume, axis) is None


def test_a_slice_that_is_not_there(views, scene, add_volume):
    volume = add_volume(np.zeros(UPRIGHT.shape, np.int16), UPRIGHT)
    before = offsets(views)
    with pytest.raises(InputError, match="Slice 10 does not exist"):
        jump_to_slice(scene, volume, 0, 10)
    with pytest.raises(InputError, match="no volume"):
        jump_to_slice(scene, None, 0, 1)
    assert slice_in_view(scene, None, 0) is None
    assert offsets(views) == before


@pytest.mark.parametrize(
    ("axis", "index", "text"), [(0, 0, "S 40.0 mm"), (1, 0, "A 6.0 mm"), (1, 11, "P 16.0 mm"), (2, 13, "L 8.0 mm")]
)
def test_offsets_are_told_as_the_sliders_tell_them(views, scene, add_volume, axis, index, text):
    volume = add_volume(np.zeros(UPRIGHT.shape, np.int16), UPRIGHT)
    assert slice_offsets(volume, axis, [index]) == [text]
    jump_to_slice(scene, volume, axis, index)
    shown = next(view for name, view in views.items() if ORIENTATIONS[name] == 2 - axis)
    assert abs(shown.GetSliceOffset()) == pytest.approx(float(text.split()[1]))


# The layer in front


@pytest.fixture
def composites(scene):
    made = [add_singleton(scene, slicer.vtkMRMLSliceCompositeNode(), name) for name in ("Red", "Green", "Other")]
    yield made
    for node in made:
        scene.RemoveNode(node)


def layers(composites):
    return [
        (
            node.GetBackgroundVolumeID(),
            node.GetForegroundVolumeID(),
            node.GetLabelVolumeID(),
            node.GetForegroundOpacity(),
        )
        for node in composites
    ]


@pytest.fixture
def stage(composites, add_volume):
    """A volume in two of three views, in one of them under a layer of the user."""
    geometry = Geometry((4, 5, 6))
    names = ("image", "users", "other", "unsure")
    nodes = {name: add_volume(np.zeros(geometry.shape, np.int16), geometry, name) for name in names}
    red, green, other = composites
    red.SetBackgroundVolumeID(nodes["image"].GetID())
    green.SetBackgroundVolumeID(nodes["image"].GetID())
    green.SetForegroundVolumeID(nodes["users"].GetID())
    green.SetForegroundOpacity(0.7)
    green.SetLabelVolumeID(nodes["users"].GetID())
    other.SetBackgroundVolumeID(nodes["other"].GetID())
    return nodes


def test_the_layer_is_put_over_its_volume_and_what_was_there_comes_back(scene, composites, stage):
    before = layers(composites)
    layer = ForegroundLayer(scene)
    layer.show(stage["unsure"], stage["image"], 0.4)
    unsure, image = stage["unsure"].GetID(), stage["image"].GetID()
    assert layers(composites) == [
        (image, unsure, None, 0.4),
        (image, unsure, stage["users"].GetID(), 0.4),
        before[2],
    ]
    layer.show(stage["unsure"], stage["image"], 0.9)
    assert [entry[3] for entry in layers(composites)] == [0.9, 0.9, before[2][3]]
    layer.hide()
    assert layers(composites) == before
    layer.hide()
    assert layers(composites) == before


def test_a_view_that_the_user_has_changed_is_left_alone(scene, composites, stage):
    layer = ForegroundLayer(scene)
    layer.show(stage["unsure"], stage["image"], 0.4)
    red, green, _ = composites
    red.SetForegroundVolumeID(stage["other"].GetID())
    green.SetForegroundVolumeID(None)
    now = layers(composites)
    layer.show(stage["unsure"], stage["image"], 0.9)
    layer.hide()
    assert layers(composites) == now


def test_views_and_volumes_may_go_while_the_layer_is_shown(scene, composites, stage):
    red, green, other = composites
    layer = ForegroundLayer(scene)
    layer.show(stage["unsure"], stage["image"], 0.4)
    scene.RemoveNode(red)
    scene.RemoveNode(stage["users"])
    layer.hide()
    assert layers([green])[0][1:] == (None, None, 0.7)
    layer.show(stage["unsure"], stage["image"], 0.4)
    scene.RemoveNode(stage["unsure"])
    layer.hide()
    assert layers([green])[0] == (stage["image"].GetID(), None, None, 0.7)
    assert mrml.volume_geometry(stage["image"]).shape == (4, 5, 6)
    assert other.GetForegroundVolumeID() is None


def test_a_view_that_opens_later_gets_the_layer_too(scene, composites, stage):
    layer = ForegroundLayer(scene)
    layer.show(stage["unsure"], stage["image"], 0.4)
    other = composites[2]
    other.SetBackgroundVolumeID(stage["image"].GetID())
    layer.show(stage["unsure"], stage["image"], 0.4)
    assert other.GetForegroundVolumeID() == stage["unsure"].GetID()
    layer.hide()
    assert other.GetForegroundVolumeID() is None
