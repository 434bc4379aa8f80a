"""Which browser has which session, how long a session is kept, and one that is started ahead."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Protocol

from SSLSegmentWeb.session_process import Recipe, SessionProcess

FIRST_CONNECTION_S = 120.0
"""A page that never opens its websocket, for example a robot's, holds a place for so long."""
_REMEMBERED = 1000


class Socket(Protocol):
    """What is closed when a session ends."""

    async def close(self, *, code: int, message: bytes) -> object:
        """Close the connection to the browser."""


class Full(Exception):  # noqa: N818 - becomes a page, not a failure
    """All places are taken."""


class Session:
    """One browser's session, and the websockets of its tabs."""

    def __init__(self, process: SessionProcess) -> None:
        self.process = process
        self.sockets: set[Socket] = set()
        self.timer: asyncio.TimerHandle | None = None


class Sessions:
    """All sessions of a server.

    Args:
        recipe: how they are started.
        keep_s: seconds that a session is kept after its last websocket was closed.
        limit: how many browsers may have one.
    """

    def __init__(self, recipe: Recipe, keep_s: float, limit: int) -> None:
        self._recipe = recipe
        self._keep_s = keep_s
        self._limit = limit
        self._taken: dict[str, Session] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._spare: SessionProcess | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def begin(self) -> str:
        """Start the first session.

        Returns:
            One sentence if it cannot begin; empty if it listens.
        """
        self._spare = spare = SessionProcess(self._recipe)
        return "" if await spare.listening() else spare.error

    def find(self, browser: str) -> Session | None:
        """The session of a browser, if it lives."""
        return self._taken.get(browser)

    def why_ended(self, browser: str) -> str:
        """One sentence about how a browser's last session ended; empty if it had none."""
        return self._ended.get(browser, "")

    def open(self, browser: str) -> Session:
        """Give a browser a session.

        Raises:
            Full: all places are taken, or the server ends.
        """
        if self._closing or len(self._taken) >= self._limit:
            raise Full
        process, self._spare = self._spare, None
        if process is None or not process.alive:
            process = SessionProcess(self._recipe)
        session = self._taken[browser] = Session(process)
        self._ended.pop(browser, None)
        self._keep(browser, session, min(self._keep_s, FIRST_CONNECTION_S))
        self._run(self._watch(browser, session))
        return session

    def connected(self, session: Session, socket: Socket) -> None:
        """A tab has opened its websocket: the session stays as long as it does."""
        session.sockets.add(socket)
        if session.timer is not None:
            session.timer.cancel()

    def disconnected(self, browser: str, session: Session, socket: Socket) -> None:
        """A websocket is closed; after the last one the time to keep the session begins."""
        session.sockets.discard(socket)
        if not session.sockets and self.find(browser) is session:
            self._keep(browser, session, self._keep_s)

    async def end(self) -> None:
        """End everything, and wait until it is gone."""
        self._closing = True
        sessions, self._taken = self._taken, {}
        spare, self._spare = self._spare, None
        processes = [session.process for session in sessions.values()] + ([spare] if spare else [])
        await asyncio.gather(*(_hang_up(session) for session in sessions.values()))
        await asyncio.gather(*(process.end() for process in processes), *self._tasks)

    def _keep(self, browser: str, session: Session, seconds: float) -> None:
        if session.timer is not None:
            session.timer.cancel()
        session.timer = asyncio.get_running_loop().call_later(seconds, self._expire, browser, session, seconds)

    def _expire(self, browser: str, session: Session, seconds: float) -> None:
        self._forget(
            browser, f"Your session has ended, because no page was connected to it for {seconds / 60:.3g} min."
        )
        self._run(session.process.end())

    def _forget(self, browser: str, why: str) -> None:
        if self._taken.pop(browser, None) is not None:
            self._ended[browser] = why
            while len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

    async def _watch(self, browser: str, session: Session) -> None:
        """Start the next spare once this one is up, and clear away after the session, however it ends."""
        if await session.process.listening():
            self._start_spare()
        await asyncio.wait({session.process.life})
        if self.find(browser) is session:
            self._forget(browser, session.process.error)
        if session.timer is not None:
            session.timer.cancel()
        await _hang_up(session)

    def _start_spare(self) -> None:
        if self._spare is None and not self._closing and len(self._taken) < self._limit:
            self._spare = SessionProcess(self._recipe)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _hang_up(session: Session) -> None:
    closing = (socket.close(code=1001, message=b"The session has ended.") for socket in tuple(session.sockets))
    await asyncio.gather(*closing, return_exceptions=True)
