"""The choices of one benchmark within volumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WithinSettings:
    """What is compared, and how much of it.

    Attributes:
        data: folder of the labelled data sets.
        sets: names of data sets.
        split: "test", or "training" while a method is developed; sets without training part are left out then.
        volumes: the most of each data set, a random choice that is always the same; None = all.
        slices: numbers of annotated slices.
        placements: some of "inner", "ends", "suggested".
        methods: by name.
        draws: of slices and seeds.
        weights: of the methods of SSLSegment.
        device: where these compute.
        tag: names the state of these methods; results of another tag are kept, and are not shown.
    """

    data: Path
    sets: tuple[str, ...]
    split: str
    volumes: int | None
    slices: tuple[int, ...]
    placements: tuple[str, ...]
    methods: tuple[str, ...]
    draws: int
    weights: str
    device: str
    tag: str
