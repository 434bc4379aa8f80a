"""The stand-in for Slicer's parameter node wrapper keeps values in the node, typed, and binds widgets to them."""

import enum
import pathlib
import types
from typing import Annotated

import pytest
import slicer
import vtk

from fake_parameter_node import Choice, Default, WithinRange, parameterNodeWrapper


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@parameterNodeWrapper
class Parameters:
    volume: slicer.vtkMRMLScalarVolumeNode
    opacity: Annotated[float, WithinRange(0, 1)] = 0.5
    preset: Annotated[str, Choice(["fast", "slow"])]
    steps: Annotated[int, Default(3)]
    shown: bool = True
    folder: pathlib.Path
    slices: list[int]
    colour: Colour = Colour.BLUE


@pytest.fixture
def node(scene):
    return scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


@pytest.fixture
def parameters(node):
    return Parameters(node)


def test_defaults(parameters):
    values = {name: parameters.getValue(name) for name in parameters.allParameters}
    assert values == {
        "volume": None,
        "opacity": 0.5,
        "preset": "fast",
        "steps": 3,
        "shown": True,
        "folder": pathlib.Path(),
        "slices": [],
        "colour": Colour.BLUE,
    }


def test_values_are_kept_in_the_node(parameters, node, scene):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    changed = {"volume": volume, "opacity": 0.25, "preset": "slow", "steps": 7, "shown": False}
    changed |= {"folder": pathlib.Path("a ü"), "slices": [1, 2], "colour": Colour.RED}
    for name, value in changed.items():
        setattr(parameters, name, value)
    again = Parameters(node)
    assert {name: again.getValue(name) for name in changed} == changed
    scene.RemoveNode(volume)
    assert again.volume is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opacity", 1.5),
        ("opacity", "much"),
        ("preset", "medium"),
        ("steps", 2.5),
        ("steps", True),
        ("shown", 1),
        ("shown", None),
        ("slices", ["a"]),
    ],
)
def test_a_value_that_does_not_fit_raises(parameters, name, value):
    before = parameters.getValue(name)
    with pytest.raises(ValueError, match=r"\w"):
        setattr(parameters, name, value)
    assert parameters.getValue(name) == before


def test_a_node_of_another_class_raises(parameters, scene):
    with pytest.raises(ValueError, match="vtkMRMLModelNode"):
        parameters.volume = scene.AddNewNodeByClass("vtkMRMLModelNode")


@pytest.mark.parametrize("kind", [dict[str, int] | None, tuple[int, int], object])
def test_a_type_that_slicer_does_not_keep_raises(kind):
    with pytest.raises(TypeError, match="keeps no"):
        parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"member": kind}}))


def test_observers_hear_of_a_change(parameters):
    heard = []
    tag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: heard.append(parameters.steps))
    parameters.steps = 4
    parameters.RemoveObserver(tag)
    parameters.steps = 5
    assert heard == [4]


@pytest.fixture
def gui(desktop):
    widgets = {"opacity": desktop.ctk.ctkSliderWidget, "steps": desktop.qt.QSpinBox, "shown": desktop.qt.QCheckBox}
    made = {name: kind() for name, kind in widgets.items()}
    for name, widget in made.items():
        widget.setProperty("SlicerParameterName", name)
    return types.SimpleNamespace(**made)


def test_widgets_follow_the_parameters_and_the_other_way_round(parameters, gui):
    gui.opacity.decimals = 2
    tag = parameters.connectParametersToGui(vars(gui))
    assert (gui.opacity.value, gui.steps.value, gui.shown.checked) == (0.5, 3, True)
    assert (gui.opacity.minimum, gui.opacity.maximum) == (0, 1)
    parameters.steps = 9
    assert gui.steps.value == 9
    gui.shown.checked = False
    gui.opacity.value = 0.75
    assert (parameters.shown, parameters.opacity) == (False, 0.75)
    parameters.disconnectGui(tag)
    gui.steps.value = 11
    assert parameters.steps == 9


def test_widgets_name_their_parameters(parameters, gui):
    assert parameters.connectGui(gui) is None
    gui.steps.value = 8
    assert parameters.steps == 8


@pytest.mark.parametrize(("widget", "name"), [("QCheckBox", "steps"), ("QSpinBox", "opacity"), ("QComboBox", "colour")])
def test_a_pair_without_connector_raises(parameters, desktop, widget, name):
    with pytest.raises(RuntimeError, match="connects no"):
        parameters.connectParametersToGui({name: getattr(desktop.qt, widget)()})


def test_a_parameter_that_is_not_there_raises(parameters, gui):
    gui.steps.setProperty("SlicerParameterName", "stpes")
    with pytest.raises(ValueError, match="stpes"):
        parameters.connectGui(gui)
