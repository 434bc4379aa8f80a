"""Watching processes: how they end, and how long they wait."""

import contextlib
import time
from pathlib import Path

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


def waiting_for_processor() -> float:
    """Seconds that this thread was ready to run while other programs had the processor; 0 where nobody counts it."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) * 1e-9
    except OSError:
        return 0.0
