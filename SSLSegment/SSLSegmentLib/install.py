"""The packages that the worker needs, installed when the user asks for it. Nothing happens at import. No Qt."""

from __future__ import annotations

from collections.abc import Callable

from SSLSegmentLib.background_job import BackgroundJob
from SSLSegmentLib.loop_state import Availability
from SSLSegmentLib.user_store import UserStore


def missing_packages() -> tuple[str, ...]:
    """Names of the packages that the worker lacks ("PyTorch", "monai", …); nothing is imported to find out."""
    raise NotImplementedError


class Installer(BackgroundJob):
    """Installs what is missing: PyTorch through the PyTorch extension, the rest by ``slicer.packaging``.

    Everything runs on the main thread, with Slicer's own progress window, inside :meth:`start`. If Slicer has to be
    restarted on the way, :attr:`pending` is true afterwards, and :meth:`start` goes on without asking again.

    Args:
        store: remembers over a restart that the user has agreed.
        ask: shows a question and returns whether the user agreed.
        on_changed: called after anything that a panel shows may have changed.
    """

    def __init__(self, store: UserStore, ask: Callable[[str], bool], on_changed: Callable[[], None]) -> None:
        super().__init__(on_changed)
        self._store = store
        self._ask = ask

    @property
    def needed(self) -> bool:
        """Whether anything is missing."""
        raise NotImplementedError

    @property
    def pending(self) -> bool:
        """Whether an installation that the user agreed to is not complete yet."""
        raise NotImplementedError

    @property
    def first_step(self) -> str:
        """What the user has to do first, for the top of a panel; empty where nothing is missing."""
        raise NotImplementedError

    @property
    def question(self) -> str:
        """What will be installed and how large it is."""
        raise NotImplementedError

    def availability(self, action: str = "start") -> Availability:
        """What is missing for "start": the PyTorch extension, or nothing is left to install."""
        raise NotImplementedError

    def start(self) -> None:
        """Ask, and install. How it ended is told by ``state`` (``CANCELLED`` where the user declined) and ``error``.

        Raises:
            InputError: nothing is missing, or the PyTorch extension is.
        """
        raise NotImplementedError
