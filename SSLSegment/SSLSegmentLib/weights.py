"""The pretrained weights that a user can choose from, described by their file headers. No torch, no safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class WeightsChoice:
    """One entry of the list of weights.

    Attributes:
        value: for :attr:`SSLSegmentLib.settings.LoopSettings.weights`: "auto", "none" or the path of a file.
        title: for the list.
        tooltip: lines of plain text: method, training data, licence, size.
        problem: why it cannot be used, as a sentence; empty where it can.
    """

    value: str
    title: str
    tooltip: str
    problem: str = ""


def weights_choices(folder: str | Path | None = None, chosen: str = "auto") -> list[WeightsChoice]:
    """All weights to choose from: the best that ships, each that ships, those of a folder, a chosen file, none.

    Args:
        folder: the user's weights folder, searched without its sub-folders; files of other programs are left out.
        chosen: the present choice; a file that is not among the others gets an entry of its own, also where it is
            missing or damaged, so that a list can always show the choice.
    """
    raise NotImplementedError


def read_header(path: str | Path) -> dict[str, Any]:
    """The SSLSegment header of a safetensors file (see :mod:`sslseg.checkpoint`).

    Raises:
        CheckpointError: not there, not safetensors, of another program, damaged, or of a newer version.
    """
    raise NotImplementedError


def problem_of(weights: str) -> str:
    """Why a choice of weights cannot be used, as a sentence; empty where it can."""
    raise NotImplementedError
