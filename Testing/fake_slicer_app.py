"""The desktop around the module: ``qt``, ``ctk``, Slicer's widgets, application, modules and base classes.

:class:`Desktop` puts them where the module looks for them, and takes them away again. The scene, all MRML and
``slicer.util`` are Slicer's own.
"""

import importlib.util
import logging
import sys
import types
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import slicer

import fake_inputs
import fake_mrml_widgets
import fake_parameter_node
import fake_qt
import fake_ui
import fake_values
import fake_widgets
from fake_qt import LOOP, FakeModule, QObject, make_classes
from fake_widgets import QVBoxLayout, QWidget

FOLDER = Path(__file__).resolve().parents[1] / "SSLSegment"


class QApplication(QObject):
    """There is one, with cursors that lie over all others."""

    _cursors: ClassVar[list[object]] = []

    @staticmethod
    def setOverrideCursor(cursor: object) -> None:
        QApplication._cursors.append(cursor)

    @staticmethod
    def restoreOverrideCursor() -> None:
        QApplication._cursors.pop()

    @staticmethod
    def overrideCursor():
        return QApplication._cursors[-1] if QApplication._cursors else None


class qSlicerApplication(QApplication):
    """``slicer.app``"""

    applicationName = "Slicer"

    def __init__(self, headless: object, layout_manager: QObject, modules: QObject) -> None:
        super().__init__()
        self.__dict__.update(_headless=headless, _layouts=layout_manager, _modules=modules)
        self._main_window = QWidget()
        self._main_window.objectName = "qSlicerMainWindow"

    def mrmlScene(self):
        return self._headless.scene

    def applicationLogic(self):
        return self._headless.logic

    def layoutManager(self):
        return self._layouts

    def moduleManager(self):
        return self._modules

    def settings(self):
        return fake_values.QSettings()

    userSettings = revisionUserSettings = settings

    def processEvents(self, *_: object) -> None:
        LOOP.process()

    def testingEnabled(self) -> bool:
        return False

    def topLevelWidgets(self) -> list:
        return [self._main_window]

    def commandOptions(self):
        return types.SimpleNamespace(noMainWindow=False, testingEnabled=False)

    def pauseRender(self) -> None:
        """Nothing is drawn."""

    def resumeRender(self) -> None:
        """Nothing is drawn."""

    def setRenderPaused(self, _: bool) -> None:
        """Nothing is drawn."""

    def dicomDatabase(self):
        return None

    def restart(self) -> None:
        self._emit("aboutToQuit()")


class qSlicerModuleManager(QObject):
    def modulesNames(self) -> list[str]:
        return [each.name for each in vars(slicer.modules).values() if isinstance(each, qSlicerScriptedLoadableModule)]

    def module(self, name: str):
        return getattr(slicer.modules, name.lower(), None)


class qSlicerScriptedLoadableModule(QObject):
    """``slicer.modules.sslsegment``"""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self._values.update(name=name, path=str(path))
        self._shown = None

    def createNewWidgetRepresentation(self):
        return qSlicerScriptedLoadableModuleWidget(self)

    def widgetRepresentation(self):
        if self._shown is None:
            self._shown = self.createNewWidgetRepresentation()
            setattr(slicer.modules, f"{self.name}Widget", self._shown.self())
        return self._shown


class qSlicerScriptedLoadableModuleWidget(fake_mrml_widgets.qSlicerWidget):
    """The frame that a module's panel is put into."""

    def __init__(self, module: qSlicerScriptedLoadableModule) -> None:
        super().__init__()
        self._module = module
        self.setLayout(QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)
        self._python = None
        self._make()

    def _make(self) -> None:
        widget_class = getattr(sys.modules[self._module.name], f"{self._module.name}Widget")
        self._python = widget_class(self)
        LOOP.stopwatch.run("setup", self._python.setup)

    def self(self):
        return self._python

    def reload(self) -> None:
        self._make()
        setattr(slicer.modules, f"{self._module.name}Widget", self._python)

    def enter(self) -> None:
        self.__dict__["_entered"] = True
        LOOP.stopwatch.run("enter", getattr(self._python, "enter", lambda: None))

    def exit(self) -> None:
        self.__dict__["_entered"] = False
        LOOP.stopwatch.run("exit", getattr(self._python, "exit", lambda: None))

    def _get_isEntered(self) -> bool:
        return self.__dict__.get("_entered", False)


