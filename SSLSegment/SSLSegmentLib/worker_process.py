"""The viewer's end of the worker: starts, feeds, reads, cancels and ends it, without Qt and without ever blocking.

Two threads read the child's pipes to end of file and one writes to it; they only move lines through queues. Everything
is handed to the owner in :meth:`WorkerProcess.poll`, which the owner calls on its main thread: from a QTimer in the
desktop, an asyncio task in the web app, a plain loop in tests and batch work.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sslseg
from sslseg.errors import SSLSegError
from sslseg.protocol import decode, encode

CREATE_NO_WINDOW = 0x08000000  # subprocess names it on Windows only
GRACE_S = 3.0
DRAIN_S = 2.0
KEPT_LINES = 1000

OnMessage = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Exit:
    """How a worker ended.

    Attributes:
        code: the exit code; negative on POSIX where a signal ended it.
        requested: whether :meth:`WorkerProcess.stop` or :meth:`WorkerProcess.kill` was called.
        last_lines: the end of what it printed, oldest first.
    """

    code: int
    requested: bool
    last_lines: list[str]


class WorkerProcess:
    """One child process that talks :mod:`sslseg.protocol`. It is started once; a new one takes its place.

    Args:
        command: what to run; None runs ``sslseg.worker`` with the Python that :func:`python_executable` finds.
        on_message: called in :meth:`poll` with each message of the child.
        on_exit: called in :meth:`poll` once, after the last message.
        log_path: file for everything else that the child prints; replaced if it is there.
        folder: exchange files, which the child removes if this process dies; only without ``command``.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        on_message: OnMessage,
        on_exit: Callable[[Exit], None],
        log_path: str | os.PathLike[str],
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self._command = list(command) if command is not None else worker_command(folder)
        self._on_message = on_message
        self._on_exit = on_exit
        self.log_path = Path(log_path)
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._numbers = itertools.count(1)
        self._requested = False
        self._kill_at: float | None = None
        self._ended_at: float | None = None
        self._descendants: list[Any] = []
        self._log: IO[bytes] | None = None
        self._log_lock = threading.Lock()

    def start(self) -> None:
        """Start the child and return at once; it says ready by a message of its own.

        Raises:
            SSLSegError: the program or the log file cannot be opened.
        """
        try:
            self._log = self.log_path.open("wb")
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=worker_environment(os.environ),
                creationflags=creation_flags(),
            )
        except OSError as error:
            self._close_log()
            raise SSLSegError(f"The worker cannot be started with {self._command[0]}: {error.strerror}.") from error
        _RUNNING.add(self)
        child = self._process
        self._readers = [
            threading.Thread(target=self._read_messages, args=(child.stdout,), name="worker stdout", daemon=True),
            threading.Thread(target=self._read_log, args=(child.stderr,), name="worker stderr", daemon=True),
        ]
        writer = threading.Thread(target=self._write, args=(child.stdin,), name="worker stdin", daemon=True)
        for thread in (*self._readers, writer):
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process else None

    def send(self, request: Mapping[str, Any]) -> int:
        """Queue a request without its ``id``; the id that it gets is returned."""
        number = next(self._numbers)
        self._outbox.put(encode({**request, "id": number}))
        return number

    def cancel(self, job: int) -> int:
        """Ask the child to stop one of its jobs, running or waiting."""
        return self.send({"do": "cancel", "job": job})

    def poll(self) -> None:
        """Hand over what has arrived, then look whether the child has ended or must be ended. Main thread only."""
        self._deliver()
        if self._process is None:
            return
        if self._process.poll() is None:
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self.kill()
        elif self._drained():
            self._deliver()
            self._finish(self._process)

    def stop(self, grace: float = GRACE_S) -> None:
        """Ask the child to end; after ``grace`` seconds :meth:`poll` kills what is left of it and its children."""
        if self._process is None or self._requested:
            return
        self._requested = True
        self._descendants = _descendants(self._process.pid)
        self.send({"do": "shutdown"})
        self._outbox.put(None)
        self._kill_at = time.monotonic() + grace

    def kill(self) -> None:
        """End the child and all its children now."""
        if self._process is None:
            return
        self._requested = True
        self._kill_at = None
        _kill([*self._descendants, *_descendants(self._process.pid)])
        with contextlib.suppress(OSError):
            self._process.kill()
        self._outbox.put(None)

    def last_lines(self, n: int) -> list[str]:
        """The last lines that the child printed outside the protocol, oldest first."""
        return list(self._lines)[-n:]

    def _deliver(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._on_message(self._inbox.get_nowait())

    def _drained(self) -> bool:
        """Whether both pipes are read to their end. A grandchild that holds one open is not waited for."""
        if not any(reader.is_alive() for reader in self._readers):
            return True
        self._ended_at = self._ended_at or time.monotonic()
        return time.monotonic() - self._ended_at > DRAIN_S

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        _kill(self._descendants)
        self._outbox.put(None)
        self._process = None
        _RUNNING.discard(self)
        self._close_log()
        self._on_exit(Exit(process.returncode, self._requested, list(self._lines)))

    def _read_messages(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            self._inbox.put(decode(line))
        except ValueError:
            self._keep(line)

    def _read_log(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._keep(line)

    def _keep(self, line: bytes) -> None:
        self._lines.append(line.decode("utf-8", errors="replace").rstrip())
        with self._log_lock, contextlib.suppress(OSError):  # a full disk must not stop the reading
            if self._log is not None:
                self._log.write(line)
                self._log.flush()

    def _close_log(self) -> None:
        with self._log_lock:
            if self._log is not None:
                self._log.close()
                self._log = None

    def _write(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError), pipe:  # the child is gone: poll tells how it ended
            for data in iter(self._outbox.get, None):
                pipe.write(data)
                pipe.flush()


def worker_command(folder: str | os.PathLike[str] | None = None) -> list[str]:
    """The command line of the real worker."""
    options = [] if folder is None else ["--folder", os.fspath(folder)]
    return [str(python_executable()), "-m", "sslseg.worker", *options]


def python_executable(executable: str | None = None, platform: str = sys.platform) -> Path:
    """The Python to start children with.

    In 3D Slicer ``sys.executable`` may be the viewer itself; the interpreter then lies beside it, or on the PATH, as
    ``PythonSlicer``.

    Raises:
        SSLSegError: there is none.
    """
    own = Path(executable or sys.executable)
    if own.stem.lower().startswith("python"):
        return own
    name = "PythonSlicer.exe" if platform == "win32" else "PythonSlicer"
    beside = own.with_name(name)
    found = beside if beside.is_file() else shutil.which(name)
    if found is None:
        raise SSLSegError(f"{name} was not found beside {own}: install 3D Slicer again.")
    return Path(found)


def worker_environment(base: Mapping[str, str]) -> dict[str, str]:
    """``base`` with UTF-8 everywhere, with the folder of ``sslseg`` importable, and with threads that wait asleep.

    Threads of OpenMP that spin while they wait take the processor from the viewer, and from each other: on two busy
    cores a training was about five times slower with them. Who sets the policy decides.
    """
    library = str(Path(sslseg.__file__).resolve().parents[1])
    paths = [library, *filter(None, base.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        **base,
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
    }


def creation_flags(platform: str = sys.platform) -> int:
    """Flags for Popen: on Windows, no console window that flashes up."""
    return CREATE_NO_WINDOW if platform == "win32" else 0


def _descendants(pid: int) -> list[Any]:
    import psutil  # noqa: PLC0415 - the module must load in a Slicer where psutil is yet to be installed

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _kill(processes: Iterable[Any]) -> None:
    import psutil  # noqa: PLC0415 - as above

    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended by itself; psutil compares start times, not only ids
            process.kill()


_RUNNING: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


@atexit.register
def end_all() -> None:
    """End every worker of this process now, without waiting: the application ends."""
    for worker in list(_RUNNING):
        worker.kill()
