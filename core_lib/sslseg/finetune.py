"""Few-slice learning: a U-Net from a handful of annotated slices.

Supervision comes from the annotated pixels (partial Dice and cross entropy) and, on all other slices, from the labels
that propagation carries there, trusted less the further they came. From pretrained weights the head is trained first,
on frozen features (linear probe), then everything, with smaller rates for deeper layers. There is no validation
slice, one of three would be noise: the schedule is fixed and the result is the exponential moving average (EMA) of the
weights, which is usable at any moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sslseg.annotation import Annotation
from sslseg.backbone import BACKBONES, BackboneConfig, SegmentationNetwork, UNet
from sslseg.device import MemoryGuard, resolve_device, seeded
from sslseg.errors import InputError
from sslseg.model import Model, model_header
from sslseg.preparation import Preparation
from sslseg.presets import PRESETS, Preset
from sslseg.pretrained import starting_weights
from sslseg.progress import OnProgress, Progress, ShouldStop, ignore_progress, never_stop
from sslseg.sampling import Case, PatchSampler, check_fits, prepare
from sslseg.settings import Settings
from sslseg.trainer import Trainer

__all__ = ["Case", "FinetuneResult", "finetune"]

CONTEXT_CHANNELS = 3
"""Channels of a network from scratch: the slice and one neighbour on each side."""

_LEAST_SHARE = 1e-3  # of a class that is not annotated yet


@dataclass
class FinetuneResult:
    """What a training leaves.

    Attributes:
        model: the best model so far, on the CPU; also after a stop.
        stopped: "schedule", "time limit" or "request".
        steps: optimisation steps that were made.
        seconds: time it took.
        device: where it ran at last.
        messages: sentences the user must see.
        history: one progress report a step, for curves.
    """

    model: Model
    stopped: str
    steps: int
    seconds: float
    device: str
    messages: list[str] = field(default_factory=list)
    history: list[Progress] = field(default_factory=list)


def finetune(  # noqa: PLR0913 - a job is a function of plain arguments
    cases: Sequence[Case],
    settings: Settings | None = None,
    *,
    preset: Preset | None = None,
    preparation: Preparation | None = None,
    on_progress: OnProgress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> FinetuneResult:
    """Train a segmentation network on annotated slices, always from the pretrained (or random) weights.

    Args:
        cases: volumes with at least one annotated slice each, all with the same segments.
        settings: preset, device, seed, time limit and weights.
        preset: another size and length than those that the settings name, for experiments.
        preparation: what is known of the volumes from earlier jobs, and what later ones will find there.
        on_progress: called at every step and stage.
        should_stop: asked before every step, also while preparing; True ends the training with the best model so far.

    Raises:
        InputError: nothing is annotated, the cases disagree about the segments, or the device is not there.
        CheckpointError: the weights do not fit.
        TrainingError: the loss became NaN.
    """
    settings = settings or Settings()
    started = time.monotonic()
    _check(cases)
    device = resolve_device(settings.device)
    on_progress(Progress("preparing", device=str(device)))
    messages: list[str] = []
    deadline = started + settings.time_limit_s if settings.time_limit_s else None

    def is_over() -> bool:
        return should_stop() or (deadline is not None and time.monotonic() >= deadline)

    with seeded(settings.seed) as generator:
        preset = preset or PRESETS[settings.preset]
        pretrained, origin = starting_weights(settings)
        network, header = _network(cases, preset, pretrained, origin)
        # Nothing is computed in batches here, so that a lack of memory leads to the CPU at once.
        guard = MemoryGuard(device, 1, messages.append)
        prepared = guard.run(
            lambda where, _: prepare(
                cases, header["max_pixels"], header["spacing_mm"], where,
                backbone=pretrained, preparation=preparation, carry=preset.propagated > 0, should_stop=is_over,
            )
        )  # fmt: skip
        config = network.backbone.config
        sampler = PatchSampler(
            prepared, channels=config.in_channels, patch=preset.patch, stride=config.stride, generator=generator
        )
        trainer = Trainer(
            network,
            sampler=sampler,
            cases=prepared,
            preset=preset,
            device=guard.device,
            on_progress=on_progress,
            should_stop=should_stop,
            deadline=deadline,
        )
        stopped = trainer.run(settings.mode, pretrained=pretrained is not None)
    return FinetuneResult(
        model=Model(trainer.best_network(), header, features=pretrained),
        stopped=stopped,
        steps=trainer.step,
        seconds=time.monotonic() - started,
        device=str(trainer.device),
        messages=messages + trainer.messages,
        history=trainer.history,
    )


def _network(
    cases: Sequence[Case], preset: Preset, pretrained: UNet | None, origin: Mapping[str, Any]
) -> tuple[SegmentationNetwork, dict[str, Any]]:
    """The network to start from, and the header of the model that it becomes."""
    annotation = cases[0].annotation
    config = pretrained.config if pretrained else BackboneConfig(BACKBONES["small"], CONTEXT_CHANNELS)
    network = SegmentationNetwork(config, annotation.n_classes)
    if pretrained is not None:
        network.backbone.load_state_dict(pretrained.state_dict())
    _start_at_class_shares(network.head, [case.annotation for case in cases])
    header = model_header(
        config,
        annotation.segments,
        axis=cases[0].axis,
        max_pixels=preset.max_pixels,
        spacing_mm=origin["spacing_mm"],
        weights=origin["method"],
        licence=origin["licence"],
    )
    return network, header


def _start_at_class_shares(head: torch.nn.Conv2d, annotations: Sequence[Annotation]) -> None:
    """Let the untrained head predict the share of each class, after Lin et al., Focal Loss (ICCV 2017), section 3.3.

    Otherwise the first steps go into learning that most pixels are background.
    """
    known = np.concatenate([annotation.labels[annotation.known] for annotation in annotations])
    shares = np.bincount(known, minlength=head.out_channels) / known.size
    head.bias = torch.nn.Parameter(torch.from_numpy(np.log(shares + _LEAST_SHARE)).float())


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise InputError("There is nothing to train on: give at least one volume with annotated slices.")
    names = [segment.name for segment in cases[0].annotation.segments]
    for case in cases:
        case.annotation.require_annotated(f"The annotation of {case.volume.name}")
        check_fits(case.annotation, case.volume)
        if [segment.name for segment in case.annotation.segments] != names:
            raise InputError(
                f"{case.volume.name} has other segments than {cases[0].volume.name}: use the same names everywhere."
            )
