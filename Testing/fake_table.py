"""What PythonQt's classes really have, out of ``pythonqt_api.json``, and what their properties accept."""

import functools
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TABLE = json.loads(Path(__file__).with_name("pythonqt_api.json").read_text(encoding="utf-8"))
ENTRIES = {name: entry for module in TABLE.values() for name, entry in module.items()}


class NotFakedError(AssertionError):
    """Qt has it, the fake does not do it yet."""


@dataclass(frozen=True)
class Api:
    """What a class and its ancestors have.

    Attributes:
        properties: Qt's type of each, " (read only)" behind it where it cannot be set.
        signals: the signatures of each by its name, without argument names.
        names: methods and enumerators.
    """

    properties: dict[str, str]
    signals: dict[str, list[str]]
    names: frozenset[str]


@functools.cache
def api(class_name: str) -> Api:
    """The whole interface of a class of the table."""
    entry = ENTRIES[class_name]
    parent = api(entry["inherits"]) if entry.get("inherits") in ENTRIES else Api({}, {}, frozenset())
    signals = defaultdict(list, {name: list(known) for name, known in parent.signals.items()})
    for declared in entry.get("signals", []):
        signature = without_argument_names(declared)
        signals[signature.partition("(")[0]].append(signature)
    names = {*entry.get("own", []), *entry.get("slots", []), *entry.get("invokable", [])}
    return Api({**parent.properties, **_properties(entry)}, dict(signals), parent.names | names)


def _properties(entry: dict) -> dict[str, str]:
    declared = entry.get("properties", {})
    return declared if isinstance(declared, dict) else {name: entry["types"].get(name, "") for name in declared}


def without_argument_names(declared: str) -> str:
    """``f(const QString& text, bool)`` as Qt writes it in a connection: ``f(QString,bool)``."""
    name, _, arguments = declared.rstrip(")").partition("(")
    return normalised(f"{name}({','.join(_kind(argument.strip()) for argument in arguments.split(','))})")


def _kind(argument: str) -> str:
    named = re.fullmatch(r"(.+[\s*&])([a-z]\w*)", argument)
    return named[1] if named and named[2] not in ("bool", "char", "double", "float", "int", "long") else argument


def normalised(signature: str) -> str:
    """What Qt does to the signature that is given to connect()."""
    return re.sub(r"\bconst\b|[&\s]", "", signature)


def is_enumeration(kind: str) -> bool:
    return "::" in kind


def check_type(owner: str, name: str, kind: str, value: object) -> None:
    """Raise unless a property of Qt's type ``kind`` accepts ``value``. PythonQt itself also converts numbers."""
    kind = kind.removesuffix(" (read only)")
    if is_enumeration(kind):
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif kind in _PYTHON_TYPES:
        fits = _PYTHON_TYPES[kind](value)
    else:
        fits = kind in {base.__name__ for base in type(value).__mro__}
    if not fits:
        raise AttributeError(
            f"Property '{name}' of {owner} is a {kind or 'property whose type the table lacks'}: "
            f"it does not accept {value!r} of type {type(value).__name__}"
        )


_PYTHON_TYPES: dict[str, Callable[[object], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "double": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "QString": lambda value: isinstance(value, str),
    "QStringList": lambda value: isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value),
    "QVariant": lambda _: True,
}
DEFAULTS = {"bool": False, "int": 0, "double": 0.0, "QString": "", "QStringList": ()}


def missing(class_name: str, name: str) -> Exception:
    """Why a class has not got an attribute: Slicer's neither, or only the fake's (enumerators of ``Qt`` always)."""
    known = api(class_name) if class_name in ENTRIES else Api({}, {}, frozenset([name]))
    if name in known.names or name in known.properties or name in known.signals:
        return NotFakedError(f"{class_name}.{name} exists in Slicer, but the fake does not do it: add it to fake_*.py")
    return AttributeError(f"{class_name} has no attribute '{name}' in Slicer")
