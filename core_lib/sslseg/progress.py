"""How long jobs tell their caller where they are (contract 1: a job is a function)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """One report of a running job.

    Attributes:
        stage: what is being done, in words for the user ("preparing", "linear probe", "fine-tuning", "predicting").
        step: steps of this stage that are done.
        steps: steps of this stage in all; 0 while unknown.
        loss: training loss of the last step, where there is one.
        dice: mean foreground Dice on the *annotated* slices (a training score, not an estimate of accuracy).
        eta_s: seconds to the end of the whole job, where it can be told.
        device: the device in use, "cpu" or for example "cuda:0".
        message: a sentence the user must see (batch halved, fell back to the CPU); empty as a rule.
        images_per_s: slices a second, where that is of interest.
    """

    stage: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    dice: float | None = None
    eta_s: float | None = None
    device: str = ""
    message: str = ""
    images_per_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


def ignore_progress(_: Progress) -> None:
    """The ``on_progress`` of a caller who does not look."""


def never_stop() -> bool:
    """The ``should_stop`` of a caller who waits for the end."""
    return False
