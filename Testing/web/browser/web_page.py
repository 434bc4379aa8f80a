"""The page as its user sees it: buttons by their ``data-testid``, and everything that it said to the console."""

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, Locator
from web_cases import WebCase
from web_server import WebServer
from web_slices import SliceView

READY_MS = 30_000
PICTURES = Path(__file__).resolve().parents[3] / "out" / "web"
BRUSH_PERCENT = 5.0
"""Of the height of the view: what the brush is when the page is opened."""


class WebPage:
    """One tab.

    Args:
        context: of the browser: cookies are shared within it, and nothing else.
        url: what is typed into the address bar.

    Attributes:
        page: Playwright's.
        problems: what the console said as a warning or an error, and exceptions.
        requests: addresses of all requests and websockets.
        frames: bytes of all frames that came over the websocket.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page = context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.set_default_timeout(READY_MS)
        self.answer = self.page.goto(url)

    def open(self) -> "WebPage":
        """Wait until the page is drawn."""
        self("volume-select").wait_for()
        self.page.locator("img.image-display-area").first.wait_for()
        return self

    def __call__(self, testid: str) -> Locator:
        """The element that tests and users know as ``testid``."""
        return self.page.get_by_test_id(testid)

    @property
    def view(self) -> SliceView:
        """The large slice view."""
        return SliceView(self.page, 0)

    def text(self, testid: str) -> str:
        """What an element says; empty while it is not there."""
        found = self(testid)
        return found.inner_text().strip() if found.count() else ""

    def upload(self, kind: str, path: Path | dict) -> None:
        """Choose a file in the dialog behind an upload button, and wait until it is open or refused."""
        if self.text("data-error"):
            self("data-error").get_by_role("button").click()
            self("data-error").wait_for(state="hidden")
        before = self.chosen(kind)
        self(f"upload-{kind}").set_input_files(path)
        self.wait(lambda: self.text("data-error") or self.chosen(kind) != before, "the upload")

    def chosen(self, kind: str) -> str:
        """What is shown as the volume or the segmentation."""
        return self(f"{kind}-select").inner_text()

    def rows(self) -> list[int]:
        """Slices in the list of annotated slices, counted from 0."""
        found = self.page.locator('[data-testid^="slice-row-"]').evaluate_all("all => all.map(e => e.dataset.testid)")
        return [int(name.removeprefix("slice-row-")) for name in found]

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 30.0) -> float:
        """Wait until something can be seen in the page; returns how long it took."""
        begin = time.monotonic()
        while not condition():
            said = {name: self.text(name) for name in ("status", "error", "data-error")}
            assert time.monotonic() - begin < seconds, f"{what} is missing after {seconds} s: {said}, {self.problems}"
            self.page.wait_for_timeout(50)
        return time.monotonic() - begin

    def wait_enabled(self, testid: str, seconds: float = 30.0) -> Locator:
        """The button, once it can be pressed."""
        self.wait(lambda: self(testid).count() and self(testid).is_enabled(), f"a button {testid} to press", seconds)
        return self(testid)

    def press(self, testid: str) -> None:
        """Press a button as soon as it can be pressed."""
        self.wait_enabled(testid).click()

    def train(self, preset: str) -> None:
        """Begin a training."""
        self(f"preset-{preset}").click()
        self.press("train")
        self("stop").wait_for()

    def download(self, testid: str, folder: Path) -> Path:
        """Press a button that leads to a download, and keep the file under the name that the server gives."""
        with self.page.expect_download() as coming:
            self.press(testid)
        path = folder / coming.value.suggested_filename
        coming.value.save_as(path)
        return path

    def picture(self, name: str) -> None:
        """Keep what the page looks like as ``out/web/NAME.png``."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(400)  # tooltips fade, and views are drawn once more in full quality
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def asks_before_leaving(self) -> bool:
        """Whether the browser asks its user when the page is left. Who stays goes on working."""
        return not self.page.evaluate("() => window.dispatchEvent(new Event('beforeunload', { cancelable: true }))")

    def has_unsaved(self) -> bool:
        """Whether the page knows of a drawing that was not exported."""
        return self.page.evaluate("() => window.trame.state.get('data_unsaved')")

    def close(self) -> None:
        """Close the tab as its user does; what was not exported is asked for, and left."""
        self.page.on("dialog", lambda dialog: dialog.accept())
        with self.page.expect_event("close"):  # the question is answered while this waits
            self.page.close(run_before_unload=True)

    def _on_console(self, message) -> None:
        if message.type in {"warning", "error"}:
            self.problems.append(f"{message.type}: {message.text}")


def outside(page: WebPage, server: WebServer) -> list[str]:
    """What a page asked of anybody but its server."""
    own = (server.url, server.url.replace("http:", "ws:"), "data:", f"blob:{server.url}")
    return [url for url in page.requests if not url.startswith(own)]


def draw(page: WebPage, case: WebCase, tool: str = "draw") -> None:
    """Draw the structure on the slices that a user would, by outlines or with the brush."""
    for index in case.drawn:
        page.view.go_to(case.offset(index), case.geometry.spacing[2])
        page.press(f"tool-{tool}")
        if tool == "draw":
            page.view.drag(case.outline(index), case.geometry)
        else:
            radius = page.view.brush_radius(BRUSH_PERCENT, case.geometry)
            for stroke in case.brush_strokes(index, radius):
                page.view.drag(stroke, case.geometry, between=4)
        page.view.settle()
        page.press("tool-none")
        page.wait(lambda row=index: row in page.rows(), f"the row of slice {index}")
