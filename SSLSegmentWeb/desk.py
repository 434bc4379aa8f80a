"""Everything of one session at one place: Slicer, the loop, the page, and the pace at which they work together."""

from __future__ import annotations

import asyncio
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from trame.app import get_server
from trame.widgets import html
from trame_slicer import module as trame_slicer_module
from trame_slicer.core import SlicerApp

from sslseg.errors import SSLSegError
from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentWeb.data import DataSection
from SSLSegmentWeb.data_folder import DataFolder
from SSLSegmentWeb.editor import Editor, EditorTools
from SSLSegmentWeb.files_http import Files
from SSLSegmentWeb.history import EditorHistory
from SSLSegmentWeb.page import Page, bind_page
from SSLSegmentWeb.panel import Panel
from SSLSegmentWeb.scene import Scene
from SSLSegmentWeb.section_tools import Drawing
from SSLSegmentWeb.session import Order
from SSLSegmentWeb.views import Views

BUSY_S, IDLE_S = 0.05, 0.25
SHOW_S = 0.1
"""Between two looks of the page at the loop."""


class Desk:
    """The application of one session.

    Args:
        order: what the gate wants.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._server = server = get_server("sslsegment", client_type="vue3")
        server.enable_module(trame_slicer_module)
        self._app = SlicerApp()
        _publish(self._app)
        self._editor = Editor(server, self._app)
        self._views = Views(server, self._app)
        history = EditorHistory(self._editor.undo_stack, lambda: self.loop.segmentation)
        self.loop = AnnotationLoop(self._app.scene, on_changed=self._on_changed, history=history)
        self.scene = Scene(self._app, self.loop, self._editor, self._views)
        self._files = Files(order.secret, order.folder, order.upload_limit, self._take, self._on_sockets)
        self._panel = Panel(server, self.loop, folder=order.folder, download=self._download)
        self._page = Page(server, self._views.layouts.initialize_layout_grid, self._build_drawer)
        self._editor.connect(self._page.tools)
        self._app.scene.Clear(0)  # brushes that were made before their views would have no view to paint in
        self._show()  # what a page finds first is taken for the user's choice: it has to be what was chosen
        self._changed = True
        self._browsers = 0
        self._leaving: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, ready: Callable[[int], None]) -> asyncio.Task[Any]:
        """Serve on a free loopback port, which ``ready`` is told once connections are accepted."""
        server = self._server

        def bind(wslink: Any) -> None:
            wslink.config["ws_compress"] = False  # nearly all that is sent are JPEG images
            self._files.bind(wslink.app)
            bind_page(wslink.app)

        server.controller.on_server_bind.add(bind)
        server.controller.on_server_ready.add(lambda **_: ready(server.port))
        serving = server.start(
            port=0, host="127.0.0.1", exec_mode="task", open_browser=False, show_connection_info=False, timeout=0,
            disable_logging=True,
        )  # fmt: skip
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._open_first())]
        return serving

    async def end(self) -> None:
        """End the workers, and remove what they wrote."""
        for task in self._tasks:
            task.cancel()
        self.loop.shutdown()
        while self.loop.alive:
            self.loop.poll()
            await asyncio.sleep(BUSY_S)

    def _build_drawer(self, tools: EditorTools) -> None:
        folder = DataFolder(self._order.data_dir)
        self._data = DataSection(
            self._server, self.scene, folder, lambda: tools.build_segments(self._editor.add_segment)
        )
        with html.Div(classes="ssl-panel pb-0"):
            self._data.build()
        self._panel.build()

    async def _open_first(self) -> None:
        await self._server.ready
        order = self._order
        for kind, path in (("volume", order.volume), ("segmentation", order.segmentation)):
            if path is not None:
                await self._attempt(kind, path)

    async def _attempt(self, kind: str, path: Path) -> None:
        try:
            await self._data.open(kind, path)
        except SSLSegError as error:
            with self._server.state as state:
                state.data_error = str(error)

    async def _take(self, kind: str, path: Path) -> None:
        await self._data.open(kind, path)

    def _download(self, paths: list[Path], drawing: Drawing | None) -> list[str]:
        if drawing is not None:
            self.scene.exported(*drawing)
            self._changed = True
        return self._files.offer(paths)

    def _on_changed(self) -> None:
        self._changed = True

    async def _work(self) -> None:
        """Let the loop work, and show what has changed to whoever is there: a panel that is seen wants a worker."""
        running = asyncio.get_running_loop()
        shown = 0.0
        while True:
            careful(self.loop.poll)
            if self._changed and self._browsers and running.time() - shown >= SHOW_S:
                self._changed, shown = False, running.time()
                careful(self._show)
            loop = self.loop
            busy = (
                (self._changed and self._browsers)
                or loop.worker.working
                or any(work.state.busy for work in (loop, loop.apply, loop.pretraining, loop.hardware))
            )
            await asyncio.sleep(BUSY_S if busy else IDLE_S)

    def _show(self) -> None:
        with self._server.state:
            self._panel.show()
            self._data.show()
        self._views.follow(self.loop.overlay.prediction)

    def _on_sockets(self, count: int) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if count > self._browsers:
            self._tasks = [task for task in self._tasks if not task.done()]
            self._tasks.append(asyncio.create_task(self._data.look()))
        self._browsers = count
        if count == 0:
            self._leaving = asyncio.get_running_loop().call_later(self._order.linger_s, self.loop.rest)


def careful(step: Callable[[], None]) -> None:
    """Take a step of the work. A fault in it is printed, and ends nothing else, as in a timer of the desktop."""
    try:
        step()
    except Exception:  # noqa: BLE001 - whatever it is, the page must not stand still
        traceback.print_exc()


def _publish(app: SlicerApp) -> None:
    """Where the functions of slicer.util look for the scene and the logics."""
    slicer.mrmlScene = app.scene
    slicer.modules = types.SimpleNamespace(
        volumes=types.SimpleNamespace(logic=lambda: app.volumes_logic),
        segmentations=types.SimpleNamespace(logic=lambda: app.segmentations_logic),
    )
