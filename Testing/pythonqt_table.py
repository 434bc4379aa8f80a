"""Keeps ``pythonqt_api.json``: what the module uses of PythonQt, CTK and Slicer's widgets, and no more.

``python Testing/pythonqt_table.py REFERENCE`` takes each class that the module and the fake use, and its ancestors, out
of the reference: a JSON file with the same three parts, made from a real Slicer. The names in an entry are the
reference's. It knows neither the types of Qt's properties nor the signatures of Qt's signals: those are kept from the
present table, and for a class that is new there they are to be written in by hand.
"""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("pythonqt_api.json")
UI = ROOT / "SSLSegment" / "Resources" / "UI" / "SSLSegment.ui"
WRITTEN_BY_HAND = ("properties", "signals", "types")

OF_THE_APPLICATION = {
    "qt": {"QObject", "QWidget", "QApplication", "QTimer", "QVBoxLayout", "QSettings", "QIcon", "QMessageBox"},
    "ctk": {"ctkMessageBox"},
    "slicer": {
        "qSlicerApplication", "qSlicerCoreApplication", "qSlicerModuleManager", "qSlicerLayoutManager",
        "qMRMLSliceWidget", "qSlicerScriptedLoadableModule", "qSlicerScriptedLoadableModuleWidget", "qMRMLWidget",
    },
}  # fmt: skip
"""What Slicer hands to a module, and what it uses itself to show one."""


def used(sources: list[Path], ui: Path) -> dict[str, set[str]]:
    """The classes that Python files and a .ui file name, by the module that has them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    classes = {
        "qt": set(re.findall(r"\bqt\.(Q[A-Za-z]+)\b", text)) - {"Qt"},
        "ctk": set(re.findall(r"\bctk\.(ctk\w+)", text)),
        "slicer": set(re.findall(r"\bslicer\.(q(?:MRML|Slicer)\w+)", text)),
    }
    for widget in ET.parse(ui).getroot().iter("widget"):
        name = widget.get("class", "")
        module = "ctk" if name.startswith("ctk") else "slicer" if name.startswith(("qMRML", "qSlicer")) else "qt"
        classes[module].add(name)
    return classes


def module_sources() -> list[Path]:
    """The files of the module that know Qt."""
    return [ROOT / "SSLSegment" / "SSLSegment.py", *sorted((ROOT / "SSLSegment" / "SSLSegmentLib").glob("widget*.py"))]


def with_ancestors(classes: dict[str, set[str]], known: dict) -> dict[str, set[str]]:
    """``classes`` and all that they inherit from."""
    place = {name: module for module, entries in known.items() for name in entries}
    todo, complete = [name for names in classes.values() for name in names], {module: set() for module in known}
    while todo:
        name = todo.pop()
        if name not in place:
            raise SystemExit(f"{name} is used, but the table of real classes does not have it")
        complete[place[name]].add(name)
        parent = known[place[name]][name].get("inherits")
        if parent in place and parent not in complete[place[parent]]:
            todo.append(parent)
    return complete


def needed() -> dict[str, set[str]]:
    """What has to be in the table, ancestors left out."""
    found = used(module_sources(), UI)
    return {module: found[module] | OF_THE_APPLICATION[module] for module in found}


def entry(name: str, module: str, reference: dict, present: dict) -> dict:
    """The reference's entry, with what the present table knows beyond it."""
    fresh = reference[module][name]
    kept = {key: value for key, value in present.get(name, {}).items() if key in WRITTEN_BY_HAND and key not in fresh}
    if module != "slicer" and "signals" not in kept:
        sys.stderr.write(
            f"{name} is new: write its 'properties' (name: type) and 'signals' (signatures) into {TABLE}\n"
        )
        kept = {"properties": {}, "signals": []}
    return {**fresh, **kept}


def main(reference_path: str) -> None:
    """Write the table anew."""
    reference = json.loads(Path(reference_path).read_text(encoding="utf-8"))
    present = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
    complete = with_ancestors(needed(), reference)
    table = {
        module: {name: entry(name, module, reference, present.get(module, {})) for name in sorted(names)}
        for module, names in complete.items()
    }
    text = json.dumps(table, indent=1, ensure_ascii=False)
    TABLE.write_text(re.sub(r"\n {4,}|\n {3}(?=[\]}])", " ", text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
