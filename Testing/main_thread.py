"""The rule that nothing holds up the viewer: how long each call on its main thread took."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

BLOCKING_S = 0.1
TOLERATED = 200  # one call in so many may be slow, because the whole machine stood still
NOT_MEASURED = {"setup"}
"""Reads the .ui file and the module's code, once, when the module is first opened."""

_TICK_S = 0.01  # of the times that Linux counts for the whole machine


class OwnTime:
    """Measures what a piece of code takes, without the time that the machine gave to others.

    Attributes:
        seconds: known at the end of the ``with`` block.
    """

    def __enter__(self):
        self._begin = _own_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = _own_time() - self._begin


class Ledger:
    """What was measured, by the name of the handler.

    Args:
        always: so many slow calls of one handler are tolerated however few its calls were.
    """

    def __init__(self, always: int = 1) -> None:
        self._always = always
        self._calls: Counter[str] = Counter()
        self._slow: defaultdict[str, list[float]] = defaultdict(list)

    def call(self, label: str, function: Callable, *arguments, **options):
        """Call a function, and note how long it took."""
        timer = OwnTime()
        try:
            with timer:
                return function(*arguments, **options)
        finally:
            self.add({label: [timer.seconds]})

    def add(self, seconds: dict[str, list[float]]) -> None:
        """Note times that were measured elsewhere."""
        for label in set(seconds) - NOT_MEASURED:
            self._calls[label] += len(seconds[label])
            self._slow[label] += [round(value, 3) for value in seconds[label] if value > BLOCKING_S]

    def too_slow(self) -> dict[str, list[float]]:
        """The times above the limit of every handler that has needed them too often."""
        return {
            label: slow
            for label, slow in self._slow.items()
            if len(slow) > max(self._always, self._calls[label] // TOLERATED)
        }


def _own_time() -> float:
    return time.perf_counter() - _waiting_for_processor() - _stolen_from_machine()


def _waiting_for_processor() -> float:
    """Seconds that this thread was ready to run while other programs had the processor; 0 where nobody counts it."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) * 1e-9
    except OSError:
        return 0.0


def _stolen_from_machine() -> float:
    """Seconds that this virtual machine was ready to run while others had the real one; 0 where nobody counts it."""
    try:
        all_processors = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
        return int(all_processors[8]) * _TICK_S
    except (OSError, IndexError):
        return 0.0
