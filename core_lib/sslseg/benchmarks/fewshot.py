"""Few labelled patients, or few annotated slices, and other patients as the test: how much does pretraining help?

Each job trains one network and segments all test volumes with it: all slices, the whole field of view, no annotation of
the test volume. ``scratch`` takes as many steps as ``linear`` (the backbone is frozen) and ``finetune`` (the head
first, then everything). Un-annotated slices take no part, so that nothing but the weights differs.

The fourth mode, ``propagate``, trains nothing: one slice in the middle of each test volume is annotated, and its labels
travel by the features of the weights.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.benchmarks.datasets import PROTOCOLS, LabelledVolume, Split, load
from sslseg.benchmarks.fewshot_plan import BUDGETS, draw_annotations
from sslseg.benchmarks.fewshot_settings import FewshotSettings
from sslseg.benchmarks.readout import INTENSITIES, RANDOM, propagated_labels
from sslseg.benchmarks.runs import Job, Work, checksum
from sslseg.finetune import Case, finetune
from sslseg.metrics import dice_per_class, mean_dice
from sslseg.model import Model
from sslseg.predict import predict
from sslseg.presets import PRESETS, Preset
from sslseg.settings import FINETUNE, LINEAR, NO_WEIGHTS, Settings

SCRATCH, PROPAGATE = "scratch", "propagate"
MODES = (SCRATCH, LINEAR, FINETUNE, PROPAGATE)


def plan(settings: FewshotSettings) -> list[Job]:
    """All jobs of a run, draw by draw, so that a run that was stopped has every row of the table."""
    common = {"benchmark": "fewshot", "protocol": settings.protocol}
    training = {"steps": settings.steps, "preset": settings.preset, "device": settings.device}
    weights = [{"weights": name, "sha256": checksum(path)} for name, path in settings.weights.items()]
    counts = dict(zip(BUDGETS, (settings.patients, settings.slices), strict=True))
    jobs: list[Job] = []
    for draw, mode in product(range(settings.draws), settings.modes):
        if mode == PROPAGATE:
            jobs += [{**common, "mode": mode, **source, "draw": draw} for source in _readouts(weights, draw)]
            continue
        sources = [_without_weights(NO_WEIGHTS)] if mode == SCRATCH else weights
        jobs += [
            {**common, "mode": mode, **source, "budget": budget, "n": n, "draw": draw, **training}
            for source in sources
            for budget in BUDGETS
            for n in counts[budget]
        ]
    return jobs


def _readouts(weights: Sequence[Job], draw: int) -> list[Job]:
    """By which features labels are propagated; only random weights differ from draw to draw."""
    alone = {**_without_weights(INTENSITIES), "with_intensities": True}
    learned = [_without_weights(RANDOM), *(weights if draw == 0 else ())]
    both = [{**source, "with_intensities": beside} for source in learned for beside in (False, True)]
    return [alone, *both] if draw == 0 else [*both]


def _without_weights(name: str) -> Job:
    return {"weights": name, "sha256": None}


def worker(settings: FewshotSettings) -> Work:
    """What does one job of :func:`plan`."""
    return partial(run_job, data=settings.data, weights=settings.weights)


def run_job(job: Job, *, data: Path, weights: Mapping[str, Path]) -> dict[str, Any]:
    """Train, segment the test volumes, and score them.

    Returns:
        "dice", the mean over the test volumes of the mean over the structures; "volumes", Dice of each structure (null
        where it is in neither) by volume; and "annotated", what was learned from.
    """
    split = PROTOCOLS[job["protocol"]](data)
    path = weights.get(job["weights"])
    if job["mode"] == PROPAGATE:
        return _scores(
            split,
            lambda volume: propagated_labels(
                volume, job["weights"], path, with_intensities=job["with_intensities"], seed=job["draw"]
            ),
        )
    annotated = draw_annotations(split.training, job["budget"], job["n"], job["draw"])
    model = fit(
        [labelled.case() for labelled in annotated],
        mode=job["mode"], weights=path, steps=job["steps"], preset=job["preset"], device=job["device"],
        seed=job["draw"],
    )  # fmt: skip

    def segment(volume: LabelledVolume) -> tuple[np.ndarray, None]:
        return predict(model, volume.volume, device=job["device"]).labels, None

    return {**_scores(split, segment), "annotated": [str(labelled) for labelled in annotated]}


def fit(  # noqa: PLR0913 - one experiment
    cases: Sequence[Case], *, mode: str, weights: Path | None, steps: int, preset: str, device: str, seed: int
) -> Model:
    """Train a network on the annotated slices alone.

    Args:
        cases: what is annotated.
        mode: "scratch", "linear" or "finetune".
        weights: pretrained weights; None from scratch.
        steps: in all, head and network together.
        preset: gives patch and batch.
        device: where.
        seed: of the training.
    """
    settings = Settings(
        preset=preset,
        device=device,
        seed=seed,
        weights=NO_WEIGHTS if weights is None else str(weights),
        mode=LINEAR if mode == LINEAR else FINETUNE,
    )
    return finetune(cases, settings, preset=_schedule(PRESETS[preset], mode, steps)).model


def _schedule(preset: Preset, mode: str, steps: int) -> Preset:
    """The sizes of ``preset`` and as many steps in all; from scratch there is nothing to probe."""
    probe_steps = 0 if mode == SCRATCH else min(preset.probe_steps, steps)
    return dataclasses.replace(preset, probe_steps=probe_steps, steps=steps - probe_steps, propagated=0)


def _scores(split: Split, segment: Callable[[LabelledVolume], tuple[np.ndarray, int | None]]) -> dict[str, Any]:
    """Segment and score the test volumes; ``segment`` also says which slice was annotated, which does not count."""
    volumes: dict[str, list[float | None]] = {}
    means = []
    for subject in split.test:
        volume = load(subject)
        labels, annotated = segment(volume)
        truth = volume.reference.labels
        if annotated is not None:
            labels, truth = (np.delete(array, annotated, volume.axis) for array in (labels, truth))
        dice = dice_per_class(labels, truth, volume.reference.n_classes)
        means.append(mean_dice(dice))
        volumes[subject.name] = [None if math.isnan(value) else round(float(value), 5) for value in dice]
    return {"dice": mean_dice(means), "volumes": volumes}