class ScriptedLoadableModule:
    def __init__(self, parent: QObject) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        slicer.selfTests = {self.moduleName: self.runTest}

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)

    def runTest(self, msec: int = 100, **options) -> None:
        test = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest(**options)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: QWidget) -> None:
        super().__init__()
        self.parent = parent
        self.layout = parent.layout()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def setup(self) -> None:
        """The real one adds the developers' section."""

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def cleanup(self) -> None:
        """For the module to fill."""

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()


class ScriptedLoadableModuleLogic:
    def __init__(self, _parent: object = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        return node or slicer.mrmlScene.AddNode(self.createParameterNode())

    def createParameterNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def delayDisplay(self, message: str, *_: int) -> None:
        logging.getLogger(__name__).info(message)


def _behaviours() -> dict[str, type]:
    found = {}
    for module in (fake_qt, fake_widgets, fake_inputs, fake_values, fake_mrml_widgets):
        found |= {name: value for name, value in vars(module).items() if isinstance(value, fake_qt.FakeType)}
    own = (
        QApplication,
        qSlicerApplication,
        qSlicerModuleManager,
        qSlicerScriptedLoadableModule,
        qSlicerScriptedLoadableModuleWidget,
    )
    return found | {each.__name__: each for each in own}


BEHAVIOURS = _behaviours()
CLASSES = {module: make_classes(module, BEHAVIOURS) for module in ("qt", "ctk", "slicer")}


class Desktop:
    """A Slicer with one module, from start to end.

    Args:
        headless: the booted scene and its logics.
        translate: what ``slicer.i18n.tr`` does to a text.
    """

    def __init__(self, headless: object, translate: Callable[[str], str] = str) -> None:
        self._headless = headless
        self._before: list[tuple[dict, str, object]] = []
        fake_values.reset()
        self._install_modules(translate)
        self.layouts = fake_mrml_widgets.qSlicerLayoutManager(headless.scene, headless.logic)
        self.modules = qSlicerModuleManager()
        self._put(vars(slicer), "app", qSlicerApplication(headless, self.layouts, self.modules))
        self._put(vars(slicer), "modules", types.SimpleNamespace(**vars(slicer.modules)))
        self._put(vars(slicer.util), "loadUI", lambda path: fake_ui.load(path, BEHAVIOURS))
        self._put(vars(slicer), "selfTests", {})

    def _install_modules(self, translate: Callable[[str], str]) -> None:
        self.qt, self.ctk = FakeModule("qt"), FakeModule("ctk")
        self.qt.Qt = fake_values.Qt
        for module in (self.qt, self.ctk):
            vars(module).update(CLASSES[module.__name__])
            self._put(sys.modules, module.__name__, module)
        for name, made in CLASSES["slicer"].items():
            self._put(vars(slicer), name, made)
        bases = [value for name, value in globals().items() if name.startswith("ScriptedLoadableModule")]
        parts = {
            "i18n": types.SimpleNamespace(tr=translate, translate=lambda _context, text: translate(text)),
            "ScriptedLoadableModule": types.SimpleNamespace(**{base.__name__: base for base in bases}),
            "parameterNodeWrapper": fake_parameter_node,
        }
        for name, part in parts.items():
            self._put(sys.modules, f"slicer.{name}", part)
            self._put(vars(slicer), name, part)

    def _put(self, namespace: dict, name: str, value: object) -> None:
        self._before.append((namespace, name, namespace.get(name, _ABSENT)))
        namespace[name] = value

    def load(self, path: Path = FOLDER / "SSLSegment.py") -> qSlicerScriptedLoadableModule:
        """Load a module as Slicer does when it starts."""
        self._put(sys.modules, path.stem, None)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        sys.modules[path.stem] = python = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(python)
        module = qSlicerScriptedLoadableModule(path.stem, path)
        setattr(slicer.modules, path.stem.lower(), module)
        getattr(python, path.stem)(module)
        return module

    @staticmethod
    def python(module: QObject) -> types.ModuleType:
        """The Python module of a loaded module."""
        return sys.modules[module.name]

    def quit(self) -> None:
        """The user closes Slicer."""
        slicer.app._emit("aboutToQuit()")
        self.modules._emit("moduleAboutToBeUnloaded(QString)", "SSLSegment")

    def close(self) -> None:
        """Put everything back as it was."""
        self.layouts._close()
        for namespace, name, value in reversed(self._before):
            if value is _ABSENT:
                namespace.pop(name, None)
            else:
                namespace[name] = value
        for name in [name for name in sys.modules if name.startswith("SSLSegmentLib.widget")]:
            del sys.modules[name]
        fake_values.reset()


_ABSENT = object()
