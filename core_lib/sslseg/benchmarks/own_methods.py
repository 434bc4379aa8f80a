"""SSLSegment itself as methods of the benchmark, and SSLSegment with parts left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sslseg.backbone import UNet
from sslseg.benchmarks.readout import travelled
from sslseg.carry import carry_labels
from sslseg.finetune import Case, finetune
from sslseg.model import Model
from sslseg.predict import Prediction, predict
from sslseg.preparation import Preparation
from sslseg.presets import PRESETS
from sslseg.pretrained import starting_weights
from sslseg.settings import NO_WEIGHTS, Settings

_ONE_TEMPERATURE = 0.03  # the best for cardiac and hippocampal images


@dataclass(frozen=True)
class Completed:
    """A volume that a method has completed.

    Attributes:
        labels: uint8 (K, J, I) class indices.
        uncertainty: float32 (K, J, I) in [0, 1]; None where the method has none.
    """

    labels: np.ndarray
    uncertainty: np.ndarray | None = None

    @classmethod
    def of(cls, prediction: Prediction) -> Completed:
        """What the product gives back."""
        return cls(prediction.labels, prediction.uncertainty)


@dataclass(frozen=True)
class OwnSettings:
    """What the methods of SSLSegment may be given.

    Attributes:
        weights: as in :class:`sslseg.settings.Settings`.
        device: where to compute.
        seed: of the training.
    """

    weights: str
    device: str
    seed: int


def segment(case: Case, preset: str, settings: OwnSettings) -> Prediction:
    """Train and predict as the product does: slices and propagated labels are computed once for both."""
    preparation = Preparation()
    model = finetune([case], _settings(preset, settings), preparation=preparation).model
    return predict(model, case.volume, annotation=case.annotation, device=settings.device, preparation=preparation)


def _settings(preset: str, settings: OwnSettings) -> Settings:
    return Settings(preset=preset, device=settings.device, seed=settings.seed, weights=settings.weights)


def _alone(model: Model, case: Case, settings: OwnSettings) -> Completed:
    """What a model says of the volume, as if nothing were annotated there."""
    return Completed.of(predict(model, case.volume, device=settings.device))


def _fast(case: Case, settings: OwnSettings) -> Completed:
    """SSLSegment, preset fast."""
    return Completed.of(segment(case, "fast", settings))


def _balanced(case: Case, settings: OwnSettings) -> Completed:
    """SSLSegment, preset balanced."""
    return Completed.of(segment(case, "balanced", settings))


def _propagation(case: Case, settings: OwnSettings) -> Completed:
    """SSLSegment without training: labels that travel by the features of its weights."""
    return Completed.of(carry_labels(case, _settings("balanced", settings)))


def _intensities(case: Case, settings: OwnSettings) -> Completed:
    """The same by intensities, without a network."""
    return _propagation(case, dataclasses.replace(settings, weights=NO_WEIGHTS))


def _network(case: Case, settings: OwnSettings) -> Completed:
    """The preset fast; of its result only what the network says, without the propagated labels."""
    return _alone(finetune([case], _settings("fast", settings)).model, case, settings)


def _annotated(case: Case, settings: OwnSettings) -> Completed:
    """The same, and the network learns from the annotated slices alone."""
    preset = dataclasses.replace(PRESETS["fast"], propagated=0)
    return _alone(finetune([case], _settings("fast", settings), preset=preset).model, case, settings)


def _features(case: Case, settings: OwnSettings) -> Completed:
    """Propagation by the features of the network without the intensities."""
    return Completed(travelled(case, _backbone(settings), with_intensities=False))


def _one_temperature(case: Case, settings: OwnSettings) -> Completed:
    """Propagation with one temperature for all volumes."""
    return Completed(travelled(case, _backbone(settings), temperature=_ONE_TEMPERATURE))


def _endless(case: Case, settings: OwnSettings) -> Completed:
    """Propagation that does not ask where structures end."""
    return Completed(travelled(case, _backbone(settings), ends=False))


def _outward(case: Case, settings: OwnSettings) -> Completed:
    """Propagation only outward from the annotated slices: both neighbours of a slice are not asked together."""
    return Completed(travelled(case, _backbone(settings), sweeps=0))


def _backbone(settings: OwnSettings) -> UNet | None:
    return starting_weights(_settings("fast", settings))[0]


def _scratch(case: Case, settings: OwnSettings) -> Completed:
    """A U-Net from scratch with the sizes, steps and augmentation of balanced, on the annotated slices alone."""
    preset = PRESETS["balanced"]
    preset = dataclasses.replace(preset, probe_steps=0, steps=preset.probe_steps + preset.steps, propagated=0)
    chosen = _settings("balanced", dataclasses.replace(settings, weights=NO_WEIGHTS))
    return _alone(finetune([case], chosen, preset=preset).model, case, settings)


Method: TypeAlias = Callable[[Case, OwnSettings], Completed]

PRODUCT: dict[str, Method] = {
    "balanced": _balanced,
    "fast": _fast,
    "propagation": _propagation,
    "intensities": _intensities,
}
"""SSLSegment, by the name of the method. The first line of the help is the legend of the page, as for all methods."""

ABLATIONS: dict[str, Method] = {
    "features": _features,
    "one-temperature": _one_temperature,
    "endless": _endless,
    "outward": _outward,
    "network": _network,
    "annotated": _annotated,
}
"""What is left of it where parts are left out."""

OWN: dict[str, Method] = {**PRODUCT, "scratch": _scratch, **ABLATIONS}
"""All that this package has."""
