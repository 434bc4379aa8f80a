"""A stand-in for ``slicer.parameterNodeWrapper``: typed values with defaults, kept in a node of the scene.

Values are parameters of the node as text, nodes are its node references; so they are saved and loaded with the scene,
and change when the node does. A type, an annotation or a pair of type and widget that Slicer's own wrapper does not
take is an error here as well.
"""

import enum
import json
import pathlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass

import slicer
import vtk

from fake_qt import LOOP

WIDGET_PROPERTY = "SlicerParameterName"


@dataclass(frozen=True)
class Default:
    value: object


@dataclass(frozen=True)
class Choice:
    choices: typing.Sequence

    def check(self, value: object) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {list(self.choices)}")


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float

    def check(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


@dataclass(frozen=True)
class Minimum:
    minimum: float

    def check(self, value: float) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


@dataclass(frozen=True)
class Maximum:
    maximum: float

    def check(self, value: float) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is above {self.maximum}")


@dataclass(frozen=True)
class Decimals:
    value: int


@dataclass(frozen=True)
class SingleStep:
    value: float


class FixedList(list):
    """A list parameter as it is read. Slicer's writes changes back; here a new list has to be assigned."""

    def _refuse(self, *_: object) -> None:
        raise AssertionError("assign a new list to the parameter instead of changing the one that was read")

    append = extend = insert = remove = pop = clear = sort = reverse = __setitem__ = __delitem__ = _refuse


SCALARS = (bool, int, float, str, pathlib.Path)


class Parameter:
    """One annotated member of the class."""

    def __init__(self, name: str, hint: object, default: object) -> None:
        annotated = typing.get_origin(hint) is typing.Annotated
        self.kind, *extras = typing.get_args(hint) if annotated else (hint,)
        self.name = name
        self.checks = [extra for extra in extras if hasattr(extra, "check")]
        given = [extra.value for extra in extras if isinstance(extra, Default)]
        self.is_node = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)
        self.element = typing.get_args(self.kind)[0] if typing.get_origin(self.kind) is list else None
        if self.element is None and not (self.is_node or self.kind in SCALARS or self._is_enumeration()):
            raise TypeError(f"parameter '{name}': Slicer keeps no {self.kind}")
        self.default = default if default is not NOTHING else (given[0] if given else self._empty())

    def _is_enumeration(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)

    def _empty(self) -> object:
        if self.is_node:
            return None
        if self._is_enumeration():
            return next(iter(self.kind))
        choices = next((check.choices for check in self.checks if isinstance(check, Choice)), None)
        return choices[0] if choices else [] if self.element else self.kind()

    def is_in(self, node: object) -> bool:
        return self.is_node or node.GetParameter(self.name) != ""

    def write(self, node: object, value: object) -> None:
        if self.is_node:
            if value is not None and not isinstance(value, self.kind):
                raise ValueError(f"'{self.name}' is a {self.kind.__name__}, not a {value.GetClassName()}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        self._check(value)
        node.SetParameter(self.name, json.dumps(self._plain(value)))

    def read(self, node: object) -> object:
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        value = json.loads(text) if text else self._plain(self.default)
        if self.element is not None:
            return FixedList(value)
        if self._is_enumeration():
            return self.kind[value]
        return self.kind(value)

    def _plain(self, value: object) -> object:
        return value.name if isinstance(value, enum.Enum) else str(value) if isinstance(value, pathlib.Path) else value

    def _check(self, value: object) -> None:
        values = value if self.element is not None else [value]
        kind = self.element or self.kind
        allowed = (float, int) if kind is float else kind
        for each in values:
            if not isinstance(each, allowed) or (isinstance(each, bool) and kind is not bool):
                raise ValueError(f"'{self.name}' is a {self.kind}, not {each!r}")
            for check in self.checks:
                check.check(each)


NOTHING = object()


class Wrapper:
    """What the decorator adds to a class. The names are Slicer's."""

    allParameters: typing.ClassVar[dict[str, Parameter]]

    def __init__(self, parameterNode: object) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, list[tuple]] = {}
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)

    def getValue(self, name: str) -> object:
        return self.allParameters[name].read(self.parameterNode)

    def setValue(self, name: str, value: object) -> None:
        self.allParameters[name].write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(self.allParameters[name].default)

    def isCached(self, name: str) -> bool:
        return not self.allParameters[name].is_node

    def dataType(self, name: str) -> object:
        return self.allParameters[name].kind

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modified: int) -> int:
        return self.parameterNode.EndModify(was_modified)

    def AddObserver(self, event: object, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def connectGui(self, gui: object) -> None:
        """Bind every widget that has the dynamic property to the parameter that it names.

        As Slicer's, it returns no tag, so what it binds stays bound.
        """
        widgets = [widget for widget in vars(gui).values() if widget.property(WIDGET_PROPERTY)]
        self.connectParametersToGui({widget.property(WIDGET_PROPERTY): widget for widget in widgets})

    def connectParametersToGui(self, mapping: dict[str, object]) -> int:
        unknown = set(mapping) - set(self.allParameters)
        if unknown:
            raise ValueError(f"there is no parameter {sorted(unknown)}")
        tag = len(self._guis)
        self._guis[tag] = [self._bind(name, widget) for name, widget in mapping.items()]
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, self._update_guis)
        LOOP.at_end.append(lambda: self.RemoveObserver(observer))  # Slicer's wrapper never stops observing
        self._update_guis()
        return tag

    def disconnectGui(self, tag: int) -> None:
        for _, widget, _, signature, slot in self._guis.pop(tag, []):
            widget.disconnect(signature, slot)

    def _bind(self, name: str, widget: object) -> tuple:
        write, signature, read = binding(widget, self.allParameters[name])

        def on_changed() -> None:
            if not self._updating:
                self.setValue(name, read(widget))

        widget.connect(signature, on_changed)
        return name, widget, write, signature, on_changed

    def _update_guis(self, *_: object) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for gui in list(self._guis.values()):
                for name, widget, write, *_ in gui:
                    write(widget, self.getValue(name))
        finally:
            self._updating = False


