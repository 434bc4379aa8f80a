"""How much of the processor a process asks for beside others."""

from __future__ import annotations

import sys

import psutil

WINDOWS_BELOW_NORMAL = 0x4000  # psutil names both on Windows only
WINDOWS_IDLE = 0x40
POSIX_NICENESS = 10
POSIX_IDLE = 19


def lower_priority(process: psutil.Process, platform: str = sys.platform, *, idle: bool = False) -> None:
    """Let the viewer go first where both want the processor; ``idle``: every other program, too.

    A process that is nicer already stays so: on POSIX only an administrator may take that back.
    """
    if platform == "win32":
        process.nice(WINDOWS_IDLE if idle else WINDOWS_BELOW_NORMAL)
    else:
        process.nice(max(process.nice(), POSIX_IDLE if idle else POSIX_NICENESS))
