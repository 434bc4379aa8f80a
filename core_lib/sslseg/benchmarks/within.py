"""A few annotated slices of a volume, and the rest of that volume as the test: SSLSegment beside its peers.

All methods get the same annotated slices, and are scored on all other slices of the volume. Nothing else of the
reference reaches a method.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from sslseg.benchmarks.datasets import DATA_SETS, LabelledVolume, Subject, load
from sslseg.benchmarks.methods import complete, peer
from sslseg.benchmarks.own_methods import OWN, Completed, OwnSettings
from sslseg.benchmarks.placements import ENDS, SUGGESTED, chosen_slices
from sslseg.benchmarks.runs import Job, Work, checksum
from sslseg.benchmarks.uncertainty import errors_by_level, rank_correlation
from sslseg.benchmarks.within_settings import WithinSettings
from sslseg.metrics import evaluate
from sslseg.shipped import resolve_weights

_SEED_OF_CHOICE = 4


def plan(settings: WithinSettings) -> list[Job]:
    """All jobs of a run, draw by draw and volume by volume."""
    own = own_key(settings)
    return [
        {
            "benchmark": "within-volume",
            "set": name,
            "subject": subject.name,
            "placement": placement,
            "k": k,
            "draw": draw,
            "method": method,
            **(own if method in OWN or placement == SUGGESTED else {}),
        }
        for draw in range(settings.draws)
        for name in settings.sets
        for subject in subjects(settings, name)
        for placement in settings.placements
        for k in settings.slices
        for method in settings.methods
        if not (placement == ENDS and k == 1)
    ]


def own_key(settings: WithinSettings) -> dict[str, Any]:
    """What results of SSLSegment depend on besides the data."""
    path = resolve_weights(settings.weights)
    return {
        "weights": checksum(path) if path else None,
        "device": settings.device,
        "tag": settings.tag,
    }


def subjects(settings: WithinSettings, name: str) -> list[Subject]:
    """The volumes of a data set that are used."""
    found = getattr(DATA_SETS[name](settings.data), settings.split)
    if settings.volumes is None or settings.volumes >= len(found):
        return list(found)
    order = np.random.default_rng(_SEED_OF_CHOICE).permutation(len(found))
    return [found[i] for i in sorted(order[: settings.volumes])]


def worker(settings: WithinSettings) -> Work:
    """What does one job of :func:`plan`."""
    return partial(run_job, settings=settings)


def run_job(job: Job, *, settings: WithinSettings) -> dict[str, Any]:
    """Complete one volume, and score what was not annotated.

    Returns:
        "dice", the mean over the structures; "structures", Dice and HD95 in mm of each (null where there is none);
        "annotated", the slices; "seconds" of the method; and of a method that knows where it is unsure
        "rank_correlation" and "errors_by_level", see :mod:`sslseg.benchmarks.uncertainty`.
    """
    subject = next(s for s in subjects(settings, job["set"]) if s.name == job["subject"])
    own = OwnSettings(settings.weights, settings.device, job["draw"])
    annotated = chosen_slices(subject, job["placement"], job["k"], job["draw"], own)
    volume = load(subject)
    case = volume.annotated(annotated)
    if job["method"] not in OWN:
        peer(job["method"])  # imported before the clock runs
    started = time.perf_counter()
    completed = complete(job["method"], case, own)
    seconds = time.perf_counter() - started
    scores = evaluate(
        completed.labels, volume.reference.labels, case.volume.geometry, volume.reference.segments,
        axis=case.axis, ignore_slices=annotated,
    ).as_dict()  # fmt: skip
    names = [name for name, _ in subject.structures]
    return {
        "dice": scores["mean_dice"],
        "structures": {
            name: {"dice": score["dice"], "hd95_mm": score["hd95_mm"]}
            for name, score in zip(names, scores["classes"], strict=True)
        },
        "annotated": annotated,
        "seconds": round(seconds, 2),
        **_of_uncertainty(completed, volume, annotated),
    }


def _of_uncertainty(completed: Completed, volume: LabelledVolume, annotated: list[int]) -> dict[str, Any]:
    if completed.uncertainty is None:
        return {"rank_correlation": None, "errors_by_level": None}
    where = completed.uncertainty, completed.labels != volume.reference.labels, annotated, volume.axis
    return {"rank_correlation": rank_correlation(*where), "errors_by_level": errors_by_level(*where)}
