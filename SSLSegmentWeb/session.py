"""One browser's session: ``python -m SSLSegmentWeb.session``, started by the gate and by nobody else.

One line of JSON on stdin says what to open; one on stdout says on which loopback port this process listens. When stdin
ends, so does everything here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sslseg.errors import InputError, SSLSegError

LINGER_S = 20.0
END_S = 4.5
"""So long after the end of stdin this process is gone, whatever it was doing."""


@dataclass(frozen=True)
class Order:
    """What the gate wants of a session.

    Attributes:
        secret: every request has to carry it.
        folder: private to this session; exists.
        data_dir: files below it may be opened; None: uploads only.
        volume: opened at once.
        segmentation: opened with it.
        upload_limit: bytes of one upload.
        linger_s: so long after the last browser went away the worker goes, too.
    """

    secret: str
    folder: Path
    data_dir: Path | None
    volume: Path | None
    segmentation: Path | None
    upload_limit: int
    linger_s: float = LINGER_S

    @classmethod
    def read(cls, line: str) -> Order:
        """An order out of its JSON line.

        Raises:
            InputError: it is none.
        """
        try:
            values = json.loads(line)
            paths = {
                name: Path(values[name]) if values[name] else None for name in ("data_dir", "volume", "segmentation")
            }
            folder, secret, limit = Path(values["folder"]), values["secret"], int(values["upload_limit"])
            linger = float(values.get("linger_s", LINGER_S))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError("A session is started by sslsegment-web: it takes its orders from there.") from error
        if not (isinstance(secret, str) and secret and folder.is_dir()):
            raise InputError("A session needs a secret, and a folder of its own that exists.")
        return cls(secret, folder, paths["data_dir"], paths["volume"], paths["segmentation"], limit, linger)


def main() -> int:
    """Run the session until stdin ends.

    Returns:
        The exit code: 0 at the end of stdin, 1 if it could not begin.
    """
    tell = _own_stdout()
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa's, when there is no graphics card: see SSLSegmentWeb.views
    try:
        order = Order.read(sys.stdin.readline())
        from SSLSegmentWeb.desk import Desk  # noqa: PLC0415 - loads Slicer, which a bad order does not need
    except (SSLSegError, ImportError) as error:
        tell({"error": str(error)})
        return 1
    asyncio.run(_serve(Desk, order, tell))
    return 0


async def _serve(make_desk: Any, order: Order, tell: Any) -> None:
    ended = asyncio.Event()
    running = asyncio.get_running_loop()

    def announce() -> None:
        running.call_soon_threadsafe(ended.set)

    threading.Thread(target=_await_end, args=(announce, order.folder), daemon=True).start()
    desk = make_desk(order)
    serving = desk.start(lambda port: tell({"port": port}))
    await ended.wait()
    await desk.end()
    serving.cancel()
    _leave(order.folder)


def _await_end(announce: Callable[[], None], folder: Path) -> None:
    """Wait for the end of stdin, in a thread: what holds the main thread up does not hold the end up."""
    while sys.stdin.readline():
        pass
    timer = threading.Timer(END_S, _leave, [folder])
    timer.daemon = True
    timer.start()
    announce()


def _leave(folder: Path) -> None:
    """End now, and leave nothing: nobody is there to tell, and views of Slicer take their time to be taken apart."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _own_stdout() -> Any:
    """A function that writes a line to the gate. What libraries print goes to stderr from here on."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(line: dict[str, Any]) -> None:
        own.write(json.dumps(line) + "\n")
        own.flush()

    return tell


if __name__ == "__main__":
    sys.exit(main())
