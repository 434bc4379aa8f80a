"""The worker of one loop: started when it is needed, asked, listened to, and replaced when it has died."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from sslseg import errors
from sslseg.errors import SSLSegError
from sslseg.progress import Progress
from sslseg.protocol import READY_ID
from SSLSegmentLib.worker_process import Exit, OnMessage, WorkerProcess

SHOWN_LINES = 5

DONE_AT_ONCE = 2_000_000
"""Work on this many voxels takes less than 50 ms, and need not go to another thread."""

OnReply = Callable[[dict[str, Any]], None]
OnError = Callable[[SSLSegError], None]


class Submit(Protocol):
    """:meth:`WorkerSession.submit`."""

    def __call__(
        self, function: Callable[[], Any], then: Callable[[Any], None], failed: OnError, *, voxels: int | None = None
    ) -> None:
        """Run ``function``, now or soon."""
        ...


class WorkerFactory(Protocol):
    """What makes a worker: :class:`WorkerProcess`, or a partial of it with a command of its own."""

    def __call__(
        self, *, on_message: OnMessage, on_exit: Callable[[Exit], None], log_path: Path, folder: Path
    ) -> WorkerProcess:
        """Make a worker that is not started yet."""
        ...


class WorkerSession:
    """One worker at a time, a folder for the files that are exchanged with it, and a thread that writes them.

    Nothing here blocks; :meth:`poll` calls back on the thread it is called in.

    Args:
        factory: makes the worker.
        on_lost: called with the reason when the worker ended although nobody asked it to.

    Attributes:
        folder: exchange files and logs; removed after :meth:`close`, by the worker if this process dies, or at exit.
        log_path: the log of the latest worker; None before the first.
        ready: the worker's first message (version, devices); empty until it came.
        holds: what the worker has in memory once its requests are worked off, in the owner's words; None in a new one.
    """

    def __init__(self, factory: WorkerFactory, on_lost: OnError) -> None:
        self._factory = factory
        self._on_lost = on_lost
        self.folder = Path(tempfile.mkdtemp(prefix="sslsegment-"))
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.log_path: Path | None = None
        self.ready: dict[str, Any] = {}
        self.holds: Any = None
        self._worker: WorkerProcess | None = None
        self._ending: list[WorkerProcess] = []
        self._started = 0
        self._closed = False
        self._waiting: dict[int, OnReply] = {}
        self._files = ThreadPoolExecutor(1, "exchange files")
        self._tasks: list[tuple[Future[Any], Callable[[Any], None], OnError]] = []

    @property
    def alive(self) -> bool:
        """Whether any process of this session still runs."""
        return bool(self._ending) or self._worker is not None

    @property
    def working(self) -> bool:
        """Whether the file thread has something to do, or to tell in the next poll."""
        return bool(self._tasks)

    @property
    def devices(self) -> list[dict[str, str]]:
        """The devices that the worker can use (``name``, ``description``); empty until it is ready."""
        return self.ready.get("devices", [])

    @property
    def pid(self) -> int | None:
        """Process id of the worker."""
        return self._worker.pid if self._worker else None

    def start(self) -> WorkerProcess:
        """The worker, which is started unless there is one.

        Raises:
            SSLSegError: it cannot be started.
        """
        if self._worker is None:
            self._started += 1
            self.folder.mkdir(exist_ok=True)  # systems tidy up folders of temporary files that look forgotten
            self.log_path = self.folder / f"worker-{self._started}.log"
            worker = self._factory(
                on_message=lambda message: self._receive(worker, message),
                on_exit=lambda ending: self._lose(worker, ending),
                log_path=self.log_path,
                folder=self.folder,
            )
            worker.start()
            self._worker = worker
        return self._worker

    def request(self, message: dict[str, Any], on_reply: OnReply) -> int:
        """Send a request, starting the worker if need be; every reply to it goes to ``on_reply``."""
        number = self.start().send(message)
        self._waiting[number] = on_reply
        return number

    def cancel(self, number: int) -> None:
        """Stop a request; it ends with a reply of its own."""
        if self._worker is not None:
            self._worker.cancel(number)

    def kill(self) -> None:
        """End the worker at once, without a word to anybody. The next request starts another one."""
        if self._worker is not None:
            self._worker.kill()
            self._retire(self._worker)

    def submit(
        self, function: Callable[[], Any], then: Callable[[Any], None], failed: OnError, *, voxels: int | None = None
    ) -> None:
        """Run ``function`` in the file thread (no MRML there!); how it ended is told in :meth:`poll`.

        Args:
            function: what takes a while.
            then: called with what it returned.
            failed: called with what it raised, as an error of ours.
            voxels: for work on voxels, how many. If these are few, it is done and told at once.
        """
        if voxels is not None and voxels <= DONE_AT_ONCE:
            done: Future[Any] = Future()
            try:
                done.set_result(function())
            except Exception as error:  # noqa: BLE001 - told in the same way as from the thread
                done.set_exception(error)
            _tell(done, then, failed)
        else:
            self._tasks.append((self._files.submit(function), then, failed))

    def poll(self) -> None:
        """Deliver what has arrived and what the file thread has done."""
        for worker in [*self._ending, *filter(None, [self._worker])]:
            worker.poll()
        for task in [task for task in self._tasks if task[0].done()]:
            self._tasks.remove(task)
            _tell(*task)

    def close(self) -> None:
        """End the worker and remove the folder. Keep polling until :attr:`alive` is false."""
        if self._closed:
            return
        self._closed = True
        self._tasks.clear()
        if self._worker is not None:
            self._worker.stop()
            self._retire(self._worker)
        elif not self._ending:
            self._give_up_folder()

    def _retire(self, worker: WorkerProcess) -> None:
        """Go on without a worker that is ending; it is polled until its end is seen."""
        self._ending.append(worker)
        self._worker = None
        self._waiting.clear()
        self.ready = {}
        self.holds = None

    def _receive(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        if worker is not self._worker:
            return
        number, event = message.get("id"), message.get("event")
        if number == READY_ID and event == "error":
            self.kill()
            self._on_lost(error_of(message))
        elif number == READY_ID and message.get("ready"):
            self.ready = message
        elif number in self._waiting:
            on_reply = self._waiting[number]
            if event in ("result", "error"):
                del self._waiting[number]
            on_reply(message)

    def _lose(self, worker: WorkerProcess, ending: Exit) -> None:
        unexpected = worker is self._worker
        if unexpected:
            self._retire(worker)
        self._ending.remove(worker)
        if unexpected:
            self._on_lost(SSLSegError(describe_exit(ending)))
        elif self._closed and not self._ending:
            self._give_up_folder()

    def _give_up_folder(self) -> None:
        """Remove the folder when nobody writes to it any more; even that can take long on a busy disk."""
        self._files.submit(self._remove_folder)
        self._files.shutdown(wait=False)


def error_of(message: dict[str, Any]) -> SSLSegError:
    """The exception that an "error" reply stands for."""
    kind = getattr(errors, str(message.get("kind")), SSLSegError)
    known = isinstance(kind, type) and issubclass(kind, SSLSegError)
    return (kind if known else SSLSegError)(message.get("message", "The worker reported an error without a word."))


def deliver(
    reply: dict[str, Any],
    *,
    on_progress: Callable[[Progress], None],
    on_result: OnReply,
    on_error: OnError,
) -> None:
    """Hand a reply to the one of three functions that it is for; "log" events are for none."""
    if reply["event"] == "error":
        on_error(error_of(reply))
    elif reply["event"] == "progress":
        on_progress(Progress(**{name: value for name, value in reply.items() if name not in ("id", "event")}))
    elif reply["event"] == "result":
        on_result(reply)


def describe_exit(ending: Exit) -> str:
    """Why a worker is gone, for the user, with the end of what it printed."""
    if ending.code < 0:
        reason = f"was ended from outside (signal {-ending.code}), perhaps because the memory was full"
    else:
        reason = f"ended unexpectedly (exit code {ending.code})"
    return "\n".join([f"The worker {reason}: train again to start a new one.", *ending.last_lines[-SHOWN_LINES:]])


def _tell(future: Future[Any], then: Callable[[Any], None], failed: OnError) -> None:
    error = future.exception()
    if error is None:
        then(future.result())
    elif isinstance(error, SSLSegError):
        failed(error)
    elif isinstance(error, MemoryError):
        failed(SSLSegError("The memory is full: close other programs or volumes, and try again."))
    elif isinstance(error, (OSError, ValueError, EOFError)):
        failed(SSLSegError(f"Files could not be exchanged with the worker: {error}."))
    else:
        failed(SSLSegError(f"internal error: {type(error).__name__}: {error}"))
