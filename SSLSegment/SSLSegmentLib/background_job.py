"""What the works beside the training have in common: states, progress, and sentences for the user. No Qt."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from sslseg.errors import InputError, SSLSegError
from sslseg.progress import Progress
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

    @property
    def last_error(self) -> str:
        """Why the state is ``FAILED``; empty otherwise."""
        return str(self.error) if self.error else ""

    def _enter(self, state: JobState, error: SSLSegError | None = None) -> None:
        self.state = state
        self.error = error
        self._on_changed()

    def _begin(self, stage: str) -> None:
        self.messages = []
        self.progress = Progress(stage)
        self._enter(JobState.RUNNING)

    @staticmethod
    def _require(availability: Availability) -> None:
        if not availability.allowed:
            raise InputError(" ".join(availability.reasons))

    def _for_cancel(self, what: str) -> Availability:
        reasons: Sequence[str] = () if self.state.busy else (f"{what} is not running.",)
        return Availability(tuple(reasons))
