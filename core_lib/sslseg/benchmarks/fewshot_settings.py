"""The choices of one few-shot benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class FewshotSettings:
    """What is compared, and how much of it.

    Attributes:
        data: folder of the labelled data sets.
        protocol: "acdc" or "hippocampus".
        weights: files of pretrained weights by the name under which they are reported.
        patients: numbers of completely labelled patients.
        slices: numbers of single annotated slices.
        draws: of each number.
        modes: some of "scratch", "linear", "finetune", "propagate".
        steps: of each training.
        preset: gives sizes and batch of the trainings.
        device: where to compute.
    """

    data: Path
    protocol: str
    weights: Mapping[str, Path] = field(default_factory=dict)
    patients: tuple[int, ...] = (1, 3, 7)
    slices: tuple[int, ...] = (1, 2, 5, 10)
    draws: int = 5
    modes: tuple[str, ...] = ("scratch", "linear", "finetune", "propagate")
    steps: int = 300
    preset: str = "balanced"
    device: str = "cpu"
