"""The first answer to an annotation: its labels carried to all slices, before anything is trained."""

from __future__ import annotations

import time

import numpy as np
import torch

from sslseg.annotation import slice_index
from sslseg.device import MemoryGuard, resolve_device
from sslseg.predict import Prediction, decide
from sslseg.preparation import Preparation
from sslseg.pretrained import starting_weights
from sslseg.progress import OnProgress, Progress, ShouldStop, ignore_progress, never_stop
from sslseg.sampling import Case, check_fits
from sslseg.settings import Settings

_AT_ONCE = 8  # slices that are brought to the native grid together, to bound the memory


@torch.no_grad()
def carry_labels(
    case: Case,
    settings: Settings | None = None,
    *,
    preparation: Preparation | None = None,
    on_progress: OnProgress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> Prediction:
    """Complete an annotation by label propagation alone, with the features that a training would start from.

    A training with the same weights and ``preparation`` goes on from there; nothing of it is computed again.

    Args:
        case: a volume with at least one annotated slice.
        settings: weights and device.
        preparation: what is known of the volume, and what later jobs will find there.
        on_progress: called once, at the start.
        should_stop: cuts the propagation short: the slices further away stay background.

    Raises:
        InputError: the annotation does not fit the volume, or the device is not there.
        CheckpointError: the weights do not fit.
    """
    settings = settings or Settings()
    started = time.monotonic()
    check_fits(case.annotation, case.volume)
    messages: list[str] = []
    guard = MemoryGuard(resolve_device(settings.device), 1, messages.append)
    on_progress(Progress("preparing", device=str(guard.device)))
    backbone, origin = starting_weights(settings)
    preparation = preparation or Preparation()
    completion = guard.run(
        lambda where, _: preparation.complete(
            case.volume, case.annotation, case.axis, where,
            backbone=backbone, model_spacing_mm=origin["spacing_mm"], should_stop=should_stop,
        )
    )  # fmt: skip
    shape = case.volume.array.shape
    labels, uncertainty = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    for start in range(0, shape[case.axis], _AT_ONCE):
        classes, unsure = decide(completion.probabilities(slice(start, start + _AT_ONCE)))
        index = slice_index(range(start, start + len(classes)), case.axis)
        labels[index], uncertainty[index] = (np.moveaxis(part, 0, case.axis) for part in (classes, unsure))
    np.copyto(labels, case.annotation.labels, where=case.annotation.known)
    uncertainty[case.annotation.known] = 0
    return Prediction(
        labels, uncertainty, case.volume.geometry, case.annotation.segments,
        stopped="request" if should_stop() else "schedule", seconds=time.monotonic() - started,
        device=str(guard.device), messages=messages,
    )  # fmt: skip
