"""The rule that nothing holds up the viewer: how long each handler took, over all tests of this folder."""

from collections import Counter, defaultdict

BLOCKING_S = 0.1
TOLERATED = 200  # one call in so many may be slow, because the whole machine stood still
NOT_MEASURED = {"setup"}
"""Reads the .ui file and the module's code, once, when the module is first opened."""


class Ledger:
    """What stopwatches have measured, test after test."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._slow: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, seconds: dict[str, list[float]]) -> None:
        """Note the times of one test, by handler."""
        for label in set(seconds) - NOT_MEASURED:
            self._calls[label] += len(seconds[label])
            self._slow[label] += [round(value, 3) for value in seconds[label] if value > BLOCKING_S]

    def too_slow(self) -> dict[str, list[float]]:
        """The times above the limit of every handler that has needed them too often."""
        return {
            label: slow for label, slow in self._slow.items() if len(slow) > max(1, self._calls[label] // TOLERATED)
        }
