"""The user's segmentation, and the model, as files that the browser downloads."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from trame.widgets import client, html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState

from SSLSegmentLib import labels, wording
from SSLSegmentLib.choices import EXPORT_CHOICES
from SSLSegmentLib.panel_export import default_name, format_problem, start_export
from SSLSegmentLib.panel_tools import attempt
from SSLSegmentLib.segments import drawn_state
from SSLSegmentWeb.section_tools import ActionState, Context, Drawing, heading, hint, marks, on_entered

FETCH = "window.setTimeout(() => window.document.querySelector('[data-testid=download-0]')?.click(), 300)"
"""Follows the first address, once it is on the page."""


@dataclass
class FileState:
    """A file to download."""

    name: str
    address: str


@dataclass
class ExportState:
    """What the section shows.

    Attributes:
        formats: those that are chosen.
        problems: why a format cannot be written, by format; only of those that cannot.
        name: what the files are to be called.
        suggested: what they are called where no name is given.
        export: whether there is something to export.
        save_model: whether there is a model.
        text: how it went.
        files: to be downloaded, of the latest export.
    """

    formats: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    name: str = ""
    suggested: str = ""
    export: ActionState = field(default_factory=ActionState)
    save_model: ActionState = field(default_factory=ActionState)
    text: str = ""
    files: list[FileState] = field(default_factory=list)


class ExportSection:
    """Formats, name, export, downloads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._exports = count(1)
        self._state = TypedState(context.server.state, ExportState)
        names = self._state.name
        context.take(names.formats, context.choosing("export_formats"))
        context.take(names.name, context.choosing("export_name"))

    def build(self) -> None:
        """What to write, the button, and the files."""
        names = self._state.name
        with html.Section(classes="ssl-section"):
            heading(labels.SECTIONS["export"], wording.DESCRIPTIONS["export"], icon="mdi-tray-arrow-down")
            self._build_formats()
            with html.Div(classes="mt-2"):
                v3.VTextField(
                    model_value=(names.name,),
                    label=labels.SETTINGS["export_name"].title,
                    placeholder=(names.suggested,),
                    persistent_placeholder=True,
                    density="compact",
                    variant="outlined",
                    hide_details=True,
                    raw_attrs=[*marks("export-name"), on_entered(names.name)],
                )
                hint(labels.SETTINGS["export_name"].tooltip, literal=True)
            with html.Div(classes="ssl-buttons mt-2"):
                self._context.action_button(names.export, "export", self._export, testid="export")
                self._context.action_button(names.save_model, "save_model", self._save_model, testid="save-model")
            html.P(
                f"{{{{ {names.text} }}}}",
                v_if=(names.text,),
                classes="ssl-status",
                raw_attrs=[*marks("exported"), 'role="status"'],
            )
            self._build_files()

    def _build_formats(self) -> None:
        names = self._state.name
        with html.Div(classes="ssl-formats", raw_attrs=['role="group"', f'aria-label="{labels.SECTIONS["export"]}"']):
            for choice in EXPORT_CHOICES:
                problem = f"{names.problems}['{choice.value}']"
                with html.Div(raw_attrs=[f':tabindex="{problem} ? 0 : undefined"']):
                    v3.VCheckbox(
                        v_model=(names.formats,),
                        value=choice.value,
                        label=choice.title,
                        disabled=(f"!!{problem}",),
                        density="compact",
                        color="primary",
                        hide_details=True,
                        raw_attrs=marks(f"export-format-{choice.value}"),
                    )
                    hint(f"{problem} || `{choice.tooltip}`")

    def _build_files(self) -> None:
        files = self._state.name.files
        with html.Div(classes="ssl-files", raw_attrs=['role="status"']):
            v3.VBtn(
                "{{ file.name }}",
                v_for=f"(file, n) in {files}",
                key="file.address",
                href=("file.address",),
                prepend_icon="mdi-download",
                variant="tonal",
                size="small",
                block=True,
                raw_attrs=[':data-testid="`download-${n}`"', ':download="file.name"'],
            )
        self._fetch = client.JSEval(exec=FETCH)

    def show(self) -> None:
        """The choices as they are now."""
        loop, data = self._context.loop, self._state.data
        data.formats = list(loop.settings.export_formats)
        problems = {choice.value: format_problem(loop, choice.value) for choice in EXPORT_CHOICES}
        data.problems = {name: problem for name, problem in problems.items() if problem}
        data.name, data.suggested = loop.settings.export_name, default_name(loop)
        self._context.show_action(data.export, "export")
        self._context.show_action(data.save_model, "save_model")

    def _export(self) -> None:
        """Each export has a folder of its own: an older one may still be on its way to the browser."""
        loop = self._context.loop
        loop.settings.export_folder = str(self._new_folder())
        self._state.data.files = []
        # What is drawn while the files are written is not in them.
        drawing = None if loop.segmentation is None else (loop.segmentation.GetID(), drawn_state(loop.segmentation))
        start_export(loop, lambda paths, told: self._offer(paths, told, drawing), self._tell)

    def _save_model(self) -> None:
        path = self._new_folder() / f"{default_name(self._context.loop)} model.safetensors"
        if attempt(lambda: self._context.loop.save_model(path), self._tell):
            self._offer([path], [], None)

    def _new_folder(self) -> Path:
        folder = self._context.folder / f"export-{next(self._exports)}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _offer(self, paths: list[Path], told: list[str], drawing: Drawing | None) -> None:
        """Show where the files can be had. A single one is on its way without another click."""
        self._tell("\n".join(told))
        addresses = self._context.download(paths, drawing)
        self._state.data.files = [FileState(path.name, address) for path, address in zip(paths, addresses, strict=True)]
        if len(paths) == 1:
            self._fetch.exec()

    def _tell(self, sentence: str) -> None:
        self._state.data.text = sentence
