"""The labelled data sets of the benchmarks: which files, which structures, and who is kept for the test.

The folder has one folder a data set, as ``docs/benchmarks`` describes them. Nothing here looks at the test cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sslseg.annotation import IGNORE, Annotation, default_segments
from sslseg.errors import InputError
from sslseg.finetune import Case
from sslseg.labelmap_io import read_dense_labels
from sslseg.volume import Volume, read_volume

ACDC_TEST = ("002", "019", "028", "030", "039", "045", "078", "082", "085", "087")
"""Validation patients of the usual semi-supervised split (SSL4MIS, UniMatch): the test set here."""

ACDC_LABELLED = ("099", "038", "050", "100", "058", "021", "049")
"""Labelled patients of that split in its order: the first 1, 3 and 7 are those of the published numbers."""

HIPPOCAMPUS_TEST_CASES = 30

_HIPPOCAMPUS_SPLIT_SEED = 2024
_CACHED_VOLUMES = 64  # 200 MB of cardiac stacks


@dataclass(frozen=True)
class Subject:
    """One labelled volume on disk.

    Attributes:
        name: of this volume.
        patient: whose it is; several volumes of a patient are never divided between training and test.
        image: the image, or the folder of a DICOM series.
        labels: the complete label map.
        structures: (name, label value) of the foreground classes, in class order; other values are background.
    """

    name: str
    patient: str
    image: Path
    labels: Path
    structures: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class LabelledVolume:
    """A subject in memory.

    Attributes:
        volume: the image.
        reference: its complete annotation.
        axis: array axis of the slices.
    """

    volume: Volume
    reference: Annotation
    axis: int

    def annotated(self, slices: Sequence[int]) -> Case:
        """What a method is given: the reference on these slices, and nothing else."""
        return Case(self.volume, self.reference.restricted_to(slices, self.axis), self.axis)

    def slices_with(self, n_structures: int) -> list[int]:
        """The slices that show at least so many of the structures."""
        moved = np.moveaxis(self.reference.labels, self.axis, 0)
        shown = [np.isin(range(1, self.reference.n_classes), part).sum() for part in moved]
        return [index for index, n in enumerate(shown) if n >= n_structures]


@lru_cache(_CACHED_VOLUMES)
def load(subject: Subject) -> LabelledVolume:
    """Read image and labels.

    Raises:
        InputError: a file that cannot be used, or labels on another grid.
    """
    volume = read_volume(subject.image)
    found = read_dense_labels(subject.labels, volume.geometry)
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    wanted = {value: number for number, (_, value) in enumerate(subject.structures, start=1)}
    for number, segment in enumerate(found.segments, start=1):
        table[number] = wanted.get(segment.label_value, 0)
    segments = default_segments(range(1, len(wanted) + 1))
    reference = Annotation(table[found.labels], volume.geometry, segments)
    return LabelledVolume(volume, reference, volume.geometry.default_axis())


@dataclass(frozen=True)
class Split:
    """Who may be learned from, and who is tested; both in a fixed order, without a common patient."""

    training: tuple[Subject, ...]
    test: tuple[Subject, ...]


def acdc(data: Path) -> Split:
    """ACDC (Bernard et al., 2018), end-diastole and end-systole of each patient."""
    names = (("right ventricle", 1), ("myocardium", 2), ("left ventricle", 3))
    images = [path for path in _images(data / "acdc") if path.name.endswith(("_ED.nii.gz", "_ES.nii.gz"))]
    subjects = [
        Subject(stem, stem.partition("_")[0].removeprefix("patient"), path, path.with_name(f"{stem}_gt.nii.gz"), names)
        for path in images
        for stem in [path.name.removesuffix(".nii.gz")]
    ]
    return _split(subjects, ACDC_TEST)


def hippocampus(data: Path) -> Split:
    """Hippocampus of the Medical Segmentation Decathlon; the test cases are drawn once and for all."""
    folder = data / "hippocampus"
    names = (("anterior", 1), ("posterior", 2))
    subjects = [
        Subject(stem, stem, path, folder / "labels" / path.name, names)
        for path in _images(folder / "images")
        for stem in [path.name.removesuffix(".nii.gz")]
    ]
    order = np.random.default_rng(_HIPPOCAMPUS_SPLIT_SEED).permutation(len(subjects))
    return _split(subjects, [subjects[i].patient for i in order[:HIPPOCAMPUS_TEST_CASES]])


PROTOCOLS = {"acdc": acdc, "hippocampus": hippocampus}
"""Data sets with a training and a test part."""


def _images(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.nii.gz"))
    if not found:
        raise InputError(f"{folder} holds no .nii.gz files: give the folder of the labelled data sets with --data.")
    return found


def _split(subjects: Sequence[Subject], test_patients: Sequence[str]) -> Split:
    chosen = set(test_patients)
    return Split(
        tuple(s for s in subjects if s.patient not in chosen), tuple(s for s in subjects if s.patient in chosen)
    )
