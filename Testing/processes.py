"""Watching processes: how they end."""

import contextlib
import time

import psutil


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process ends within ``seconds``; a zombie that nobody has waited for has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.02)
                continue
        return True
    return False
