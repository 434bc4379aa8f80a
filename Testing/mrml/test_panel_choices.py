"""What a panel offers, what it keeps with the scene, and which slice it takes for the one in view."""

import dataclasses
import types

import numpy as np
import pytest
import slicer
from mrml_cases import GEOMETRIES, linear_transform

from sslseg.pretrain_settings import BACKBONE_NAMES, METHODS
from sslseg.settings import PRESET_NAMES
from SSLSegmentLib import choices
from SSLSegmentLib.apply_job import ENDINGS
from SSLSegmentLib.parameters import KEPT_WITH_SCENE, OF_THE_USER, read_settings, write_settings
from SSLSegmentLib.settings import STYLES, LoopSettings
from SSLSegmentLib.slice_views import slice_in_view

MOVE = np.array([[0.8, -0.6, 0.0, 12.0], [0.6, 0.8, 0.0, -7.0], [0.0, 0.0, 1.0, 30.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("offered", "allowed"),
    [
        (choices.PRESETS, PRESET_NAMES),
        (choices.METHODS, METHODS),
        (choices.BACKBONES, BACKBONE_NAMES),
        (choices.STYLE_CHOICES, STYLES),
        (choices.ENDING_CHOICES, ENDINGS),
    ],
)
def test_all_that_is_allowed_is_offered(offered, allowed):
    assert [choice.value for choice in offered] == list(allowed)
    assert len({choice.title for choice in offered}) == len(offered)


@pytest.mark.parametrize(
    ("columns", "planes"),
    [
        ([(1, 0, 0), (0, 1, 0), (0, 0, 1)], ["Axial", "Coronal", "Sagittal"]),
        ([(0, 1, 0), (0, 0, -1), (1, 0, 0)], ["Sagittal", "Axial", "Coronal"]),
        ([(0.9, 0.4359, 0), (0, 0, -1), (0.4359, -0.9, 0)], ["Coronal", "Axial", "Sagittal"]),
    ],
)
def test_axes_are_named_by_the_plane_of_their_slices(add_volume, columns, planes):
    geometry = dataclasses.replace(GEOMETRIES["oblique"], direction=tuple(np.array(columns, float).T.ravel()))
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    automatic, *axes = choices.axis_choices(volume)
    assert (automatic.value, automatic.title) == (-1, "Automatic")
    assert [(axis.value, axis.title) for axis in axes] == [
        (n, f"{plane} slices ({'KJI'[n]})") for n, plane in enumerate(planes)
    ]


def test_axes_of_no_volume_and_of_an_empty_one(scene):
    for volume in (None, scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")):
        assert [choice.title for choice in choices.axis_choices(volume)[1:]] == [f"Slices along {n}" for n in "KJI"]


def test_segments_are_offered_as_background(scene):
    assert [choice.value for choice in choices.segment_choices(None)] == [""]
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.GetSegmentation().AddEmptySegment("first", "Größe")
    assert [choice[:2] for choice in choices.segment_choices(node)] == [("", "None"), ("first", "Größe")]


class Node(types.SimpleNamespace):
    """A parameter node that counts what is written to it, and gives lists of another type."""

    def __init__(self, settings):
        super().__init__(**{name: getattr(settings, name) for name in KEPT_WITH_SCENE})
        self.empty_slices = tuple(self.empty_slices)
        self.written = []

    def __setattr__(self, name, value):
        if "written" in vars(self):
            self.written.append(name)
        super().__setattr__(name, value)


def test_every_choice_of_the_scene_is_kept():
    assert set(KEPT_WITH_SCENE) | set(OF_THE_USER) == {entry.name for entry in dataclasses.fields(LoopSettings)}
    assert not set(KEPT_WITH_SCENE) & set(OF_THE_USER)


def test_only_what_differs_is_written():
    settings = LoopSettings(device="cuda:1")
    node = Node(settings)
    assert not write_settings(settings, node)
    assert not read_settings(node, settings)
    settings.preset, settings.empty_slices = "fast", [3]
    assert write_settings(settings, node)
    assert node.written == ["preset", "empty_slices"]
    node.seed, node.excluded_slices = 5, (1, 2)
    assert read_settings(node, settings)
    assert settings == LoopSettings(preset="fast", seed=5, device="cuda:1", empty_slices=[3], excluded_slices=[1, 2])
    assert type(settings.excluded_slices) is list


@pytest.fixture
def view(scene):
    for node in list(scene.GetNodesByClass("vtkMRMLSliceNode")):
        scene.RemoveNode(node)
    return scene.AddNewNodeByClass("vtkMRMLSliceNode")


def look_at(view, affine, axis, index, shape):
    """Show a slice of a grid; ``affine`` leads from (i, j, k, 1) to LPS."""
    centre = np.array([(shape[2] - 1) / 2, (shape[1] - 1) / 2, (shape[0] - 1) / 2, 1.0])
    centre[2 - axis] = index
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    normal, across = (to_ras[:3, n] / np.linalg.norm(to_ras[:3, n]) for n in (2 - axis, (3 - axis) % 3))
    view.SetSliceToRASByNTP(*normal, *across, *(to_ras @ centre)[:3], 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("moved", [False, True])
def test_the_slice_in_view_is_found(scene, add_volume, geometry, view, axis, moved):
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    affine = geometry.affine
    if moved:
        volume.SetAndObserveTransformNodeID(linear_transform(scene, MOVE).GetID())
        affine = MOVE @ affine
    for index in (0, geometry.shape[axis] - 1):
        look_at(view, affine, axis, index, geometry.shape)
        assert slice_in_view(scene, volume, axis) == index
        others = {slice_in_view(scene, volume, other) for other in range(3) if other != axis}
        assert others == {None}
    look_at(view, affine, axis, geometry.shape[axis] + 2, geometry.shape)
    assert slice_in_view(scene, volume, axis) is None


def test_a_view_of_the_layout_comes_first(scene, add_volume, view):
    geometry = GEOMETRIES["oblique"]
    volume = add_volume(np.zeros(geometry.shape, np.int16), geometry)
    shown = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    look_at(view, geometry.affine, 0, 0, geometry.shape)
    look_at(shown, geometry.affine, 0, 2, geometry.shape)
    assert slice_in_view(scene, volume, 0) == 0
    shown.SetMappedInLayout(1)
    assert slice_in_view(scene, volume, 0) == 2
    assert slice_in_view(scene, None, 0) is None
    assert slice_in_view(scene, slicer.vtkMRMLScalarVolumeNode(), 0) is None
