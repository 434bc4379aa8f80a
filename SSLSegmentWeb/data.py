"""The data section: which volume and segmentation are worked on, where they come from, and the segments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server import Server

from sslseg.errors import SSLSegError
from sslseg.labelmap_io import SEGMENTATION_ENDING
from SSLSegmentWeb.data_folder import DataFolder
from SSLSegmentWeb.scene import Scene
from SSLSegmentWeb.section_tools import heading, hint, marks

TOOLTIP = (
    "The image, and the segmentation that you draw. What you upload stays in a folder of this session, which goes when "
    "the session ends."
)
NODE, FILE = "node:", "file:"
ACCEPT = ".nii,.nii.gz,.gz,.nrrd,.mha"


class DataSection:
    """Choose or upload a volume and a segmentation.

    Args:
        server: the page's server.
        scene: opens, shows and keeps them.
        folder: what may be opened without an upload.
        build_segments: adds the segments to the element that is open.
    """

    def __init__(self, server: Server, scene: Scene, folder: DataFolder, build_segments: Callable[[], None]) -> None:
        self._server = server
        self._scene = scene
        self._folder = folder
        self._build_segments = build_segments
        self._files: list[str] = []
        self._work: asyncio.Future[None] | None = None
        self._chosen = {"volume": "", "segmentation": ""}
        state = server.state
        state.data_busy = ""
        state.data_error = ""
        state.data_has_volume = state.data_has_segmentation = state.data_locked = state.data_unsaved = False
        state.upload_share = None
        for kind in self._chosen:
            state[f"{kind}_items"] = []
            state[f"{kind}_choice"] = ""
            state.change(f"{kind}_choice")(self._on_chosen)

    def build(self) -> None:
        """Two lists with a button to upload each, and the segments."""
        with html.Section(classes="ssl-section"):
            heading("Data", TOOLTIP, icon="mdi-image-outline")
            self._build_row("volume", "Volume")
            self._build_row("segmentation", "Segmentation")
            v3.VProgressLinear(
                v_if=("data_busy",),
                indeterminate=("upload_share === null",),
                model_value=("upload_share",),
                height=3,
                classes="mb-1",
            )
            html.P("{{ data_busy }}", v_if=("data_busy",), classes="ssl-note", raw_attrs=['role="status"'])
            v3.VAlert(
                v_if=("data_error",),
                text=("data_error",),
                type="error",
                density="compact",
                variant="tonal",
                closable=True,
                click_close="data_error = ''",
                classes="ssl-text mb-2",
                raw_attrs=marks("data-error"),
            )
            with html.Div(v_if=("data_has_segmentation",)):
                self._build_segments()

    def show(self) -> None:
        """What is worked on now."""
        state, loop = self._server.state, self._scene.loop
        state.data_has_volume = loop.volume is not None
        state.data_has_segmentation = loop.segmentation is not None
        state.data_locked = loop.state.busy or loop.accepting
        state.data_unsaved = self._scene.unsaved
        state.volume_name = loop.volume.GetName() if loop.volume is not None else ""
        self._show_items("volume", self._scene.volumes(), loop.volume, [])
        others = [] if loop.volume is None else [{"title": "New segmentation", "value": "new"}]
        self._show_items("segmentation", self._scene.segmentations(), loop.segmentation, others)

    async def look(self) -> None:
        """Look again at what is in the server's folder."""
        self._files = await asyncio.to_thread(self._folder.names)
        with self._server.state:
            self.show()

    async def open(self, kind: str, path: Path) -> None:
        """Open a file as a volume or as a segmentation of it, one at a time.

        Raises:
            SSLSegError: it cannot be opened.
        """
        state = self._server.state
        with state:
            state.data_error, state.data_busy, state.upload_share = "", f"Opening {path.name} …", None
        await asyncio.sleep(0)
        try:
            await self._scene.open(kind, path)
        finally:
            with state:
                state.data_busy = ""
                self.show()

    def _build_row(self, kind: str, label: str) -> None:
        with html.Div(classes="d-flex align-center mb-2", style="gap: 4px;"):
            v3.VAutocomplete(
                v_model=(f"{kind}_choice",),
                items=(f"{kind}_items",),
                label=label,
                density="compact",
                variant="outlined",
                hide_details=True,
                disabled=(_is_locked(kind),),
                no_data_text="Nothing here yet: upload a file.",
                classes="flex-grow-1",
                style="min-width: 0;",
                menu_props=("{contentClass: 'ssl-menu'}",),
                raw_attrs=marks(f"{kind}-select"),
            )
            self._build_upload(kind, "mdi-upload", f"Upload a {label.lower()}", folder=False)
            if kind == "volume":
                self._build_upload(kind, "mdi-folder-upload-outline", "Upload a DICOM folder", folder=True)

    def _build_upload(self, kind: str, icon: str, title: str, *, folder: bool) -> None:
        test_id = f"upload-{kind}{'-folder' if folder else ''}"
        with v3.VBtn(
            icon=True,
            variant="text",
            size="small",
            disabled=(_is_locked(kind),),
            click="$event.currentTarget.querySelector('input').click()",
            raw_attrs=[f'aria-label="{title}"'],
        ):
            v3.VIcon(icon)
            hint(title, literal=True)
            html.Input(
                type="file",
                style="display: none;",
                click="$event.stopPropagation()",
                change=f"window.sslsegment.upload('{kind}', $event.target)",
                raw_attrs=[
                    *marks(test_id, title),
                    f'accept="{"" if folder else ACCEPT}"',
                    "webkitdirectory" if folder else "",
                ],
            )

    def _show_items(self, kind: str, nodes: list[Any], chosen: Any, others: list[dict[str, str]]) -> None:
        state = self._server.state
        opened = [{"title": node.GetName(), "value": NODE + node.GetID()} for node in nodes]
        names = [
            name for name in self._files if kind == "segmentation" or not name.lower().endswith(SEGMENTATION_ENDING)
        ]
        files = [{"title": name, "value": FILE + name} for name in names]
        state[f"{kind}_items"] = [*opened, *others, *files]
        self._chosen[kind] = NODE + chosen.GetID() if chosen is not None else ""
        state[f"{kind}_choice"] = self._chosen[kind]

    def _on_chosen(self, **_: Any) -> None:
        for kind, known in self._chosen.items():
            value = self._server.state[f"{kind}_choice"]
            if value and value != known:
                self._chosen[kind] = value
                self._work = asyncio.ensure_future(self._attempt(self._take(kind, value)))

    async def _take(self, kind: str, value: str) -> None:
        if value == "new":
            self._scene.new_segmentation()
        elif value.startswith(NODE):
            self._scene.choose(kind, value.removeprefix(NODE))
        else:
            await self.open(kind, await asyncio.to_thread(self._folder.path, value.removeprefix(FILE)))

    async def _attempt(self, work: Awaitable[None]) -> None:
        error = ""
        try:
            await work
        except SSLSegError as problem:
            error = str(problem)
        with self._server.state as state:
            state.data_error = error
            self.show()


def _is_locked(kind: str) -> str:
    """For the page: whether no other file of this kind can be opened now."""
    return "data_locked || !!data_busy" + (" || !data_has_volume" if kind == "segmentation" else "")
