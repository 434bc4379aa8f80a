"""``SSLSegment.ui`` and the code that uses it: names, parameters, scenes, tab order, tooltips, translatable texts."""

import ast
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import pythonqt_table
from fake_parameter_node import WIDGET_PROPERTY, Wrapper, binding
from fake_qt import QObject
from fake_slicer_app import BEHAVIOURS
from fake_ui import load

ROOT = ET.parse(pythonqt_table.UI).getroot()
WIDGETS = {widget.get("name"): widget for widget in ROOT.iter("widget")}
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in pythonqt_table.module_sources()}

PASSIVE = {"QLabel", "QFrame", "QWidget", "QProgressBar", "qMRMLWidget", "QStackedWidget"}
SECTIONS = {"ctkCollapsibleButton", "ctkCollapsibleGroupBox"}
DRAWN = {"qMRMLPlotWidget"}
"""Shows something; the keyboard is of no use in it."""

SHOWN = {"text", "toolTip", "title", "windowTitle", "placeholderText", "specialValueText", "suffix", "format"}
SHOWING = {
    "setText", "setToolTip", "setTitle", "addItem", "insertItem", "setItemText", "appendPlainText", "setPlainText",
    "setFormat", "setPlaceholderText", "setHorizontalHeaderLabels", "QLabel", "QTableWidgetItem", "QListWidgetItem",
    "QAction", "infoDisplay", "errorDisplay", "warningDisplay", "confirmOkCancelDisplay", "confirmYesNoDisplay",
    "messageBox", "showStatusMessage", "getOpenFileName", "getSaveFileName", "getExistingDirectory",
}  # fmt: skip
"""Properties and functions whose texts a user reads."""


def classes_of(*kinds: set[str]) -> list[str]:
    return [name for name, widget in WIDGETS.items() if widget.get("class") in set().union(*kinds)]


INPUTS = [name for name in WIDGETS if name not in classes_of(PASSIVE, SECTIONS, DRAWN)]


def property_of(widget: ET.Element, name: str) -> str | None:
    return next((entry[0].text for entry in widget.findall("property") if entry.get("name") == name), None)


def test_names_are_unique():
    names = [element.get("name") for element in ROOT.iter() if element.tag in ("widget", "layout", "spacer")]
    assert len(names) == len(set(names))


def test_every_widget_that_the_code_uses_exists():
    used = {name: re.findall(r"\bui\.(\w+)", text) for name, text in SOURCES.items()}
    assert sum(map(len, used.values())) > 20
    assert not {(file, name) for file, names in used.items() for name in names if name not in WIDGETS}


def test_every_input_is_used_or_bound():
    used = {name for text in SOURCES.values() for name in re.findall(r"\w+", text)}
    idle = [name for name in INPUTS if name not in used and not property_of(WIDGETS[name], WIDGET_PROPERTY)]
    assert not idle


@pytest.mark.parametrize("name", INPUTS)
def test_every_input_has_a_tooltip(name):
    assert len((property_of(WIDGETS[name], "toolTip") or "").strip()) > 10


def test_tab_order_is_complete():
    stops = [stop.text for stop in ROOT.iter("tabstop")]
    assert len(stops) == len(set(stops))
    assert set(stops) <= set(WIDGETS)
    assert not [name for name in [*INPUTS, *classes_of(SECTIONS)] if name not in stops]


def test_tab_order_follows_the_panel():
    stops = [stop.text for stop in ROOT.iter("tabstop")]
    assert stops == [name for name in WIDGETS if name in stops]


def test_custom_widgets_are_declared():
    declared = {entry.findtext("class") for entry in ROOT.iter("customwidget")}
    assert declared == {kind for widget in WIDGETS.values() if not (kind := widget.get("class")).startswith("Q")}


@pytest.mark.usefixtures("desktop")
def test_every_mrml_widget_gets_the_scene(scene):
    panel = load(str(pythonqt_table.UI), BEHAVIOURS)
    panel.setMRMLScene(scene)
    mrml = [child for child in panel.findChildren(QObject) if child.className().startswith(("qMRML", "qSlicer"))]
    assert len(mrml) > 3
    assert not [child.objectName for child in mrml if child.mrmlScene() is not scene]


def parameter_class(module: object) -> type:
    return next(each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Wrapper))


def test_every_parameter_name_is_one_and_fits_its_widget(desktop):
    module = desktop.load()
    parameters = parameter_class(desktop.python(module)).allParameters
    panel = load(module_path(module) / "Resources" / "UI" / "SSLSegment.ui", BEHAVIOURS)
    bound = [child for child in panel.findChildren(QObject) if child.property(WIDGET_PROPERTY)]
    assert len(bound) > 5
    for widget in bound:
        binding(widget, parameters[widget.property(WIDGET_PROPERTY)])
    names = [widget.property(WIDGET_PROPERTY) for widget in bound]
    assert len(names) == len(set(names))


def module_path(module: QObject) -> Path:
    return Path(module.path).parent


@pytest.mark.parametrize("name", SOURCES)
def test_shown_texts_can_be_translated(name):
    tree = ast.parse(SOURCES[name])
    shown = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and function_name(node) in SHOWING:
            shown += node.args
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "attr", "") in SHOWN:
            shown.append(node.value)
    assert not [ast.unparse(each) for each in shown if untranslated(each)]


def function_name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def untranslated(node: ast.AST) -> list[str]:
    """Words in an expression that are not inside of a call of ``_``."""
    if isinstance(node, ast.Call) and function_name(node) == "_":
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.findall(r"[A-Za-z]{2,}", node.value)
    return [word for child in ast.iter_child_nodes(node) for word in untranslated(child)]


def test_the_rule_about_texts_can_fail():
    assert untranslated(ast.parse("label.setText('Press Train')").body[0])
    assert not untranslated(ast.parse("label.setText(_('Press Train') + ' 3')").body[0])


def test_the_table_holds_what_is_used_and_no_more():
    table = json.loads(pythonqt_table.TABLE.read_text(encoding="utf-8"))
    complete = pythonqt_table.with_ancestors(pythonqt_table.needed(), table)
    assert {module: set(entries) for module, entries in table.items()} == complete


def test_signals_and_typed_properties_are_names_of_the_reference():
    table = json.loads(pythonqt_table.TABLE.read_text(encoding="utf-8"))
    for module in ("qt", "ctk"):
        for name, entry in table[module].items():
            written = {signature.partition("(")[0] for signature in entry["signals"]} | set(entry["properties"])
            assert written <= set(entry["own"]), name


@pytest.mark.data
def test_the_table_equals_the_reference(data_dir):
    """Where the reference is at hand, which was taken from a real Slicer."""
    reference = json.loads((data_dir.parent / "references" / "pythonqt_api.json").read_text(encoding="utf-8"))
    table = json.loads(pythonqt_table.TABLE.read_text(encoding="utf-8"))
    for module, entries in table.items():
        for name, entry in entries.items():
            same = {key: value for key, value in entry.items() if key in reference[module][name]}
            assert same == reference[module][name], name
