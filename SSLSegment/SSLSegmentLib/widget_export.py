"""Section 8 of the panel: the user's segmentation as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SSLSegmentLib import wording
from SSLSegmentLib.panel_export import default_name, start_export
from SSLSegmentLib.widget_paths import PathInputs
from SSLSegmentLib.widget_tools import Context, say

FORMATS = {
    "exportSegNrrdCheckBox": "seg.nrrd",
    "exportDcmCheckBox": "dcm",
    "exportNiiGzCheckBox": "nii.gz",
    "exportNrrdCheckBox": "nrrd",
    "exportStlCheckBox": "stl",
    "exportObjCheckBox": "obj",
    "exportPlyCheckBox": "ply",
}
"""The format that each check box stands for, a key of :data:`SSLSegmentLib.export.FORMATS`."""


class ExportSection:
    """Formats, folder, name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = ui = context.ui
        self._paths = PathInputs(context, {"exportFolderPath": "export_folder"})
        for name in FORMATS:
            getattr(ui, name).connect("clicked(bool)", self._choose_formats)
        ui.exportButton.connect("clicked(bool)", self._export)
        say(ui.exportLabel, "")

    def update(self) -> None:
        """Show the choices as they are now."""
        loop, ui = self._context.loop, self._ui
        self._paths.update()
        for name, ending in FORMATS.items():
            getattr(ui, name).setChecked(ending in loop.settings.export_formats)
        ui.exportNameLineEdit.setPlaceholderText(default_name(loop))
        ui.exportDatabaseCheckBox.setEnabled("dcm" in loop.settings.export_formats)
        ui.exportButton.setEnabled(loop.availability("export").allowed)
        ui.exportButton.setToolTip(_(wording.tooltip(loop, "export")))

    def _choose_formats(self, *_arguments: Any) -> None:
        chosen = [ending for name, ending in FORMATS.items() if getattr(self._ui, name).checked]
        self._context.choose("export_formats", chosen)

    def _export(self, *_arguments: Any) -> None:
        def written(paths: list[Path], told: list[str]) -> None:
            names = ", ".join(path.name for path in paths)
            self._tell("\n".join([f"Written: {names}", *told]))

        start_export(self._context.loop, written, self._tell)

    def _tell(self, sentence: str) -> None:
        say(self._ui.exportLabel, sentence)
