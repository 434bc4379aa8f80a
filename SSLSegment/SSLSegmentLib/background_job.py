"""What the works beside the training have in common: states, progress, and talking to a worker. No Qt."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from sslseg.errors import InputError, SSLSegError
from sslseg.progress import Progress
from SSLSegmentLib.loop_session import OnError, OnReply, WorkerSession, deliver
from SSLSegmentLib.loop_state import Availability


class JobState(enum.Enum):
    """Where a job is. ``DONE``, ``CANCELLED`` and ``FAILED`` last until the next start."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def busy(self) -> bool:
        """Whether the job is under way."""
        return self in (JobState.RUNNING, JobState.STOPPING)


class BackgroundJob:
    """A job of the loop that a panel starts, watches and cancels.

    Args:
        on_changed: called after anything that a panel shows may have changed.

    Attributes:
        state: see :class:`JobState`.
        progress: the latest report; ``step`` of ``steps`` counts over the whole job where ``steps`` is not 0.
        messages: sentences for the user, oldest first, since the job began.
        error: why the state is ``FAILED``; None otherwise.
    """

    def __init__(self, on_changed: Callable[[], None]) -> None:
        self.state = JobState.IDLE
        self.progress = Progress("")
        self.messages: list[str] = []
        self.error: SSLSegError | None = None
        self._on_changed = on_changed
        self._run = object()
        self._session: WorkerSession | None = None
        self._request: int | None = None
        self._cancelled: int | None = None

    @property
    def last_error(self) -> str:
        """Why the state is ``FAILED``; empty otherwise."""
        return str(self.error) if self.error else ""

    @property
    def fraction(self) -> float | None:
        """How far the job is, 0 to 1; None while that is unknown (a bar that only moves)."""
        return self.progress.step / self.progress.steps if self.progress.steps else None

    def cancel(self) -> None:
        """Stop; one more call before the worker has answered ends the worker at once."""
        if not self.state.busy:
            return
        session, request = self._session, self._request
        if session is not None and request is not None:
            if request == self._cancelled:
                self._end(JobState.CANCELLED)
                session.kill()
                return
            self._cancelled = request
            session.cancel(request)
        self._enter(JobState.STOPPING)

    def fail(self, error: SSLSegError) -> None:
        """End with an error."""
        self._end(JobState.FAILED, error)

    @property
    def _stopping(self) -> bool:
        return self.state is JobState.STOPPING

    def _begin(self, stage: str) -> None:
        """Forget the run before."""
        self._run = object()
        self.messages = []
        self.progress = Progress(stage)
        self._enter(JobState.RUNNING)

    def _end(self, state: JobState, error: SSLSegError | None = None) -> None:
        """Be over; what still arrives for this run is dropped."""
        self._run = object()
        self._request = self._cancelled = None
        self._enter(state, error)

    def _enter(self, state: JobState, error: SSLSegError | None = None) -> None:
        self.state = state
        self.error = error
        self._on_changed()

    def _ask(
        self, session: WorkerSession, request: dict[str, Any], on_result: OnReply, on_error: OnError | None = None
    ) -> None:
        """Send a request; replies arrive only while this run lasts."""
        run = self._run

        def on_reply(reply: dict[str, Any]) -> None:
            if run is not self._run:
                return
            if reply["event"] in ("result", "error"):
                self._request = None
            deliver(reply, on_progress=self._on_progress, on_result=on_result, on_error=on_error or self.fail)

        self._session = session
        self._request = session.request(request, on_reply)

    def _submit(self, session: WorkerSession, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Let the file thread of ``session`` do ``work``; what follows happens only while this run lasts."""
        run = self._run
        session.submit(
            work,
            lambda result: then(result) if run is self._run else None,
            lambda error: self.fail(error) if run is self._run else None,
        )

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress
        self._take_messages([progress.message])
        self._on_changed()

    def _take_messages(self, messages: list[str]) -> None:
        self.messages += [message for message in messages if message and message not in self.messages]

    @staticmethod
    def _require(availability: Availability) -> None:
        if not availability.allowed:
            raise InputError(" ".join(availability.reasons))

    def _for_cancel(self, reason: str) -> Availability:
        return Availability() if self.state.busy else Availability((reason,))
