"""Qt Designer's files, made into fake widgets: classes, names, properties, children, items and connections."""

from pathlib import Path
from xml.etree import ElementTree as ET

from fake_qt import QObject
from fake_table import api, is_enumeration


def load(path: str, classes: dict[str, type]) -> QObject:
    """What ``slicer.util.loadUI`` returns.

    Raises:
        KeyError: the file names a class that the table does not have.
        AttributeError: a property, signal or slot that its class does not have, or a value of another type.
    """
    root = ET.fromstring(Path(path).read_text(encoding="utf-8"))
    widget = _make(root.find("widget"), None, classes)
    by_name = {child.objectName: child for child in [widget, *widget.findChildren(QObject)]}
    for connection in root.iter("connection"):
        sender, receiver = (by_name[connection.findtext(end)] for end in ("sender", "receiver"))
        sender.connect(connection.findtext("signal"), receiver, connection.findtext("slot"))
    return widget


def _make(element: ET.Element, parent: QObject | None, classes: dict[str, type]) -> QObject:
    widget = classes[element.get("class")](parent)
    widget.objectName = element.get("name")
    for entry in element.findall("property"):
        _set(widget, entry)
    _fill(element, widget, classes)
    return widget


def _fill(element: ET.Element, widget: QObject, classes: dict[str, type]) -> None:
    for child in element:
        if child.tag == "widget":
            _make(child, widget, classes)
        elif child.tag == "item" and element.tag == "widget":
            widget.addItem(child.findtext("property/string"))
        elif child.tag in ("layout", "item"):
            _fill(child, widget, classes)
    headers = [column.findtext("property/string") for column in element.findall("column")]
    if headers:
        widget.columnCount = len(headers)
        widget.setHorizontalHeaderLabels(headers)


def _set(widget: QObject, entry: ET.Element) -> None:
    name, value = entry.get("name"), entry[0]
    dynamic = entry.get("stdset") == "0" and name not in api(type(widget).__name__).properties
    if dynamic:
        widget.setProperty(name, _value(value))
    elif value.tag in ("enum", "set"):
        kind = api(type(widget).__name__).properties.get(name, "")
        if not is_enumeration(kind):
            raise AttributeError(f"{type(widget).__name__}.{name} in the .ui file is no enumeration")
    elif value.tag not in ("rect", "size", "sizepolicy", "font"):
        setattr(widget, name, _value(value))


def _value(element: ET.Element) -> object:
    if element.tag == "stringlist":
        return [entry.text for entry in element]
    convert = {"bool": "true".__eq__, "number": int, "double": float, "string": str}[element.tag]
    return convert(element.text or "")
