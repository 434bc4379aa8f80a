"""The panel of the browser: binds a page to the loop, section by section, in the order of the work.

What can be done, when and why not, and every sentence about it, is said by ``SSLSegmentLib``, as for the desktop.
"""

from __future__ import annotations

from pathlib import Path

from trame.widgets import client, html
from trame_server import Server

from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentLib.panel_slices import SlicesWork
from SSLSegmentLib.panel_tools import look_at_hardware
from SSLSegmentWeb.next_step import NextStep
from SSLSegmentWeb.section_export import ExportSection
from SSLSegmentWeb.section_result import ResultSection
from SSLSegmentWeb.section_slices import SlicesSection
from SSLSegmentWeb.section_tools import Context, Download, Section
from SSLSegmentWeb.section_train import TrainSection

STYLE = Path(__file__).with_name("panel.css")


class Panel:
    """One panel for one loop.

    Args:
        server: the page's server.
        loop: the work.
        folder: private to this session; files to be downloaded are written there.
        download: takes files, and the drawing that they hold, and gives the addresses at which the browser gets them.
    """

    def __init__(self, server: Server, loop: AnnotationLoop, *, folder: Path, download: Download) -> None:
        self._loop = loop
        self._context = context = Context(server, loop, folder, download, self.show)
        slices = SlicesWork(loop)
        self._next_step = NextStep(loop, slices)
        self._sections: list[Section] = [
            SlicesSection(context, slices), TrainSection(context), ResultSection(context), ExportSection(context),
        ]  # fmt: skip
        context.listen()
        self._is_used = False

    def build(self) -> None:
        """Add the panel to the element that is open."""
        client.Style(STYLE.read_text(encoding="utf-8"))
        with html.Div(classes="ssl-panel"):
            for section in self._sections:
                section.build()

    def show(self) -> None:
        """Copy what the loop says into the state of the page; only what has changed is sent."""
        if self._loop.volume is not None and not self._is_used:  # a page that nobody uses starts no worker
            self._is_used = True
            look_at_hardware(self._loop)
        for section in self._sections:
            section.show()
        self._context.step.data.action = self._next_step.action()
