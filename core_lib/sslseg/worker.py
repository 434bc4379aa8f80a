"""The long-lived process behind a viewer: ``python -m sslseg.worker`` (see :mod:`sslseg.protocol`).

Three rules shape this file. stdout belongs to the protocol: whatever a library prints, from Python or from C, goes to
stderr, which the parent keeps as the log. stdin is watched by a thread of its own, so that a cancel, a shutdown or the
death of the parent is seen while the main thread imports torch or trains. Jobs run on the main thread, one at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import psutil

from sslseg import __version__
from sslseg.errors import InputError, SSLSegError
from sslseg.priority import lower_priority
from sslseg.progress import Progress
from sslseg.protocol import READY_ID, REQUESTS, decode, encode

PROGRESS_INTERVAL_S = 0.1


class Request(dict[str, Any]):
    """The fields of one request; asking for one that is not there is the parent's fault, and told as such."""

    def __missing__(self, key: str) -> NoReturn:
        raise InputError(f"The request '{self.get('do')}' lacks '{key}'.")


class Job:
    """One request at work.

    Attributes:
        request: its fields.
        stop: set when the parent cancelled it.
    """

    def __init__(self, request: Request, send: Callable[[dict[str, Any]], None]) -> None:
        self.request = request
        self.stop = threading.Event()
        self._send = send
        self._told: tuple[str, float] = ("", 0.0)

    def on_progress(self, progress: Progress) -> None:
        """Pass progress on, but not more often than a person can see; what must be seen is never held back."""
        now = time.monotonic()
        stage, told_at = self._told
        last_step = progress.steps > 0 and progress.step >= progress.steps
        if progress.message or last_step or progress.stage != stage or now - told_at >= PROGRESS_INTERVAL_S:
            self._told = (progress.stage, now)
            self._send({"id": self.request["id"], "event": "progress", **progress.as_dict()})


class Worker:
    """Reads requests in one thread and works them off in another, which :meth:`serve` is called in.

    Args:
        requests: the parent's end of the talk, lines of JSON.
        replies: where the answers go.
        folder: exchange files; removed when the parent dies without a word.
    """

    def __init__(self, requests: BinaryIO, replies: BinaryIO, folder: Path | None = None) -> None:
        self._requests = requests
        self._replies = replies
        self._folder = folder
        self._write_lock = threading.Lock()
        self._jobs_lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def serve(self, threads: int | None = None) -> NoReturn:
        """Say ready, then run job after job until the parent ends this process."""
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        handlers = self._import_jobs(threads)
        while True:
            job = self._waiting.get()
            self._run(job, handlers[job.request["do"]])
            with self._jobs_lock:
                del self._jobs[job.request["id"]]

    def _import_jobs(self, threads: int | None) -> dict[str, Callable[[Job], dict[str, Any]]]:
        """Import torch and all that needs it, which takes seconds, and tell the parent what there is."""
        try:
            jobs = importlib.import_module("sslseg.worker_jobs")
        except (ImportError, OSError) as error:  # OSError: a library of torch that Windows cannot load
            traceback.print_exc()
            reason = f"The worker cannot start ({error}): install PyTorch and MONAI for {sys.executable}."
            self._send({"id": READY_ID, "event": "error", "kind": type(error).__name__, "message": reason})
            self._end(1)
        ready = {"ready": True, "version": __version__, "pid": os.getpid(), **jobs.describe(threads)}
        self._send({"id": READY_ID, "event": "result", **ready})
        return jobs.Jobs().handlers()

    def _listen(self) -> None:
        for line in self._requests:
            self._receive(line)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._end(0)

    def _receive(self, line: bytes) -> None:
        try:
            self._accept(Request(decode(line)))
        except (TypeError, ValueError, InputError) as error:
            self._send({"id": READY_ID, "event": "log", "message": f"A request was not understood: {error}"})

    def _accept(self, request: Request) -> None:
        number, do = request["id"], request["do"]
        if not isinstance(number, int) or number <= READY_ID or number in self._jobs or do not in REQUESTS:
            raise InputError(f"'{do}' with id {number!r} is not one of {', '.join(REQUESTS)} with an id of its own.")
        if do == "cancel":
            with self._jobs_lock:
                job = self._jobs.get(request["job"])
            if job is not None:
                job.stop.set()
            self._send({"id": number, "event": "result", "job": request["job"], "found": job is not None})
        elif do == "shutdown":
            self._send({"id": number, "event": "result"})
            self._end(0)
        else:
            job = Job(request, self._send)
            with self._jobs_lock:
                self._jobs[number] = job
            self._waiting.put(job)

    def _run(self, job: Job, handler: Callable[[Job], dict[str, Any]]) -> None:
        number = job.request["id"]
        try:
            result = {"stopped": "request"} if job.stop.is_set() else handler(job)
        except SSLSegError as error:
            self._send({"id": number, "event": "error", "kind": type(error).__name__, "message": str(error)})
        except Exception as error:  # noqa: BLE001 - a fault in one job must not take the others along
            traceback.print_exc()
            message = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
            self._send({"id": number, "event": "error", "kind": type(error).__name__, "message": message})
        else:
            self._send({"id": number, "event": "result", **result})

    def _send(self, message: dict[str, Any]) -> None:
        with self._write_lock, contextlib.suppress(OSError):  # no reader: the end of stdin follows at once
            self._replies.write(encode(message))
            self._replies.flush()

    @staticmethod
    def _end(code: int) -> NoReturn:
        """End the whole process from any thread, even while another one is deep inside torch."""
        with contextlib.suppress(OSError):  # nobody reads the log any more
            sys.stderr.flush()
        os._exit(code)


def claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take stdin and stdout for the protocol alone.

    From here on file descriptor 1 is stderr, and descriptor 0 is empty: a library that looks at stdin while a thread
    waits on it would hang on Windows.
    """
    sys.stdout.flush()
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def run(folder: Path | None = None, threads: int | None = None) -> NoReturn:
    """Serve the parent at the other end of stdin and stdout until it goes away.

    Args:
        folder: where the exchange files are; removed if the parent dies.
        threads: processor threads for torch; None leaves the choice to torch.
    """
    requests, replies = claim_pipes()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches both; the parent decides
    lower_priority(psutil.Process())
    Worker(requests, replies, folder).serve(threads)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Command line of ``python -m sslseg.worker``."""
    parser = argparse.ArgumentParser(prog="sslseg worker", description="Serve a viewer through stdin and stdout.")
    parser.add_argument("--folder", type=Path, help="exchange files; removed when the parent dies")
    parser.add_argument("--threads", type=int, help="processor threads for torch")
    options = parser.parse_args(arguments)
    run(options.folder, options.threads)


if __name__ == "__main__":
    main()
