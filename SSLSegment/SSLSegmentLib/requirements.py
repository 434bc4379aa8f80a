"""The packages that the worker needs beside those of Slicer, and which of them are not there. Nothing is imported."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

REQUIREMENTS_FILE = Path(__file__).resolve().parents[1] / "Resources" / "requirements.txt"
"""All but PyTorch, one requirement a line, as pip reads it."""

TORCH = Requirement("torch>=2.7")
"""Not in the file: the PyTorch extension knows which build fits the graphics card."""


@dataclass(frozen=True)
class Package:
    """A package that is asked for.

    Attributes:
        requirement: name and versions.
        title: what people call it.
        size: of the download, in words.
    """

    requirement: Requirement
    title: str
    size: str


_KNOWN = {
    "torch": ("PyTorch", "about 200 MB, with CUDA about 3 GB"),
    "monai": ("MONAI", "2 MB"),
    "safetensors": ("safetensors", "1 MB"),
    "psutil": ("psutil", "1 MB"),
    "highdicom": ("highdicom", "2 MB"),
}
"""Title, and size of the download on the system where it is largest."""


@functools.cache
def missing_packages() -> tuple[Package, ...]:
    """What is not installed, or too old or too new; PyTorch first. Remembered until :func:`look_again`."""
    return tuple(_package(need) for need in (TORCH, *_listed()) if not _is_there(need))


def look_again() -> None:
    """Forget what was missing: packages were installed or removed."""
    importlib.invalidate_caches()
    missing_packages.cache_clear()


def unmet() -> list[str]:
    """Why no worker can run, as a sentence; empty where one can."""
    titles = [package.title for package in missing_packages()]
    return [f"Install what is missing first: {', '.join(titles)}."] if titles else []


def _listed() -> list[Requirement]:
    lines = REQUIREMENTS_FILE.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def _package(requirement: Requirement) -> Package:
    return Package(requirement, *_KNOWN[requirement.name])


def _is_there(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False