def binding(widget: object, parameter: Parameter) -> tuple[Callable, str, Callable]:
    """How a widget shows a parameter: how to write, the signal, how to read.

    Raises:
        RuntimeError: Slicer has no connector for this pair.
    """
    kind = "node" if parameter.is_node else parameter.kind
    for class_name, of_kind, name, signature in CONNECTORS:
        if (widget.className(), kind) == (class_name, of_kind):
            prepare(widget, parameter)
            return _writer(name, kind), signature, _reader(name, kind)
    raise RuntimeError(f"Slicer connects no {widget.className()} to '{parameter.name}', a {parameter.kind}")


def _writer(name: str, kind: object) -> Callable:
    if kind == "node":
        return lambda widget, value: widget.setCurrentNode(value)
    if kind is pathlib.Path:
        return lambda widget, value: setattr(widget, name, str(value))
    return lambda widget, value: setattr(widget, name, value)


def _reader(name: str, kind: object) -> Callable:
    if kind == "node":
        return lambda widget: widget.currentNode()
    if kind is pathlib.Path:
        return lambda widget: pathlib.Path(getattr(widget, name))
    return lambda widget: getattr(widget, name)


def prepare(widget: object, parameter: Parameter) -> None:
    """What connecting does to the widget: its range, and the nodes that it offers."""
    if parameter.is_node:
        widget.nodeTypes = [parameter.kind.__name__]
    if parameter.kind not in (int, float) or widget.className() == "QLineEdit":
        return
    low = next((check.minimum for check in parameter.checks if hasattr(check, "minimum")), None)
    high = next((check.maximum for check in parameter.checks if hasattr(check, "maximum")), None)
    if widget.className() in ("ctkSliderWidget", "QSlider") and None in (low, high):
        raise RuntimeError(f"the slider of '{parameter.name}' needs a parameter with a range")
    widest = 2.0**31 - 1 if parameter.kind is int else float("inf")
    widget.minimum = parameter.kind(low) if low is not None else (-int(widest) if parameter.kind is int else -widest)
    widget.maximum = parameter.kind(high) if high is not None else parameter.kind(widest)


CONNECTORS = (
    ("QCheckBox", bool, "checked", "stateChanged(int)"),
    ("QPushButton", bool, "checked", "toggled(bool)"),
    ("QSpinBox", int, "value", "valueChanged(int)"),
    ("QSlider", int, "value", "valueChanged(int)"),
    ("QDoubleSpinBox", float, "value", "valueChanged(double)"),
    ("ctkSliderWidget", float, "value", "valueChanged(double)"),
    ("QLineEdit", str, "text", "textChanged(QString)"),
    ("ctkPathLineEdit", pathlib.Path, "currentPath", "currentPathChanged(QString)"),
    ("ctkDirectoryButton", pathlib.Path, "directory", "directoryChanged(QString)"),
    ("qMRMLNodeComboBox", "node", "currentNode", "currentNodeChanged(vtkMRMLNode*)"),
)
"""Class of the widget, type of the parameter, the widget's property, its signal. (Slicer also fills combo boxes.)"""


def parameterNodeWrapper(decorated: type) -> type:
    """The decorator."""
    parameters = {
        name: Parameter(name, hint, getattr(decorated, name, NOTHING))
        for name, hint in typing.get_type_hints(decorated, include_extras=True).items()
    }
    reserved = set(parameters) & set(dir(Wrapper))
    if reserved:
        raise ValueError(f"{sorted(reserved)} are names of the wrapper's own")
    accessors = {name: _accessor(name) for name in parameters}
    own = {name: value for name, value in vars(decorated).items() if isinstance(value, types.FunctionType)}
    return type(decorated.__name__, (Wrapper,), {**own, **accessors, "allParameters": parameters})


def _accessor(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))
