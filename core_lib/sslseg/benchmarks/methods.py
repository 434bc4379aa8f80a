"""What completes a volume from a few annotated slices: SSLSegment itself, its parts, and the peers that are installed.

A peer is a function from a case to class indices, published as an entry point of the group ``sslseg.peers`` by another
package: the core knows none of them by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

import numpy as np

from sslseg.carry import carry_labels
from sslseg.errors import InputError
from sslseg.finetune import Case, finetune
from sslseg.predict import Prediction, predict
from sslseg.preparation import Preparation
from sslseg.presets import PRESETS
from sslseg.settings import NO_WEIGHTS, Settings

PEERS = "sslseg.peers"

Peer = Callable[[Case], np.ndarray]
"""uint8 (K, J, I) class indices of all voxels; what is annotated may be given back as it likes."""


@dataclass(frozen=True)
class Completed:
    """A volume that a method has completed.

    Attributes:
        labels: uint8 (K, J, I) class indices.
        uncertainty: float32 (K, J, I) in [0, 1]; None where the method has none.
    """

    labels: np.ndarray
    uncertainty: np.ndarray | None = None


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
    chosen = Settings(preset=preset, device=settings.device, seed=settings.seed, weights=settings.weights)
    model = finetune([case], chosen, preparation=preparation).model
    return predict(model, case.volume, annotation=case.annotation, device=settings.device, preparation=preparation)


def _fast(case: Case, settings: OwnSettings) -> Completed:
    """SSLSegment, preset fast."""
    prediction = segment(case, "fast", settings)
    return Completed(prediction.labels, prediction.uncertainty)


def _balanced(case: Case, settings: OwnSettings) -> Completed:
    """SSLSegment, preset balanced."""
    prediction = segment(case, "balanced", settings)
    return Completed(prediction.labels, prediction.uncertainty)


def _propagation(case: Case, settings: OwnSettings) -> Completed:
    """SSLSegment without training: labels that travel by the features of its weights."""
    carried = carry_labels(case, Settings(device=settings.device, weights=settings.weights))
    return Completed(carried.labels, carried.uncertainty)


def _intensities(case: Case, settings: OwnSettings) -> Completed:
    """The same by intensities, without a network."""
    return _propagation(case, dataclasses.replace(settings, weights=NO_WEIGHTS))


def _scratch(case: Case, settings: OwnSettings) -> Completed:
    """A U-Net from scratch with the sizes, steps and augmentation of balanced, on the annotated slices alone."""
    preset = PRESETS["balanced"]
    preset = dataclasses.replace(preset, probe_steps=0, steps=preset.probe_steps + preset.steps, propagated=0)
    chosen = Settings(device=settings.device, seed=settings.seed, weights=NO_WEIGHTS)
    prediction = predict(finetune([case], chosen, preset=preset).model, case.volume, device=settings.device)
    return Completed(prediction.labels, prediction.uncertainty)


OWN: dict[str, Callable[[Case, OwnSettings], Completed]] = {
    "balanced": _balanced,
    "fast": _fast,
    "propagation": _propagation,
    "intensities": _intensities,
    "scratch": _scratch,
}
"""The methods that are part of this package, by name. The first line of their help is the legend of the page."""


SSLSEGMENT = ("balanced", "fast", "propagation", "intensities")
"""Those of :data:`OWN` that are the product or a part of it."""


def peer_names() -> list[str]:
    """The names of the peers that are installed, without importing them."""
    return sorted(entry.name for entry in entry_points(group=PEERS))


def complete(name: str, case: Case, settings: OwnSettings) -> Completed:
    """Run one method, by its name in :data:`OWN` or among the peers."""
    if name in OWN:
        return OWN[name](case, settings)
    return Completed(peer(name)(case))


def peer(name: str) -> Peer:
    """One of :func:`peer_names`, with what it needs imported.

    Raises:
        InputError: what it needs is not installed.
    """
    (entry,) = entry_points(group=PEERS, name=name)
    try:
        found: Peer = entry.load()
    except ModuleNotFoundError as error:
        raise InputError(
            f"The method {name} needs the package {error.name}: install sslsegment[benchmark], or leave it out by "
            "--methods."
        ) from error
    return found


def legend(name: str) -> str:
    """What a method is, in a sentence."""
    function = OWN.get(name) or peer(name)
    return (function.__doc__ or name).strip().splitlines()[0]
