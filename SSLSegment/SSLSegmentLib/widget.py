"""The panel of the desktop: binds ``SSLSegment.ui`` to the loop, and follows the life of scene, module and application.

PythonQt only. What can be done, when and why not, and every sentence about it, is in the Qt-free rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import qt
import slicer
import vtk

from SSLSegmentLib import shortcuts, worker_process
from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentLib.panel_tools import look_at_hardware
from SSLSegmentLib.parameters import read_settings, write_settings
from SSLSegmentLib.widget_apply import ApplySection
from SSLSegmentLib.widget_data import DataSection
from SSLSegmentLib.widget_export import ExportSection
from SSLSegmentLib.widget_first_step import FirstStep
from SSLSegmentLib.widget_model import ModelSection
from SSLSegmentLib.widget_pretrain import PretrainSection
from SSLSegmentLib.widget_result import ResultSection
from SSLSegmentLib.widget_shortcuts import Shortcuts
from SSLSegmentLib.widget_slices import SlicesSection
from SSLSegmentLib.widget_tools import Context, Section
from SSLSegmentLib.widget_train import TrainSection

POLL_MS = 50
IDLE_POLL_MS = 1000
"""While a worker waits for the next training, only its death is of interest."""

UPDATE_MS = 100
"""Many changes within this time are shown together."""


class Panel:
    """One panel, with a loop of its own.

    Args:
        root: the widget that was made of ``SSLSegment.ui``.
        parameter_node: gives the scene's parameter node, wrapped.
    """

    def __init__(self, root: Any, parameter_node: Callable[[], Any]) -> None:
        self._parameter_node = parameter_node
        self._entered = self._closed = self._syncing = self._lost = False
        self._wants_volume = True
        self._weights: Any = None
        self._gui_tag: Any = None
        self._parameter_tag = 0
        self._poll_timer = _timer(POLL_MS, self._poll)
        self._update_timer = _timer(UPDATE_MS, self._update)
        self._update_timer.setSingleShot(True)
        root.setMRMLScene(slicer.mrmlScene)
        ui = slicer.util.childWidgetVariables(root)
        store = qt.QSettings()
        editor = ui.segmentEditorWidget  # whose undo is to know of what is accepted
        self.loop = AnnotationLoop(slicer.mrmlScene, on_changed=self._on_loop_changed, history=editor, store=store)
        self._context = context = Context(ui, self.loop, store)
        self._data = DataSection(context)
        self._slices = SlicesSection(context)
        self._model = ModelSection(context)
        self._train = TrainSection(context)
        self._result = ResultSection(context)
        self._pretrain = PretrainSection(context)
        self._first_step = FirstStep(context, self._on_installed)
        self._sections: list[Section] = [
            self._first_step, self._data, self._slices, self._model, self._train, self._result,
            ApplySection(context), self._pretrain, ExportSection(context),
        ]  # fmt: skip
        self._shortcuts = Shortcuts(
            {
                shortcuts.TRAIN: ui.trainButton.click,
                shortcuts.SUGGEST: ui.suggestButton.click,
                shortcuts.ACCEPT_SLICE: ui.acceptSliceButton.click,
            },
            root,
        )
        self._scene_tags = self._observe_scene()
        slicer.app.connect("aboutToQuit()", self._quit)

    # The module

    def enter(self) -> None:
        """The user opens the module."""
        self._entered = True
        self._wants_volume = True
        self._adopt()
        self._data.enter()
        self._shortcuts.install()
        self._first_step.installer.look_again()
        self._model.look_for_weights()
        look_at_hardware(self.loop)
        self._update()

    def exit(self) -> None:
        """The user opens another module. A training goes on."""
        self._entered = False
        self._shortcuts.remove()
        self._data.exit()

    def close(self) -> None:
        """The module is unloaded or reloaded: leave no process, observer, key or node behind."""
        if self._closed:
            return
        self._closed = True
        self._shortcuts.remove()
        for timer in (self._poll_timer, self._update_timer):
            timer.stop()
        self._leave_parameters()
        for tag in self._scene_tags:
            slicer.mrmlScene.RemoveObserver(tag)
        slicer.app.disconnect("aboutToQuit()", self._quit)
        for section in (self._train, self._pretrain):
            section.close()
        self._data.remove()
        self.loop.shutdown()
        _Farewell(self.loop)

    def _quit(self) -> None:
        """Slicer ends: nobody will poll any more, so workers are not asked but ended."""
        self.close()
        worker_process.end_all()

    # The scene

    def _observe_scene(self) -> list[int]:
        events = slicer.vtkMRMLScene
        return [
            slicer.mrmlScene.AddObserver(event, handler)
            for event, handler in (
                (events.StartCloseEvent, self._on_closing),
                (events.EndCloseEvent, self._on_new_scene),
                (events.EndImportEvent, self._on_new_scene),
                (events.NodeAddedEvent, self._on_node_added),
                (events.NodeRemovedEvent, self._on_node_removed),
            )
        ]

    def _on_closing(self, *_arguments: Any) -> None:
        self._leave_parameters()
        self._lost = False
        self._data.forget()

    def _on_new_scene(self, *_arguments: Any) -> None:
        self._wants_volume = True
        if self._entered:
            self._adopt()
            self._data.enter()
        self._schedule()

    def _on_node_added(self, *_arguments: Any) -> None:
        if self.loop.volume is None and not self._wants_volume:
            self._wants_volume = True
            self._schedule()

    def _on_node_removed(self, *_arguments: Any) -> None:
        parameters = self._context.parameters
        if parameters is not None and not slicer.mrmlScene.IsNodePresent(parameters.parameterNode):
            self._leave_parameters()
            self._lost = True
            self._schedule()

    # Settings of the loop and the parameter node: whichever changes, the other follows at once

    def _adopt(self) -> None:
        """Follow the parameter node of the scene, which may be another one, or another content of the same."""
        if self._context.parameters is None:
            self._context.parameters = parameters = self._parameter_node()
            if self._lost:  # somebody removed the node: a new one gets what was in the old one
                self._lost = False
                self._give_parameters()
            self._gui_tag = parameters.connectGui(self._context.ui)
            self._parameter_tag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_parameters)
        parameters, loop = self._context.parameters, self.loop
        if (parameters.volume, parameters.segmentation) != (loop.volume, loop.segmentation):
            with _Flag(self, "_syncing"):  # marks belong to nodes: let go of those before the marks are read
                loop.set_volume(None)
                loop.set_segmentation(None)
        self._take_parameters()
        with _Flag(self, "_syncing"):
            parameters.Modified()  # selectors did not know nodes yet that came with the parameters

    def _leave_parameters(self) -> None:
        if self._context.parameters is not None:
            self._context.parameters.disconnectGui(self._gui_tag)
            self._context.parameters.RemoveObserver(self._parameter_tag)
            self._context.parameters = None

    def _on_parameters(self, *_arguments: Any) -> None:
        if not self._syncing and not slicer.mrmlScene.IsBatchProcessing():
            self._take_parameters()

    def _take_parameters(self) -> None:
        parameters, loop = self._context.parameters, self.loop
        with _Flag(self, "_syncing"):
            changed = read_settings(parameters, loop.settings)
            loop.set_volume(parameters.volume)
            loop.set_segmentation(parameters.segmentation)
            if changed:
                loop.update_display()
            write_settings(loop.settings, parameters)  # another node has other marks
        self._schedule()

    def _give_parameters(self) -> None:
        parameters, loop = self._context.parameters, self.loop
        with _Flag(self, "_syncing"):
            write_settings(loop.settings, parameters)
            if parameters.volume is not loop.volume:
                parameters.volume = loop.volume
            if parameters.segmentation is not loop.segmentation:
                parameters.segmentation = loop.segmentation

    def _on_loop_changed(self) -> None:
        if self._context.parameters is not None and not self._syncing:
            self._give_parameters()
        self._schedule()
        self._set_pace()

    # What goes on

    def _on_installed(self) -> None:
        look_at_hardware(self.loop)
        self._schedule()

    def _poll(self) -> None:
        self.loop.poll()
        self._set_pace()

    def _set_pace(self) -> None:
        """Poll often while something goes on, seldom while a worker waits, and not at all otherwise."""
        loop = self.loop
        works = (loop, loop.apply, loop.pretraining, loop.hardware)
        busy = loop.worker.working or any(work.state.busy for work in works)
        if busy or loop.alive:
            self._poll_timer.setInterval(POLL_MS if busy else IDLE_POLL_MS)
            if not self._poll_timer.isActive():
                self._poll_timer.start()
        else:
            self._poll_timer.stop()

    def _schedule(self) -> None:
        if self._entered and not self._closed and not self._update_timer.isActive():
            self._update_timer.start()

    def _update(self) -> None:
        if self._closed or not self._entered:
            return
        if self._lost:
            self._adopt()
        if self._wants_volume:
            self._wants_volume = False
            self.loop.choose_defaults()
        if self.loop.pretraining.weights != self._weights:
            self._weights = self.loop.pretraining.weights
            self._model.look_for_weights()
        for section in self._sections:
            section.update()
        self._set_pace()  # what is shown may have to be read first


class _Flag:
    """Sets a flag of an object for the time of a block."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner, self._name = owner, name

    def __enter__(self) -> None:
        setattr(self._owner, self._name, True)

    def __exit__(self, *_error: object) -> None:
        setattr(self._owner, self._name, False)


class _Farewell:
    """Polls a loop that was shut down until its last process is gone, also when its panel is no more."""

    _going: ClassVar[set[_Farewell]] = set()

    def __init__(self, loop: AnnotationLoop) -> None:
        self._loop = loop
        self._timer = _timer(POLL_MS, self._poll)
        self._going.add(self)
        self._timer.start()

    def _poll(self) -> None:
        self._loop.poll()
        if not self._loop.alive:
            self._timer.stop()
            self._going.discard(self)


def _timer(milliseconds: int, action: Callable[[], None]) -> Any:
    timer = qt.QTimer()
    timer.setInterval(milliseconds)
    timer.connect("timeout()", action)
    return timer
