"""A gate as a real process, and browsers that talk to it over real HTTP."""

import asyncio
import contextlib
import functools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil

STAND_IN = [sys.executable, str(Path(__file__).with_name("stand_in_gate.py"))]
REAL = [sys.executable, "-m", "SSLSegmentWeb"]
READY_S = 60.0


def in_loop(test):
    """A test written as a coroutine."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        return asyncio.run(asyncio.wait_for(test(*args, **kwargs), 120))

    return run


class GateProcess:
    """A server on a free port.

    Attributes:
        url: of the first page, with the token if there is one.
        base: of the server.
    """

    def __init__(self, folder, *options, command=(*STAND_IN, "plain")):
        folder.mkdir(parents=True, exist_ok=True)
        self.temporary = folder / "private"
        self.temporary.mkdir()
        self.log = folder / "gate.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--port", "0", *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(self.temporary)},
            )  # fmt: skip
        self.known = None
        self.url = self._address()
        self.base = self.url.partition("?")[0]
        self.port = int(re.search(r":(\d+)/", self.url).group(1))

    def _address(self):
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"http://\S+", self.printed()):
                return found.group()
            time.sleep(0.05)
        raise AssertionError(self.printed())

    def printed(self):
        return self.log.read_text(encoding="utf-8")

    def folders(self):
        """The private folders that are there now."""
        return sorted(self.temporary.glob("sslsegment-web-*"))

    def family(self):
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def stop(self):
        """End it, whatever the test did; nothing may stay."""
        family = self.family() if self.process.poll() is None else []
        self.process.terminate()
        _, alive = psutil.wait_procs(family, timeout=20)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        assert not alive
        assert self.folders() == []


class Visitor:
    """A browser: keeps its cookies, follows the pages that go on by themselves."""

    def __init__(self, gate):
        self.gate = gate
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.http.close()

    async def get(self, path="/", **options):
        """Status and text."""
        async with self.http.get(self.gate.base.rstrip("/") + path, **options) as answer:
            return answer.status, await answer.text()

    async def enter(self, path=None):
        """Open the first page until it is no longer a page of waiting; what the session says of itself."""
        status, text = await self.get(path or self.gate.url.removeprefix(self.gate.base.rstrip("/")))
        deadline = time.monotonic() + READY_S
        while (onward := re.search(r'http-equiv="refresh" content="\d+;url=([^"]+)"', text)) is not None:
            assert time.monotonic() < deadline, text
            await asyncio.sleep(0.05)
            status, text = await self.get(onward.group(1))
        return status, text

    async def come_back(self):
        """Be the browser that entered first: tests that need no session of their own share one."""
        if self.gate.known is None:
            await self.enter()
            self.gate.known = {cookie.key: cookie.value for cookie in self.http.cookie_jar}
        self.http.cookie_jar.update_cookies(self.gate.known)

    @property
    def cookie(self):
        """As a header."""
        return "; ".join(f"{cookie.key}={cookie.value}" for cookie in self.http.cookie_jar)

    async def inside(self):
        """What the stand-in tells of its session."""
        async with self.http.get(f"{self.gate.base}index.html") as answer:
            assert answer.status == 200, answer.url
            return await answer.json()

    def socket(self, **options):
        headers = {"Origin": self.gate.base.rstrip("/"), **options.pop("headers", {})}
        return self.http.ws_connect(f"{self.gate.base}ws", headers=headers, max_msg_size=0, **options)


async def eventually(condition, seconds=15.0):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
