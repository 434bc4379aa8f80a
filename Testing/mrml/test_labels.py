"""Both faces call an input the same: the texts of ``SSLSegment.ui`` are those of the Qt-free rooms."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from SSLSegmentLib import labels, wording
from SSLSegmentLib.choices import EXPORT_CHOICES
from SSLSegmentLib.export import FORMATS
from SSLSegmentLib.labels import Label
from SSLSegmentLib.loop_state import ACTIONS
from SSLSegmentLib.settings import LoopSettings

UI = Path(__file__).resolve().parents[2] / "SSLSegment" / "Resources" / "UI" / "SSLSegment.ui"
WIDGETS = {widget.get("name"): widget for widget in ET.parse(UI).getroot().iter("widget")}

INPUTS = {
    "axis": "axisComboBox",
    "weights": "weightsComboBox",
    "preset": "presetComboBox",
    "device": "deviceComboBox",
    "background_segment_id": "backgroundComboBox",
    "time_limit_s": "timeLimitSpinBox",
    "seed": "seedSpinBox",
    "show_prediction": "showPredictionCheckBox",
    "prediction_opacity": "predictionOpacitySlider",
    "prediction_style": "predictionStyleComboBox",
    "show_in_3d": "showIn3DCheckBox",
    "show_uncertainty": "showUncertaintyCheckBox",
    "uncertainty_opacity": "uncertaintyOpacitySlider",
    "export_name": "exportNameLineEdit",
}
BUTTONS = {
    "train": "trainButton",
    "suggest_next": "suggestButton",
    "accept_slice": "acceptSliceButton",
    "accept_all": "acceptAllButton",
    "undo": "undoAcceptButton",
    "discard": "discardButton",
    "save_model": "saveModelButton",
    "export": "exportButton",
}
SECTIONS = {
    "slices": "slicesCollapsibleButton",
    "train": "trainCollapsibleButton",
    "result": "resultCollapsibleButton",
    "export": "exportCollapsibleButton",
}
TOOLTIPS = {
    "segmentEditorWidget": labels.DRAWING,
    "slicesTable": labels.SLICES,
    "plotWidget": labels.CURVES,
    "volumesTable": labels.VOLUMES,
    "logTextEdit": labels.LOG.tooltip,
}
FORMAT_BOXES = {
    "seg.nrrd": "exportSegNrrdCheckBox",
    "dcm": "exportDcmCheckBox",
    "nii.gz": "exportNiiGzCheckBox",
    "nrrd": "exportNrrdCheckBox",
    "stl": "exportStlCheckBox",
    "obj": "exportObjCheckBox",
    "ply": "exportPlyCheckBox",
}


def text(name: str, kind: str = "text") -> str:
    found = (entry[0].text for entry in WIDGETS[name].findall("property") if entry.get("name") == kind)
    return (next(found, None) or "").rstrip(":")


def title(name: str) -> str:
    """What is on an input, or on the label in front of it."""
    beside = name[0].lower() + name[1:]
    for ending in ("ComboBox", "SpinBox", "LineEdit"):
        beside = beside.replace(ending, "Label")
    return text(name) or (text(beside) if beside in WIDGETS else "")


def test_every_setting_and_every_action_is_compared():
    assert set(INPUTS) == set(labels.SETTINGS) <= set(LoopSettings.__dataclass_fields__)
    assert set(BUTTONS) | {"stop"} == set(wording.TITLES) == set(ACTIONS)
    assert set(FORMAT_BOXES) == {choice.value for choice in EXPORT_CHOICES} == set(FORMATS)
    assert set(SECTIONS) == set(labels.SECTIONS)


@pytest.mark.parametrize("setting", INPUTS)
def test_an_input_is_called_the_same(setting):
    name = INPUTS[setting]
    assert labels.SETTINGS[setting] == Label(title(name), text(name, "toolTip"))


@pytest.mark.parametrize("action", BUTTONS)
def test_a_button_is_called_the_same(action):
    assert wording.TITLES[action] == text(BUTTONS[action])


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_called_the_same(name):
    assert labels.SECTIONS[name] == text(SECTIONS[name])


@pytest.mark.parametrize("choice", EXPORT_CHOICES, ids=lambda choice: choice.value)
def test_a_format_is_called_the_same(choice):
    name = FORMAT_BOXES[choice.value]
    assert (choice.title, choice.tooltip) == (text(name), text(name, "toolTip"))


@pytest.mark.parametrize("name", TOOLTIPS)
def test_a_list_or_drawing_is_explained_the_same(name):
    assert TOOLTIPS[name] == text(name, "toolTip")


@pytest.mark.parametrize(
    ("label", "name"), [(labels.MARK_EMPTY, "markEmptyButton"), (labels.REMOVE, "removeSliceButton")]
)
def test_a_mark_is_called_the_same(label, name):
    assert label == Label(text(name), text(name, "toolTip"))
