"""Section 8 of the panel: the user's segmentation as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SSLSegmentLib import wording
from SSLSegmentLib.export import suggested_name
from SSLSegmentLib.widget_paths import PathInputs
from SSLSegmentLib.widget_tools import Context, attempt, say

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
        both = loop.volume is not None and loop.segmentation is not None
        ui.exportNameLineEdit.setPlaceholderText(suggested_name(loop.segmentation, loop.volume) if both else "")
        ui.exportDatabaseCheckBox.setEnabled("dcm" in loop.settings.export_formats)
        ui.exportButton.setEnabled(loop.availability("export").allowed)
        ui.exportButton.setToolTip(_(wording.tooltip(loop, "export")))

    def _choose_formats(self, *_arguments: Any) -> None:
        chosen = [ending for name, ending in FORMATS.items() if getattr(self._ui, name).checked]
        self._context.choose("export_formats", chosen)

    def _export(self, *_arguments: Any) -> None:
        loop = self._context.loop
        said = len(loop.messages)

        def tell(sentence: str) -> None:
            say(self._ui.exportLabel, sentence)

        def written(paths: list[Path]) -> None:
            names = ", ".join(path.name for path in paths)
            tell("\n".join([f"Written: {names}", *loop.messages[said:]]))

        tell(_("Writing…"))
        attempt(lambda: loop.start_export(written, lambda error: tell(str(error))), tell)
