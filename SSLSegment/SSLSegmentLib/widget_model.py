"""Section 3 of the panel: what to start from, how long to train, and where."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from SSLSegmentLib.choices import PRESETS, segment_choices
from SSLSegmentLib.user_store import set_weights_folder, weights_folder
from SSLSegmentLib.weights import weights_choices
from SSLSegmentLib.widget_tools import Context, ValueBox, attempt, say, warn

DEVICE = "SSLSegment/Device"
"""Where the user's settings keep the device: another computer has other ones."""

WEIGHTS_FILTER = "Weights (*.safetensors)"


class ModelSection:
    """Weights, preset, device, and what is rarely changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._weights_of: tuple[Any, ...] = ()
        self._found: list[tuple[str, str, str]] = []
        self._weights = ValueBox(ui.weightsComboBox, lambda value: context.choose("weights", value))
        self._preset = ValueBox(ui.presetComboBox, lambda value: context.choose("preset", value))
        self._device = ValueBox(ui.deviceComboBox, self._choose_device)
        self._background = ValueBox(ui.backgroundComboBox, lambda value: context.choose("background_segment_id", value))
        context.loop.settings.device = str(context.store.value(DEVICE, context.loop.settings.device))
        ui.weightsFolderPath.currentPath = str(weights_folder(context.store))
        ui.weightsFolderPath.connect("currentPathChanged(QString)", self._choose_folder)
        ui.weightsFileButton.connect("clicked(bool)", self._choose_file)
        ui.saveModelButton.connect("clicked(bool)", self._save_model)

    def look_for_weights(self) -> None:
        """Read again which weights there are."""
        self._weights_of = ()
        self.update()

    def update(self) -> None:
        """Show the choices as they are now."""
        loop, ui = self._context.loop, self._ui
        settings = loop.settings
        self._weights.show(self._choices(settings.weights), settings.weights)
        self._preset.show(PRESETS, settings.preset)
        devices = [(choice.value, choice.title, choice.tooltip) for choice in loop.hardware.choices()]
        self._device.show(devices, settings.device)
        self._background.show(segment_choices(loop.segmentation), settings.background_segment_id)
        say(ui.hardwareLabel, loop.hardware.text)
        ui.saveModelButton.setEnabled(loop.availability("save_model").allowed)

    def _choices(self, chosen: str) -> list[tuple[str, str, str]]:
        """The list of weights; the files are looked at only when another file or folder is chosen."""
        folder = weights_folder(self._context.store)
        if self._weights_of != (folder, chosen):
            self._weights_of = (folder, chosen)
            found = weights_choices(folder, chosen)
            self._found = [(choice.value, choice.title, choice.problem or choice.tooltip) for choice in found]
        return self._found

    def _choose_device(self, device: str) -> None:
        self._context.loop.settings.device = device
        self._context.store.setValue(DEVICE, device)
        self.update()

    def _choose_folder(self, folder: str) -> None:
        set_weights_folder(self._context.store, folder)
        self.look_for_weights()

    def _choose_file(self, *_arguments: Any) -> None:
        folder = str(weights_folder(self._context.store))
        file = qt.QFileDialog.getOpenFileName(None, _("Pretrained weights"), folder, _(WEIGHTS_FILTER))
        if file:
            self._context.choose("weights", file)

    def _save_model(self, *_arguments: Any) -> None:
        folder = str(weights_folder(self._context.store))
        file = qt.QFileDialog.getSaveFileName(None, _("Save trained model"), folder, _(WEIGHTS_FILTER))
        if file:
            attempt(lambda: self._context.loop.save_model(file), warn)
