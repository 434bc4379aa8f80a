"""The choices of one few-slice job, without torch: shared by the command line, the worker and the viewers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sslseg.errors import InputError

PRESETS = ("fast", "balanced", "accurate")
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
        if self.preset not in PRESETS:
            raise InputError(f"There is no preset '{self.preset}': choose one of {', '.join(PRESETS)}.")
        if self.mode not in MODES:
            raise InputError(f"There is no mode '{self.mode}': choose one of {', '.join(MODES)}.")
        if self.time_limit_s is not None and not (math.isfinite(self.time_limit_s) and self.time_limit_s > 0):
            raise InputError(
                f"A time limit of {self.time_limit_s:g} s leaves no time to train: give a positive number."
            )
        if not 0 <= self.seed < 2**31:
            raise InputError(f"Seed {self.seed} is out of range: give a whole number from 0 to {2**31 - 1}.")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``Settings(**values)`` is the way back."""
        return asdict(self)
