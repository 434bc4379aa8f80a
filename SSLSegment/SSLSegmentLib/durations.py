"""Times in words."""

from __future__ import annotations

_MINUTE, _HOUR = 60, 3600


def duration(seconds: float) -> str:
    """A time in words, as coarse as one reads it: "4 s", "2 min 10 s", "12 min", "1 h 5 min"."""
    if round(seconds) < _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < 10 * _MINUTE:
        return _two_parts(round(seconds, -1), _MINUTE, "min", 1, "s")
    return _two_parts(round(seconds / _MINUTE) * _MINUTE, _HOUR, "h", _MINUTE, "min")


def _two_parts(seconds: float, large: int, large_name: str, small: int, small_name: str) -> str:
    whole, rest = divmod(round(seconds), large)
    parts = [(whole, large_name), (rest // small, small_name)]
    return " ".join(f"{number} {name}" for number, name in parts if number)
