"""Which annotations each few-shot experiment gets: labelled patients, or single annotated slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sslseg.benchmarks.datasets import ACDC_LABELLED, Subject, load
from sslseg.errors import InputError
from sslseg.finetune import Case

PATIENTS, SLICES = "patients", "slices"
BUDGETS = (PATIENTS, SLICES)
"""What is counted: patients with complete labels, or single slices, each in another volume where there are enough."""


@dataclass(frozen=True)
class Labelled:
    """A training volume and the slices of it that are annotated; None = all."""

    subject: Subject
    slices: tuple[int, ...] | None

    def __str__(self) -> str:
        return self.subject.name + ("" if self.slices is None else f":{','.join(map(str, self.slices))}")

    def case(self) -> Case:
        """What a training is given: everything else in the volume is not annotated."""
        volume = load(self.subject)
        if self.slices is None:
            return Case(volume.volume, volume.reference, volume.axis)
        return volume.annotated(self.slices)


def draw_annotations(training: Sequence[Subject], budget: str, n: int, draw: int) -> list[Labelled]:
    """The annotations of one experiment. Those for a smaller ``n`` are part of those for a larger one.

    Draw 0 of the patients of ACDC is the published choice; all others are random.

    Args:
        training: who may be learned from.
        budget: one of :data:`BUDGETS`.
        n: how many.
        draw: number of the draw.

    Raises:
        InputError: there are not as many.
    """
    if budget == PATIENTS:
        chosen = _patients(training, n, draw)
        return [Labelled(subject, None) for patient in chosen for subject in training if subject.patient == patient]
    return _slices(training, n, draw)


def _patients(training: Sequence[Subject], n: int, draw: int) -> list[str]:
    patients = sorted({subject.patient for subject in training})
    published = [patient for patient in ACDC_LABELLED if patient in patients]
    if draw == 0 and published:
        order = [*published, *(patient for patient in patients if patient not in published)]
    else:
        order = [patients[i] for i in np.random.default_rng([1, draw]).permutation(len(patients))]
    if n > len(order):
        raise InputError(f"There are only {len(order)} training patients: ask for at most as many, not for {n}.")
    return order[:n]


def _slices(training: Sequence[Subject], n: int, draw: int) -> list[Labelled]:
    picked: dict[Subject, list[int]] = {}
    for subject, index in islice(_slices_in_order(training, draw), n):
        picked.setdefault(subject, []).append(index)
    if sum(map(len, picked.values())) < n:
        raise InputError(f"The training volumes have fewer than {n} labelled slices: ask for fewer.")
    return [Labelled(subject, tuple(sorted(slices))) for subject, slices in picked.items()]


def _slices_in_order(training: Sequence[Subject], draw: int) -> Iterator[tuple[Subject, int]]:
    """Every labelled slice once, a round through all volumes before the next one of a volume.

    The first slice shows all structures, as an annotator would choose it; the others show any of them.
    """
    random = np.random.default_rng([2, draw])
    taken: set[tuple[Subject, int]] = set()
    while True:
        before = len(taken)
        for place in random.permutation(len(training)):
            subject = training[place]
            wanted = 1 if taken else len(subject.structures)
            free = [index for index in load(subject).slices_with(wanted) if (subject, index) not in taken]
            if free:
                pick = subject, int(random.choice(free))
                taken.add(pick)
                yield pick
        if len(taken) == before:
            return
