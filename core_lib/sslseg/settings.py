"""The choices of one few-slice job, without torch: shared by the command line, the worker and the viewers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sslseg.errors import InputError

PRESET_NAMES = ("fast", "balanced", "accurate")
FINETUNE, LINEAR = MODES = ("finetune", "linear")
AUTO_WEIGHTS = "auto"
NO_WEIGHTS = "none"


@dataclass(frozen=True)
class Settings:
    """What the user may choose for a training.

    Attributes:
        preset: "fast", "balanced" or "accurate": how long and how large.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        seed: the same seed on the same device gives the same result.
        time_limit_s: stop training after this many seconds, leaving the best model; None = by schedule only.
        weights: path of pretrained weights, "none" for random ones, "auto" for the best that ships.
        mode: "finetune" trains the head and then all layers; "linear" the head alone, on frozen pretrained features.
    """

    preset: str = "balanced"
    device: str = "auto"
    seed: int = 0
    time_limit_s: float | None = None
    weights: str = AUTO_WEIGHTS
    mode: str = FINETUNE

    def __post_init__(self) -> None:
        check_choice("preset", self.preset, PRESET_NAMES)
        check_choice("mode", self.mode, MODES)
        if self.time_limit_s is not None and not (math.isfinite(self.time_limit_s) and self.time_limit_s > 0):
            raise InputError(
                f"A time limit of {self.time_limit_s:g} s leaves no time to train: give a positive number."
            )
        check_seed(self.seed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``Settings(**values)`` is the way back."""
        return asdict(self)


def check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    """Raise :class:`InputError` unless ``value`` is one of ``choices``; ``what`` says in the message what it names."""
    if value not in choices:
        raise InputError(f"There is no {what} '{value}': choose one of {', '.join(choices)}.")


def check_seed(seed: int) -> None:
    """Raise :class:`InputError` unless every generator of random numbers takes ``seed``."""
    if not 0 <= seed < 2**31:
        raise InputError(f"Seed {seed} is out of range: give a whole number from 0 to {2**31 - 1}.")
