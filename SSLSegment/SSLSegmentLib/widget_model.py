"""Section 3 of the panel: what to start from, how long to train, and where."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from SSLSegmentLib.choices import PRESETS, segment_choices
from SSLSegmentLib.panel_model import ModelWork
from SSLSegmentLib.panel_tools import attempt
from SSLSegmentLib.widget_tools import Context, ValueBox, say, warn

WEIGHTS_FILTER = "Weights (*.safetensors)"


class ModelSection:
    """Weights, preset, device, and what is rarely changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._work = ModelWork(context.loop)
        self._weights = ValueBox(ui.weightsComboBox, lambda value: context.choose("weights", value))
        self._preset = ValueBox(ui.presetComboBox, lambda value: context.choose("preset", value))
        self._device = ValueBox(ui.deviceComboBox, self._choose_device)
        self._background = ValueBox(ui.backgroundComboBox, lambda value: context.choose("background_segment_id", value))
        ui.weightsFolderPath.currentPath = str(self._work.folder)
        ui.weightsFolderPath.connect("currentPathChanged(QString)", self._choose_folder)
        ui.weightsFileButton.connect("clicked(bool)", self._choose_file)
        ui.saveModelButton.connect("clicked(bool)", self._save_model)

    def look_for_weights(self) -> None:
        """Read again which weights there are."""
        self._work.look_again()
        self.update()

    def update(self) -> None:
        """Show the choices as they are now."""
        loop, ui = self._context.loop, self._ui
        settings = loop.settings
        self._weights.show(self._work.weights(), settings.weights)
        self._preset.show(PRESETS, settings.preset)
        self._device.show(self._work.devices(), settings.device)
        self._background.show(segment_choices(loop.segmentation), settings.background_segment_id)
        say(ui.hardwareLabel, loop.hardware.text)
        ui.saveModelButton.setEnabled(loop.availability("save_model").allowed)

    def _choose_device(self, device: str) -> None:
        self._work.choose_device(device)
        self.update()

    def _choose_folder(self, folder: str) -> None:
        self._work.choose_folder(folder)
        self.update()

    def _choose_file(self, *_arguments: Any) -> None:
        folder = str(self._work.folder)
        file = qt.QFileDialog.getOpenFileName(None, _("Pretrained weights"), folder, _(WEIGHTS_FILTER))
        if file:
            self._context.choose("weights", file)

    def _save_model(self, *_arguments: Any) -> None:
        folder = str(self._work.folder)
        file = qt.QFileDialog.getSaveFileName(None, _("Save trained model"), folder, _(WEIGHTS_FILTER))
        if file:
            attempt(lambda: self._context.loop.save_model(file), warn)
