"""PythonQt without Qt: objects, properties, signals and timers, as strict as the table says the real ones are.

The table, ``pythonqt_api.json``, is what Slicer's classes really have (see ``pythonqt_table.py``). Reading, setting,
calling or connecting anything else raises, and so does what exists but is not faked. Nothing is drawn. What a user does
with widgets is in ``fake_user.py``, the widgets are in ``fake_widgets.py``, ``fake_inputs.py`` and
``fake_mrml_widgets.py``, other classes in ``fake_values.py``, and Slicer's application is in ``fake_slicer_app.py``.
"""

import inspect
import time
import types
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from fake_table import DEFAULTS, ENTRIES, TABLE, Api, api, check_type, is_enumeration, missing, normalised
from main_thread import OwnTime


class Stopwatch:
    """How long each handler held up the main thread, calls that a handler makes included."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._depth = 0

    def run(self, label: str, function: Callable, *arguments):
        """Call ``function``; only the outermost call is measured, without the time that other programs took."""
        self._depth += 1
        timer = OwnTime()
        try:
            with timer:
                return function(*arguments)
        finally:
            self._depth -= 1
            if not self._depth:
                self.seconds[label].append(timer.seconds)


class EventLoop:
    """Timers and what is to be done later, on a clock that tests may put forward."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.timers: list[QTimer] = []
        self.shortcuts: list[QObject] = []
        self.stopwatch = Stopwatch()
        for close in vars(self).get("at_end", []):
            close()
        self.at_end: list[Callable] = []
        self._later: list[tuple[float, Callable]] = []
        self._ahead = 0.0

    def now(self) -> float:
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass, and do what falls due."""
        self._ahead += seconds
        self.process()

    def post(self, function: Callable, seconds: float = 0.0) -> None:
        self._later.append((self.now() + seconds, function))

    def process(self) -> None:
        """Do once all that is due now."""
        due = [entry for entry in self._later if entry[0] <= self.now()]
        self._later = [entry for entry in self._later if entry not in due]
        for _, function in due:
            self.stopwatch.run(_label(function), function)
        for timer in list(self.timers):
            timer._fire_if_due()


LOOP = EventLoop()


def _label(function: Callable) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


class FakeType(type):
    """Classes know no more names than the real ones. ``_static_x`` is x where an instance has a property x as well."""

    @property
    def api_name(cls) -> str:
        """The class of the table that this class is, or that it was derived from in Python."""
        return next((base.__name__ for base in cls.__mro__ if base.__name__ in ENTRIES), cls.__name__)

    def __getattr__(cls, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        static = next((vars(base)[f"_static_{name}"] for base in cls.__mro__ if f"_static_{name}" in vars(base)), None)
        if static is not None:
            return static
        raise missing(cls.api_name, name)


class Value(metaclass=FakeType):
    """Base of the classes that are no QObject."""

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        raise missing(type(self).api_name, name)

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} takes no new attribute '{name}'")
        super().__setattr__(name, value)


class QObject(metaclass=FakeType):
    """Properties, signals and children.

    A subclass may define ``_get_x`` to compute a property, ``_clean_x`` to correct a value that is being set and
    ``_after_x`` to act on a change. Setters (``setX``) and getters (``isX``) of properties exist where the table has
    them.
    """

    _initial: ClassVar[dict[str, object]] = {}

    def __init__(self, parent: object = None) -> None:
        self.__dict__.update(_values={}, _dynamic={}, _children=[], _parent=None, _connections=[], _blocked=False)
        if parent is not None:
            self.setParent(parent)

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        self._require_alive(name)
        known = api(type(self).api_name)
        name = _alias(name, known).removesuffix("_")
        if name in known.properties:
            return self._read(name)
        if name in known.signals:
            return Signal(self, known.signals[name])
        if name in known.names:
            member = getattr(type(self), f"_do_{name}", None)
            if member is not None:
                return member.__get__(self)
            accessor = self._accessor(name, known)
            if accessor is not None:
                return accessor
        raise missing(type(self).api_name, name)

    def __setattr__(self, name: str, value: object) -> None:
        self._require_alive(name)
        derived = type(self).__name__ not in ENTRIES
        name = _alias(name, api(type(self).api_name))
        kind = api(type(self).api_name).properties.get(name)
        if name.startswith("_") or (derived and kind is None):
            object.__setattr__(self, name, value)
        elif kind is None:
            raise AttributeError(f"{type(self).__name__} has no property '{name}', and takes no new attributes")
        elif kind.endswith("(read only)"):
            raise AttributeError(f"{type(self).__name__}.{name} is read only")
        else:
            check_type(type(self).__name__, name, kind, value)
            self._write(name, value)

    def _require_alive(self, name: str) -> None:
        if self.__dict__.get("_deleted") and not name.startswith("_"):
            raise ValueError(f"{name} of a {type(self).__name__} that Qt has destroyed")

    def _accessor(self, name: str, known: Api) -> Callable | None:
        for prefix in ("set", "is"):
            rest = name.removeprefix(prefix)
            of_property = rest[:1].lower() + rest[1:]
            if rest not in (name, "") and of_property in known.properties:
                if prefix == "is":
                    return lambda: getattr(self, of_property)
                return lambda value: setattr(self, of_property, value)
        return None

    def _read(self, name: str):
        compute = getattr(type(self), f"_get_{name}", None)
        if compute is not None:
            return compute(self)
        if name in self._values:
            return self._values[name]
        for base in type(self).__mro__:
            if name in vars(base).get("_initial", {}):
                return vars(base)["_initial"][name]
        kind = api(type(self).api_name).properties[name].removesuffix(" (read only)")
        if kind in DEFAULTS or is_enumeration(kind):
            return DEFAULTS.get(kind, 0)
        raise missing(type(self).api_name, name)

    def _write(self, name: str, value: object) -> None:
        before = self._read(name) if name in self._values or hasattr(type(self), f"_after_{name}") else None
        clean = getattr(type(self), f"_clean_{name}", None)
        value = clean(self, value) if clean else value
        self._values[name] = value
        after = getattr(type(self), f"_after_{name}", None)
        if after is not None and before != value:
            after(self, value)

    # Signals

    def connect(self, signature: str, receiver: object, slot: str | None = None) -> bool:
        known = self._known(signature)
        if slot is not None:
            receiver = getattr(receiver, slot.partition("(")[0])
        if not callable(receiver):
            raise TypeError(f"{signature} cannot be connected to {receiver!r}")
        self._connections.append((known, receiver))
        return True

    def disconnect(self, signature: str, receiver: object, slot: str | None = None) -> bool:
        if slot is not None:
            receiver = getattr(receiver, slot.partition("(")[0])
        connection = (self._known(signature), receiver)
        if connection not in self._connections:
            return False
        self._connections.remove(connection)
        return True

    def _known(self, signature: str) -> str:
        given = normalised(signature)
        known = api(type(self).api_name).signals.get(given.partition("(")[0], [])
        if given not in known:
            raise AttributeError(f"{type(self).__name__} has no signal {signature}; it has {known or 'none so called'}")
        return given

    def _emit(self, signature: str, *arguments) -> None:
        """Tell all that are connected to this signature, or to the one without its (default) arguments."""
        known = self._known(signature)
        if self._blocked:
            return
        bare = f"{known.partition('(')[0]}()"
        for connected, slot in list(self._connections):
            if connected == known or (connected == bare != known):
                values = arguments if connected == known else ()
                LOOP.stopwatch.run(_label(slot), slot, *values[: accepted(slot, len(values))])

    def blockSignals(self, block: bool) -> bool:
        before, self._blocked = self._blocked, block
        return before

    def signalsBlocked(self) -> bool:
        return self._blocked

    # Children and dynamic properties

    def children(self) -> list:
        return list(self._children)

    def parent(self):
        return self._parent

    def setParent(self, parent: object) -> None:
        parent = getattr(parent, "_qobject", parent)
        if not isinstance(parent, (QObject, types.NoneType)):
            raise TypeError(f"{parent!r} is no QObject, and cannot be a parent")
        if self._parent is not None:
            self._parent._children.remove(self)
        self._parent = parent
        if parent is not None:
            parent._children.append(self)

    def findChildren(self, kind: type, name: str = "") -> list:
        found = [child for child in self._children if isinstance(child, kind) and name in ("", child.objectName)]
        return found + [each for child in self._children for each in child.findChildren(kind, name)]

    def findChild(self, kind: type, name: str = ""):
        return next(iter(self.findChildren(kind, name)), None)

    def property(self, name: str):
        known = api(type(self).api_name).properties
        return getattr(self, name) if name in known else self._dynamic.get(name)

    def setProperty(self, name: str, value: object) -> bool:
        if name in api(type(self).api_name).properties:
            setattr(self, name, value)
        else:
            self._dynamic[name] = value
        return name in api(type(self).api_name).properties

    def className(self) -> str:
        return type(self).api_name

    def isWidgetType(self) -> bool:
        return any(base.__name__ == "QWidget" for base in type(self).__mro__)

    def inherits(self, name: str) -> bool:
        return any(base.__name__ == name for base in type(self).__mro__)

    def deleteLater(self) -> None:
        LOOP.post(self.delete)

    def delete(self) -> None:
        self._emit("destroyed(QObject*)", self)
        for child in self.children():
            child.delete()
        self.setParent(None)
        self._connections.clear()
        self._deleted = True


def _alias(name: str, known: Api) -> str:
    """PythonQt gives ``objectName`` a second name."""
    return "objectName" if name == "name" and name not in known.properties else name


@dataclass(frozen=True)
class Signal:
    """``button.clicked``: connected without a signature, PythonQt takes the one that tells most."""

    owner: QObject
    signatures: list[str]

    @property
    def _signature(self) -> str:
        return max(self.signatures, key=lambda signature: (signature.count(",") + (signature[-2:] != "()"), signature))

    def connect(self, slot: Callable) -> bool:
        return self.owner.connect(self._signature, slot)

    def disconnect(self, slot: Callable) -> bool:
        return self.owner.disconnect(self._signature, slot)


def accepted(slot: Callable, given: int) -> int:
    """How many of ``given`` arguments PythonQt passes on: to a Python function as many as it takes, to others all."""
    if not isinstance(slot, (types.FunctionType, types.MethodType)):
        return given
    parameters = inspect.signature(slot).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return given
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return min(given, sum(parameter.kind in positional for parameter in parameters))


class QTimer(QObject):
    """On the clock of ``LOOP``."""

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self._due = None

    def start(self, interval: int | None = None) -> None:
        if interval is not None:
            self.interval = interval
        self._due = LOOP.now() + self.interval / 1000
        if self not in LOOP.timers:
            LOOP.timers.append(self)

    def stop(self) -> None:
        self._due = None
        if self in LOOP.timers:
            LOOP.timers.remove(self)

    def delete(self) -> None:
        self.stop()
        super().delete()

    def _get_active(self) -> bool:
        return self._due is not None

    def _fire_if_due(self) -> None:
        if self._due is not None and self._due <= LOOP.now():
            if self.singleShot:
                self.stop()
            else:
                self._due = LOOP.now() + self.interval / 1000
            self._emit("timeout()")

    @staticmethod
    def _static_singleShot(milliseconds: int, function: Callable) -> None:
        LOOP.post(function, milliseconds / 1000)


class FakeModule(types.ModuleType):
    """``qt`` or ``ctk``: the classes of the table, and nothing else."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"{self.__name__}.{name} is not in the table of what the module uses: see pythonqt_table.py"
        )


def make_classes(module: str, behaviours: dict[str, type]) -> dict[str, type]:
    """A class for each name of one part of the table; without behaviour it is its parent with more names."""
    for name in TABLE[module]:
        _make_class(name, behaviours)
    return {name: behaviours[name] for name in TABLE[module]}


def _make_class(name: str, behaviours: dict[str, type]) -> type:
    if name not in behaviours:
        parent = ENTRIES[name].get("inherits")
        base = Value if parent is None else _make_class(parent, behaviours)
        behaviours[name] = FakeType(name, (base,), {})
    return behaviours[name]
