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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from SSLSegmentLib.worker_process import creation_flags, python_executable, worker_environment
from SSLSegmentWeb.files_http import SECRET_HEADER

BOOT_S = 120.0
END_S = 6.0
"""A session ends by itself within 5 s of the end of its stdin; what is left after this is killed."""
_LOG_TAIL_BYTES = 4000


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
    """A child process with a folder of its own. It is started once.

    Attributes:
        port: where it listens on loopback; None before and if it failed.
        error: one sentence about why it could not begin, or ended unasked.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.port: int | None = None
        self.error = ""
        self._secret = secrets.token_urlsafe(32)
        self._folder = Path(tempfile.mkdtemp(prefix="sslsegment-web-"))
        self._recipe = recipe
        self._process: asyncio.subprocess.Process | None = None
        self._settled = asyncio.Event()
        self._ending = False
        self.life = asyncio.create_task(self._live())
        """Done when the process has ended, whoever ended it; its folder is gone then."""

    @property
    def folder(self) -> Path:
        """What it writes: uploads, exports, its log."""
        return self._folder

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
        await self._settled_or_spawned()
        if self._process is not None and self._process.returncode is None:
            family = await asyncio.to_thread(_family, self._process.pid)
            self._close_stdin()
            await asyncio.wait({self.life}, timeout=END_S)
            await asyncio.to_thread(_kill, family)
        await asyncio.wait({self.life})

    async def _settled_or_spawned(self) -> None:
        while self._process is None and not self.life.done():
            await asyncio.sleep(0.01)

    async def _live(self) -> None:
        try:
            with (self._folder / "session.log").open("wb") as log:
                self._process = await self._spawn(log)
            await self._begin(self._process)
            self._settled.set()
            await self._process.wait()
            if not self._ending and not self.error:
                self.error = "The session has ended unexpectedly, and what was not exported is lost."
                self._complain()
        except OSError as error:
            self.error = f"The session cannot be started ({error.strerror or error})."
        finally:
            self.port = None
            self._settled.set()
            if self._process is not None:
                self._close_stdin()
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _spawn(self, log: Any) -> asyncio.subprocess.Process:
        own = [str(python_executable()), "-m", "SSLSegmentWeb.session"]
        process = await asyncio.create_subprocess_exec(
            *(self._recipe.command or own),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(self._recipe.environment),
            start_new_session=True,  # Ctrl-C in the terminal is for the gate, which ends its sessions in order
            creationflags=creation_flags(),
        )
        if process.stdin is not None:
            process.stdin.write(self._recipe.order(self._folder, self._secret))
        return process

    async def _begin(self, process: asyncio.subprocess.Process) -> None:
        """Read the only line of stdout."""
        try:
            answer = json.loads(await asyncio.wait_for(process.stdout.readline(), BOOT_S) if process.stdout else b"")
            self.error = str(answer.get("error", ""))
            self.port = None if self.error else int(answer["port"])
        except (asyncio.TimeoutError, ValueError, KeyError, TypeError, AttributeError):
            if not self._ending:
                self.error = "The session could not be started: the reason is in what this server printed."
                self._complain()
        if self.port is None:
            await asyncio.to_thread(_kill, _family(process.pid))

    def _complain(self) -> None:
        """Show the end of the log to who started the server: it goes with the folder."""
        with contextlib.suppress(OSError):
            text = (self._folder / "session.log").read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")
            sys.stderr.write(f"{self.error}\n{text}\n")

    def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


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


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # ended by itself; psutil tells it from another one with its id
            process.kill()
