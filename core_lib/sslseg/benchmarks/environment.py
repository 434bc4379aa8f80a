"""On what a number was measured."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

from sslseg import __version__


def environment() -> dict[str, Any]:
    """What belongs beside every measured number; plain values for JSON."""
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sslseg": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def described(values: dict[str, Any]) -> str:
    """One line for people from what :func:`environment` gave."""
    threads = f"{values['threads']} thread" + ("s" if values["threads"] != 1 else "")
    where = f"GPU {values['gpu']}, " if values["gpu"] else ""
    return (
        f"{where}{values['processor']} ({values['cores']} cores), {threads} a process, torch {values['torch']}, "
        f"sslseg {values['sslseg']}, Python {values['python']}, {values['system']}"
    )


def processor_name() -> str:
    """The model of the processor; where the system does not tell, what Python knows of it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
