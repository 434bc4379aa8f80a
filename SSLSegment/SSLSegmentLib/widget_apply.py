"""Section 6 of the panel: the trained model on other volumes of the scene, and on a folder of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from SSLSegmentLib.choices import ENDING_CHOICES
from SSLSegmentLib.panel_tools import attempt
from SSLSegmentLib.widget_paths import PathInputs
from SSLSegmentLib.widget_tools import Context, ValueBox, enable, say, show_progress

PATHS = {
    "applyModelPath": "apply_model",
    "applyFolderPath": "apply_folder",
    "applyOutputPath": "apply_output_folder",
}
SHOWN_MESSAGES = 3


class ApplySection:
    """Which volumes, which folder, how far it is, and how it ended."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._fault = ""
        self._paths = PathInputs(context, PATHS)
        self._ending = ValueBox(ui.applyEndingComboBox, lambda value: context.choose("apply_ending", value))
        ui.applyButton.connect("clicked(bool)", self._apply)
        ui.applyFolderButton.connect("clicked(bool)", self._apply_to_folder)
        ui.applyVolumesSelector.connect("checkedNodesChanged()", self.update)

    def update(self) -> None:
        """Show what may be done, and how far it is."""
        loop, ui, job = self._context.loop, self._ui, self._context.loop.apply
        self._paths.update()
        self._ending.show(ENDING_CHOICES, loop.settings.apply_ending)
        busy = job.state.busy
        for button, action, title, explanation in (
            (ui.applyButton, "start", "Segment these volumes", "Segments each checked volume into a node of its own."),
            (ui.applyFolderButton, "start_folder", "Segment this folder", "Segments each image into a file."),
        ):
            button.setText(_("Cancel") if busy else _(title))
            enable(button, job.availability("cancel" if busy else action), explanation)
        show_progress(ui.applyProgressBar, busy=busy, fraction=job.fraction)
        recent = dict.fromkeys(
            filter(None, [self._fault, job.summary, job.last_error, *job.messages[-SHOWN_MESSAGES:]])
        )
        say(ui.applyLabel, "\n".join(map(_, recent)))

    def _apply(self, *_arguments: Any) -> None:
        chosen = {node.GetID() for node in self._ui.applyVolumesSelector.checkedNodes()}
        volumes = [node for node in self._context.loop.apply.candidates() if node.GetID() in chosen]
        self._start_or_cancel(lambda: self._context.loop.apply.start(volumes))

    def _apply_to_folder(self, *_arguments: Any) -> None:
        overwrite = self._ui.applyOverwriteCheckBox.checked
        self._start_or_cancel(lambda: self._context.loop.apply.start_folder(overwrite=overwrite))

    def _start_or_cancel(self, start: Callable[[], None]) -> None:
        job = self._context.loop.apply
        attempt(job.cancel if job.state.busy else start, self._tell)
        self.update()

    def _tell(self, sentence: str) -> None:
        self._fault = sentence
