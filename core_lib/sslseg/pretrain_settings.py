"""The choices of one pretraining, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sslseg.errors import InputError
from sslseg.settings import check_choice, check_seed

METHODS = ("pix2rep", "pix2rep-v2", "hssl")
BACKBONE_NAMES = ("tiny", "small", "base", "large")
DEFAULT_EPOCHS = 100
MAX_BATCH = 4096

_PIXELS = {"pix2rep": 1000, "pix2rep-v2": 4000, "hssl": 1000}
_MAY_CHANGE = ("device", "time_limit_s")  # between the parts of a run that is resumed


@dataclass(frozen=True)
class PretrainSettings:
    """What the user may choose for a pretraining.

    Attributes:
        method: one of :data:`METHODS`.
        backbone: one of :data:`BACKBONE_NAMES`.
        epochs: passes over all slices; None where ``steps`` or only ``time_limit_s`` says when to end.
        steps: optimisation steps, instead of ``epochs``.
        time_limit_s: end then at the latest; the learning rate is still taken to 0.
        batch: slices of a step, over all processes together; at most :data:`MAX_BATCH`.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        seed: the same seed on the same device gives the same weights.
        patch: side of the square views, in pixels.
        max_pixels: the most pixels along the longer side of a stored slice.
        spacing_mm: pixel size of the stored slices; None: square pixels at the finer native spacing.
        rate: highest learning rate.
        image_weight: of the contrast between images (hssl only, like those that follow).
        task_weight: of telling the data sets apart.
        group_weight: of the contrast between groups of data sets (modality and anatomy).
        dense_weight: of the pixel loss.
    """

    method: str
    backbone: str = "small"
    epochs: int | None = None
    steps: int | None = None
    time_limit_s: float | None = None
    batch: int = 16
    device: str = "auto"
    seed: int = 0
    patch: int = 128
    max_pixels: int = 256
    spacing_mm: float | None = None
    rate: float = 1e-3
    image_weight: float = 1.0
    task_weight: float = 1.0
    group_weight: float = 1.0
    dense_weight: float = 1.0

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        check_choice("backbone", self.backbone, BACKBONE_NAMES)
        if self.epochs is not None and self.steps is not None:
            raise InputError("Both a number of epochs and of steps are given: give one of them.")
        for name, value in (
            ("number of epochs", self.epochs), ("number of steps", self.steps), ("time limit", self.time_limit_s),
            ("batch", self.batch), ("patch", self.patch), ("pixel limit", self.max_pixels),
            ("pixel size", self.spacing_mm), ("learning rate", self.rate),
        ):  # fmt: skip
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"The {name} is {value:g}: give a positive number.")
        if self.batch > MAX_BATCH:
            raise InputError(f"The batch is {self.batch}: give at most {MAX_BATCH}, which must fit into memory.")
        weights = (self.image_weight, self.task_weight, self.group_weight, self.dense_weight)
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise InputError("The weights of the hssl loss must be finite, not negative and not all 0: change them.")
        check_seed(self.seed)

    @property
    def pixels(self) -> int:
        """Positions that the pixel loss is taken at, in each process."""
        return _PIXELS[self.method]

    def total_steps(self, slices: int) -> int | None:
        """Steps of the whole run over that many slices; None where only the time limit ends it."""
        if self.steps is not None:
            return self.steps
        if self.epochs is None and self.time_limit_s is not None:
            return None
        return (self.epochs or DEFAULT_EPOCHS) * max(1, round(slices / self.batch))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``PretrainSettings(**values)`` is the way back."""
        return asdict(self)

    def check_same(self, earlier: Mapping[str, Any], path: str) -> None:
        """Raise :class:`InputError` if a run with other settings, found in ``path``, cannot go on with these."""
        changed = [
            f"{name} was {earlier.get(name)} and is {value}"
            for name, value in self.as_dict().items()
            if name not in _MAY_CHANGE and earlier.get(name) != value
        ]
        if changed:
            raise InputError(
                f"The run in {path} cannot be resumed with other settings ({'; '.join(changed)}): give the same ones, "
                "or start anew without resuming."
            )
