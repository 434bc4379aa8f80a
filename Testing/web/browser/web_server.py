"""``sslsegment-web`` as a user starts it, on a port of its own, and the processes below it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

READY_S = 60.0
END_S = 15.0
COMMAND = (sys.executable, "-m", "SSLSegmentWeb")


class WebServer:
    """A running server.

    Args:
        folder: its output is kept there.
        options: of the command line.
        port: 0 takes a free one.

    Attributes:
        url: of the page.
        log: what it printed.
    """

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log = folder / f"server-{self.port}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*COMMAND, *options, "--port", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        wait_until(self._answers, READY_S, lambda: f"the server is not ready: {self.log.read_text()}")

    def processes(self, of: str) -> list[psutil.Process]:
        """Its descendants whose command line has ``of``, for example "sslseg.worker"."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in psutil.Process(self._process.pid).children(recursive=True) if _runs(child, of)]
        return []

    def stop(self) -> None:
        """End it as Ctrl-C does, and see that nothing of it is left."""
        family = [*self.processes(""), psutil.Process(self._process.pid)]
        self._process.terminate()
        _, alive = psutil.wait_procs(family, timeout=END_S)
        for process in alive:
            process.kill()
        self._process.wait()
        assert not alive, [process.cmdline() for process in alive]

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            fetch(self.url)
            return True
        return False


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url: str, **headers: str) -> tuple[int, bytes]:
    """Status and body of an address, as a program without cookies gets them."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def wait_until(condition: Callable[[], object], seconds: float, why: Callable[[], str]) -> float:
    """Wait for a condition outside of a page; returns how long it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, why()
        time.sleep(0.05)
    return time.monotonic() - begin


def _runs(process: psutil.Process, of: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return of in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    return False


os.environ.setdefault("OMP_NUM_THREADS", "1")
