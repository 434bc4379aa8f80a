"""Which slices are annotated within a volume."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from sslseg.benchmarks.datasets import LabelledVolume, Subject, load
from sslseg.benchmarks.own_methods import PRODUCT, OwnSettings
from sslseg.suggest import suggest

INNER, ENDS, SUGGESTED = PLACEMENTS = ("inner", "ends", "suggested")
"""Middles of equal parts of the labelled extent; its first and last slice and evenly between; the tool's own choice."""

_SUGGESTED_BY = "propagation"  # the first answer, seconds after each annotation


def chosen_slices(subject: Subject, placement: str, k: int, draw: int, settings: OwnSettings) -> list[int]:
    """The annotated slices of one experiment, ascending; fewer than ``k`` only where no more show a structure.

    Draw 0 is the regular placement. In other draws each slice is drawn from its own part of the extent.

    Args:
        subject: the volume.
        placement: one of :data:`PLACEMENTS`.
        k: how many.
        draw: number of the draw.
        settings: of the tool, for its suggestions.
    """
    volume = load(subject)
    shown = volume.slices_with(1)
    k = min(k, len(shown))
    random = np.random.default_rng([3, draw]) if draw else None
    if placement == INNER:
        return _one_of_each_part(shown, k, random)
    if placement == SUGGESTED:
        return sorted(_suggested(subject, k, draw, settings))
    if random is None or k < 3:
        return sorted({shown[round(place)] for place in np.linspace(0, len(shown) - 1, k)})
    return [shown[0], *_one_of_each_part(shown[1:-1], k - 2, random), shown[-1]]


def _one_of_each_part(shown: Sequence[int], k: int, random: np.random.Generator | None) -> list[int]:
    parts = np.array_split(np.asarray(shown), k) if k else []
    return [int(part[len(part) // 2] if random is None else random.choice(part)) for part in parts]


@lru_cache(64)
def _suggested(subject: Subject, k: int, draw: int, settings: OwnSettings) -> tuple[int, ...]:
    """The slices in the order in which they were annotated."""
    volume = load(subject)
    if k == 1:
        return tuple(chosen_slices(subject, INNER, 1, draw, settings))
    before = _suggested(subject, k - 1, draw, settings)
    return (*before, _next_slice(volume, before, settings))


def _next_slice(volume: LabelledVolume, annotated: Sequence[int], settings: OwnSettings) -> int:
    case = volume.annotated(annotated)
    answer = PRODUCT[_SUGGESTED_BY](case, settings)
    assert answer.uncertainty is not None
    return suggest(answer.labels, answer.uncertainty, case.annotation, case.axis, 1)[0].index
