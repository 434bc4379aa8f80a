"""The page: a bar at the top, data and panel at the left, the editor's tools above the views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v3
from trame_client import module as client_module
from trame_server import Server

from SSLSegmentWeb.editor import EditorTools
from SSLSegmentWeb.section_tools import hint, marks

TITLE = "SSLSegment"
SCRIPT = '<script src="sslsegment/page.js"></script>'
DRAWER_WIDTH = 380
OWN = Path(__file__).with_name("page")
STYLE = OWN / "page.css"
ICON = Path(__file__).parents[1] / "Resources" / "SSLSegment.png"


class Page(VAppLayout):
    """Puts the parts of the application where they belong.

    Args:
        server: trame's.
        build_views: adds the grid of views to the element that is open.
        build_drawer: adds what is at the left; given the tools, for the segments.
    """

    def __init__(
        self, server: Server, build_views: Callable[[Any], None], build_drawer: Callable[[EditorTools], None]
    ) -> None:
        super().__init__(server, template_name="main")
        server.state.trame__title = TITLE
        server.state.trame__favicon = "logo.png"
        self.root.theme = "dark"
        with self:
            client.Style(STYLE.read_text(encoding="utf-8"))
            self._build_bar()
            with v3.VMain(classes="d-flex flex-column", style="height: 100vh;"):
                with html.Div():  # the tools take all the height of what they are in
                    self.tools = EditorTools()
                with html.Div(style="flex: 1; min-height: 0; position: relative;"):
                    build_views(self)
                    self.tools.build_options()
            with v3.VNavigationDrawer(permanent=True, location="left", width=DRAWER_WIDTH):
                build_drawer(self.tools)
        self.flush_content()

    def _build_bar(self) -> None:
        with v3.VAppBar(density="compact", height=44, flat=True, border=True), html.Div(classes="ssl-bar"):
            html.Img(src="logo.png", height=26, alt="")
            html.Span(TITLE, classes="ssl-title")
            html.Span("{{ volume_name }}", classes="ssl-name")
            with html.Div(v_if=("volume_name",), classes="ssl-window"):
                v3.VIcon("mdi-contrast-box", size=20)
                v3.VRangeSlider(
                    v_model=("window_range",),
                    min=("window_limits[0]",),
                    max=("window_limits[1]",),
                    step=("(window_limits[1] - window_limits[0]) / 500",),
                    density="compact",
                    hide_details=True,
                    raw_attrs=marks("window", "Brightness and contrast"),
                )
                hint("Brightness and contrast: what is shown as black, and what as white", literal=True)
            with html.Label(classes="ssl-layout"):
                html.Span("Views")
                with html.Select(v_model="layout_id", raw_attrs=marks("layout")):
                    html.Option("{{ name }}", v_for="name in layout_ids", key="name", value=("name",))


def bind_page(app: web.Application) -> None:
    """Serve the first page with our name, icon and script, before trame's own."""
    www = Path(client_module.__file__).with_name("vue3-www")
    index = (www / "index.html").read_text(encoding="utf-8")
    for former, new in (
        ("<title>trame is built by Kitware</title>", f"<title>{TITLE}</title>{SCRIPT}"),
        ('content="Application built with trame, a product from Kitware"', f'content="{TITLE}"'),
        ("We're sorry but trame built by Kitware doesn't", f"{TITLE} doesn't"),
    ):
        index = index.replace(former, new)

    async def first(_: web.Request) -> web.Response:
        return web.Response(text=index, content_type="text/html")

    async def loading(_: web.Request) -> web.FileResponse:
        return web.FileResponse(OWN / "loading.html")

    async def icon(_: web.Request) -> web.FileResponse:
        return web.FileResponse(ICON)

    async def connection(request: web.Request) -> web.Response:
        return web.json_response({"sessionURL": f"{'wss' if 'tls' in request.query else 'ws'}://USE_HOST/ws"})

    app.router.add_get("/index.html", first)
    app.router.add_post("/connection", connection)
    app.router.add_get("/loading.tpl", loading)
    app.router.add_get("/logo.png", icon)
    app.router.add_static("/sslsegment", OWN)
