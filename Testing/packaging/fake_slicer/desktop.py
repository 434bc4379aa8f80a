"""The few names of the Slicer desktop that a scripted module needs to be loaded, on top of the headless application.

Slicer's own classes of the same names do more; these do what the module relies on, and nothing that Slicer does not.
"""

import importlib
import sys
import types
import unittest
from pathlib import Path

import slicer


class Label:
    """``qt.QLabel`` as far as it is used; an attribute that Qt does not have is an error."""

    __slots__ = ("text", "wordWrap")

    def __init__(self, text):
        self.text = text
        self.wordWrap = False


class Layout:
    """``qt.QVBoxLayout`` as far as it is used."""

    def __init__(self):
        self.items = []

    def addWidget(self, widget):
        self.items.append(widget)

    def addStretch(self, factor):
        self.items.append(factor)

    def count(self):
        return len(self.items)


class Panel:
    """The widget that Slicer makes for a module and hands to its widget class."""

    def __init__(self):
        self._layout = Layout()

    def layout(self):
        return self._layout


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent = parent


class ScriptedLoadableModuleWidget:
    def __init__(self, parent):
        self.parent = parent
        self.layout = parent.layout()

    def setup(self):
        pass


class ScriptedLoadableModuleLogic:
    def __init__(self):
        self.moduleName = type(self).__name__.removesuffix("Logic")


def boot(module_folder):
    """Make ``import qt`` and ``slicer.ScriptedLoadableModule`` work and load SSLSegment.py as Slicer does."""
    sys.modules["qt"] = types.SimpleNamespace(QLabel=Label)
    sys.modules["slicer.i18n"] = types.SimpleNamespace(tr=str, translate=lambda _context, text: text)
    sys.modules["slicer.ScriptedLoadableModule"] = types.SimpleNamespace(
        ScriptedLoadableModule=ScriptedLoadableModule,
        ScriptedLoadableModuleWidget=ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic=ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest=unittest.TestCase,
    )
    sys.path.append(str(module_folder))
    module = importlib.import_module("SSLSegment")

    parent = types.SimpleNamespace(path=str(Path(module_folder) / "SSLSegment.py"))
    module.SSLSegment(parent)

    def open_panel():
        panel = Panel()
        module.SSLSegmentWidget(panel).setup()
        return panel

    parent.widgetRepresentation = open_panel
    importlib.import_module("SSLSegmentLib.headless_app").boot()
    slicer.modules.sslsegment = parent
    slicer.selfTests = {"SSLSegment": lambda: module.SSLSegmentTest().runTest()}
