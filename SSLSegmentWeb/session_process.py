"""One session process seen from the gate: how it is started, when it listens, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from SSLSegmentLib.worker_process import creation_flags, python_executable, worker_environment
from SSLSegmentWeb.files_http import SECRET_HEADER

BOOT_S = 120.0
END_S = 6.0
"""A session ends by itself within 5 s of the end of its stdin; what is left after this is killed."""
_LOG_TAIL_BYTES = 4000

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """How all sessions of a server are started.

    Attributes:
        data_dir: files below it may be opened.
        volume: opened at once, with ``segmentation``.
        segmentation: see ``volume``.
        upload_limit: bytes of one upload.
        environment: of the processes.
        command: what to run; None runs the real session.
    """

    data_dir: Path | None
    volume: Path | None
    segmentation: Path | None
    upload_limit: int
    environment: Mapping[str, str]
    command: Sequence[str] | None = None

    def order(self, folder: Path, secret: str) -> bytes:
        """The line that a session reads first."""
        paths = {name: getattr(self, name) for name in ("data_dir", "volume", "segmentation")}
        texts = {name: None if path is None else str(path.absolute()) for name, path in paths.items()}
        values = {"secret": secret, "folder": str(folder), **texts, "upload_limit": self.upload_limit}
        return json.dumps(values).encode() + b"\n"


class SessionProcess:
    """A child process with a folder of its own. It is started once, by its creation.

    Its pipes and its end are waited for in a thread: what asyncio offers takes a process for alive while any of its
    children holds a pipe open.

    Attributes:
        port: where it listens on loopback; None before, after, and if it failed.
        error: one sentence about why it could not begin, or ended unasked.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.port: int | None = None
        self.error = ""
        self._secret = secrets.token_urlsafe(32)
        self._folder = Path(tempfile.mkdtemp(prefix="sslsegment-web-"))
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None
        self._settled = asyncio.Event()
        self._ending = False
        self.life = asyncio.create_task(self._live())
        """Done when the process has ended, whoever ended it; its folder is gone then."""

    @property
    def headers(self) -> dict[str, str]:
        """What every request to it has to carry."""
        return {SECRET_HEADER: self._secret}

    @property
    def alive(self) -> bool:
        """Whether it runs, or is being started."""
        return not self.life.done() and not self._ending

    async def listening(self) -> bool:
        """Wait until it accepts connections; False if it will not, see :attr:`error`."""
        await self._settled.wait()
        return self.port is not None

    async def end(self) -> None:
        """Ask it to end by closing its stdin, kill what has not ended in time, and remove its folder."""
        self._ending = True
        if self._process is not None:
            family = await asyncio.to_thread(_family, self._process.pid)
            self._close_stdin()
            await asyncio.wait({self.life}, timeout=END_S)
            await asyncio.to_thread(_kill_all, self._process, family)
        await asyncio.wait({self.life})

    async def _live(self) -> None:
        try:
            if self._ending:
                return
            self._process = self._spawn()
            await self._begin(self._process)
            self._settled.set()
            await _in_thread(self._process.wait)
            if not self._ending and not self.error:
                self.error = "The session has ended unexpectedly, and what was not exported is lost."
                self._complain()
        except OSError as error:
            self.error = f"The session cannot be started ({error.strerror or error})."
        finally:
            self.port = None
            self._settled.set()
            self._close_stdin()
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        own = [str(python_executable()), "-m", "SSLSegmentWeb.session"]
        with (self._folder / "session.log").open("wb") as log:
            process = subprocess.Popen(
                self._recipe.command or own,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(self._recipe.environment),
                start_new_session=True,  # Ctrl-C in the terminal is for the gate, which ends its sessions in order
                creationflags=creation_flags(),
            )
        if process.stdin is not None:
            process.stdin.write(self._recipe.order(self._folder, self._secret))
            process.stdin.flush()
        return process

    async def _begin(self, process: subprocess.Popen[bytes]) -> None:
        """Read the only line of stdout."""
        try:
            line = await asyncio.wait_for(_in_thread(process.stdout.readline), BOOT_S) if process.stdout else b""
            answer = json.loads(line)
            self.error = str(answer.get("error", ""))
            self.port = None if self.error else int(answer["port"])
        except (asyncio.TimeoutError, ValueError, KeyError, TypeError, AttributeError):
            if not self._ending:
                self.error = "The session could not be started: the reason is in what this server printed."
                self._complain()
        if self.port is None:
            await asyncio.to_thread(_kill_all, process, [])

    def _complain(self) -> None:
        """Show the end of the log to who started the server: it goes with the folder."""
        with contextlib.suppress(OSError):
            text = (self._folder / "session.log").read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")
            sys.stderr.write(f"{self.error}\n{text}\n")

    def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


async def _in_thread(work: Callable[[], T]) -> T:
    """As ``asyncio.to_thread``, for what lasts as long as a session: a thread of its own, which holds nobody up."""
    running, result = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def settle(value: T) -> None:
        if not result.done():
            result.set_result(value)

    def run() -> None:
        value = work()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            running.call_soon_threadsafe(settle, value)

    threading.Thread(target=run, name="session", daemon=True).start()
    return await result


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    """As a worker has it, and with this package importable, wherever the server was started."""
    environment = worker_environment(base)
    here = str(Path(__file__).resolve().parents[1])
    return {**environment, "PYTHONPATH": os.pathsep.join([environment["PYTHONPATH"], here])}


def _family(pid: int) -> list[psutil.Process]:
    """A process with all its descendants."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _kill_all(process: subprocess.Popen[bytes], known: Sequence[psutil.Process]) -> None:
    """Kill a process, its descendants of now, and those that are ``known`` from before."""
    for one in {*known, *(_family(process.pid) if process.poll() is None else ())}:
        with contextlib.suppress(psutil.Error):  # ended by itself; psutil tells it from another one with its id
            one.kill()
