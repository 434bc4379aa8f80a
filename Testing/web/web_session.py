"""A real session process, and a browser's side of its websocket, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import SimpleITK as sitk
from wslink.chunking import UnChunker, generate_chunks

SECRET = "the secret of this session"
HEADERS = {"X-SSLSegment-Secret": SECRET}
KEYS = dict.fromkeys(("altKey", "ctrlKey", "metaKey", "shiftKey"), 0)
VIEW = {"w": 700, "h": 700, "p": 1}
ROOT = Path(__file__).resolve().parents[2]


class Session:
    """The process.

    Attributes:
        process: the process.
        answer: its line on stdout.
        folder: its private folder.
    """

    def __init__(self, folder: Path, order: dict[str, Any]) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "SSLSegmentWeb.session"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment,
            )  # fmt: skip
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        self.answer = json.loads(line) if line else {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.answer['port']}"

    def end(self) -> float:
        """Close stdin, and wait for the end; returns how long that took."""
        began = time.monotonic()
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()
        return time.monotonic() - began


@contextlib.contextmanager
def session(folder: Path, **order: Any) -> Iterator[Session]:
    """A session that has ended after the block."""
    values = {"data_dir": None, "volume": None, "segmentation": None, "upload_limit": 50_000_000} | order
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    folder.mkdir(exist_ok=True)
    running = Session(folder, {"secret": SECRET, "folder": str(folder), **texts})
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end()


class Browser:
    """What the page does over its websocket.

    Attributes:
        state: as the server told it.
        frames: when the latest image of each view came, by the name of the view.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._chunks = UnChunker()
        self._chunks.set_max_message_size(1 << 30)
        self._replies: dict[str, asyncio.Future[Any]] = {}
        self._numbers = 0
        self._news = asyncio.Event()
        self.state: dict[str, Any] = {}
        self.frames: dict[str, float] = {}
        self._reading = asyncio.create_task(self._read())

    async def call(self, method: str, *arguments: Any, system: bool = False) -> Any:
        """Call a method of the server."""
        self._numbers += 1
        name = f"{'system' if system else 'rpc'}:{self._numbers}"
        self._replies[name] = asyncio.get_running_loop().create_future()
        message = {"wslink": "1.0", "id": name, "method": method, "args": list(arguments), "kwargs": {}}
        for chunk in generate_chunks(msgpack.packb(message), 0):
            await self._socket.send_bytes(chunk)
        return await asyncio.wait_for(self._replies[name], 60)

    async def set(self, **values: Any) -> None:
        """Change the state, as a widget does."""
        await self.call("trame.state.update", [{"key": name, "value": value} for name, value in values.items()])
        self.state.update(values)

    async def press(self, testid: str) -> None:
        """Press a button."""
        template = "".join(text for name, text in self.state.items() if name.startswith("trame__template"))
        (tag,) = re.findall(rf'<[^<]*?data-testid="{testid}"[^<]*?>', template)
        handler = html.unescape(re.search(r'@click="([^"]*)"', tag).group(1))
        await self.call("trame.trigger", re.search(r"trigger\('(\w+)'", handler).group(1), [], {})

    async def until(self, condition: Callable[[], Any], seconds: float = 30) -> None:
        """Wait until what the server tells makes ``condition`` true."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), deadline - time.monotonic())

    async def event(self, view: str, **event: Any) -> None:
        """Something done with the mouse in a view."""
        await self.call("trame.rca.event", view, "test", KEYS | event)

    async def scroll(self, view: str, up: bool) -> float:
        """Go one slice up or down with the slider of a view; the seconds until the view shows it."""
        name = f"{view}__SliderState__"
        step = self.state[f"{name}step"] * (1 if up else -1)
        began = time.monotonic()
        self.frames.pop(view, None)
        moved = asyncio.ensure_future(self.set(**{f"{name}value": self.state[f"{name}value"] + step}))
        await self.until(lambda: view in self.frames)
        seconds = self.frames[view] - began
        await moved
        return seconds

    async def exported(self, session: Session) -> sitk.Image:
        """Export the drawing as the page does, download it, and read it."""
        await self.press("export")
        await self.until(lambda: self.state["ExportState__files"])
        (file,) = self.state["ExportState__files"]
        url = f"{session.url}/{file['address']}"
        async with aiohttp.ClientSession(headers=HEADERS) as client, client.get(url) as answer:
            content = await answer.read()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a.seg.nrrd").write_bytes(content)
            return sitk.ReadImage(str(Path(folder) / "a.seg.nrrd"))

    async def close(self) -> None:
        """Close the page."""
        self._reading.cancel()
        await self._socket.close()

    async def _read(self) -> None:
        async for raw in self._socket:
            message = self._chunks.process_chunk(raw.data)
            if message is None:
                continue
            name, result = message.get("id", ""), message.get("result", message.get("error"))
            if name in self._replies:
                self._replies.pop(name).set_result(result)
            elif name.startswith("publish:trame.state.topic"):
                self.state.update(result)
            elif name.startswith("publish:trame.rca.topic.stream"):
                self.frames[result["name"]] = time.monotonic()
            self._news.set()


@contextlib.asynccontextmanager
async def browser(session: Session) -> AsyncIterator[Browser]:
    """A page that is open during the block, with all views at a usual size."""
    address = session.url.replace("http", "ws") + "/ws"
    async with aiohttp.ClientSession() as client, client.ws_connect(address, headers=HEADERS, max_msg_size=0) as socket:
        page = Browser(socket)
        await page.call("wslink.hello", {"secret": "wslink-secret"}, system=True)
        page.state.update((await page.call("trame.state.get"))["state"])
        for view in ("Red", "Green", "Yellow", "ThreeD"):
            await page.call("trame.rca.size", view, "test", VIEW)
        yield page
        await page.close()


async def opened(page: Browser) -> None:
    """Wait until the volume that was ordered is there, and its segmentation."""
    await page.until(lambda: page.state["data_has_segmentation"] and not page.state["data_busy"])


async def paint(page, view, *points):
    """Paint a stroke through points of a view, in pixels from its centre."""
    await page.press("tool-paint")
    size = {"w": VIEW["w"], "h": VIEW["h"]}
    places = [{"x": VIEW["w"] // 2 + x, "y": VIEW["h"] // 2 + y, **size} for x, y in points]
    await page.event(view, type="MouseMove", **places[0])
    await page.event(view, type="LeftButtonPress", **places[0])
    for place in places:
        await page.event(view, type="MouseMove", **place)
    await page.event(view, type="LeftButtonRelease", **places[-1])
