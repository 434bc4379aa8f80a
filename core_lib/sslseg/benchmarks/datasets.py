"""The labelled data sets of the benchmarks: which files, which structures, and who is kept for the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sslseg.annotation import IGNORE, Annotation, default_segments
from sslseg.errors import InputError
from sslseg.finetune import Case
from sslseg.itk_io import geometry_of, to_image
from sslseg.labelmap_io import read_dense_labels
from sslseg.volume import Volume, read_volume

ACDC_TEST = ("002", "019", "028", "030", "039", "045", "078", "082", "085", "087")
"""Validation patients of the usual semi-supervised split (SSL4MIS, UniMatch): the test set here."""

ACDC_LABELLED = ("099", "038", "050", "100", "058", "021", "049")
"""Labelled patients of that split in its order: the first 1, 3 and 7 are those of the published numbers."""

HIPPOCAMPUS_TEST_CASES = 30

_HIPPOCAMPUS_SPLIT_SEED = 2024
_CACHED_VOLUMES = 64  # 200 MB of cardiac stacks

Structures = Mapping[str, tuple[int, ...]]
"""Label values of each foreground class by its name, in class order; all other values are background."""


@dataclass(frozen=True)
class Subject:
    """One labelled volume on disk.

    Attributes:
        name: of this volume.
        patient: whose it is; volumes of one patient are never divided between training and test.
        image: the image, or the folder of a DICOM series.
        labels: the complete label map.
        structures: (name, label values) of the foreground classes; see :data:`Structures`.
        shrink: voxels along each side that are joined to one, so that every tool can take the volume.
    """

    name: str
    patient: str
    image: Path
    labels: Path
    structures: tuple[tuple[str, tuple[int, ...]], ...]
    shrink: int = 1


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
    classes = {value: number for number, (_, values) in enumerate(subject.structures, start=1) for value in values}
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    for number, segment in enumerate(found.segments, start=1):
        table[number] = classes.get(segment.label_value, 0)
    segments = default_segments(range(1, len(subject.structures) + 1))
    reference = Annotation(table[found.labels], volume.geometry, segments)
    if subject.shrink > 1:
        volume, reference = _shrunk(volume, reference, subject.shrink)
    return LabelledVolume(volume, reference, volume.geometry.default_axis())


def _shrunk(volume: Volume, reference: Annotation, factor: int) -> tuple[Volume, Annotation]:
    """Means of blocks of voxels, and the label that prevails there."""
    image = sitk.BinShrink(to_image(volume.array, volume.geometry), [factor] * 3)
    labels = sitk.Resample(to_image(reference.labels, volume.geometry), image, sitk.Transform(), sitk.sitkLabelLinear)
    geometry = geometry_of(image)
    return (
        Volume(sitk.GetArrayFromImage(image), geometry, volume.name),
        Annotation(sitk.GetArrayFromImage(labels), geometry, reference.segments),
    )


@dataclass(frozen=True)
class Split:
    """Who may be learned from, and who is tested; both in a fixed order, without a common patient."""

    training: tuple[Subject, ...]
    test: tuple[Subject, ...]


def acdc(data: Path) -> Split:
    """ACDC (Bernard et al., 2018), end-diastole and end-systole of each patient."""
    structures = {"right ventricle": (1,), "myocardium": (2,), "left ventricle": (3,)}
    subjects = []
    for path in _images(data / "acdc"):
        stem = path.name.removesuffix(".nii.gz")
        patient, _, rest = stem.removeprefix("patient").partition("_")
        if rest in {"ED", "ES"}:
            subjects.append(_subject(stem, path, path.with_name(f"{stem}_gt.nii.gz"), structures, patient))
    return _split(subjects, ACDC_TEST)


def hippocampus(data: Path) -> Split:
    """Hippocampus of the Medical Segmentation Decathlon; the test cases are drawn once and for all."""
    folder = data / "hippocampus"
    structures = {"anterior": (1,), "posterior": (2,)}
    subjects = [
        _subject(path.name.removesuffix(".nii.gz"), path, folder / "labels" / path.name, structures)
        for path in _images(folder / "images")
    ]
    order = np.random.default_rng(_HIPPOCAMPUS_SPLIT_SEED).permutation(len(subjects))
    return _split(subjects, [subjects[i].patient for i in order[:HIPPOCAMPUS_TEST_CASES]])


def sunnybrook(data: Path) -> Split:
    """Sunnybrook (Radau et al., 2009) from DICOM: the contoured slices. A series that is not even is left out."""
    folder = data / "sunnybrook"
    series = sorted(path for path in (folder / "dicom").glob("*") if path.name not in _UNEVEN_SERIES)
    subjects = [
        _subject(path.name, path, folder / "labels" / f"{path.name}.nii.gz", {"left ventricle": (1,)})
        for path in series
    ]
    return Split((), tuple(subjects))


_UNEVEN_SERIES = {"SCD0000501_ES"}

_CT_ORGANS = {"spleen": (1,), "kidneys": (2, 3), "liver": (5,), "stomach": (6,), "aorta": (52,)}
_MR_ORGANS = {"spleen": (1,), "kidneys": (2, 3), "liver": (5,), "stomach": (6,), "aorta": (23,)}
_CT_VERTEBRAE = {"upper vertebra": (21,), "middle vertebra": (22,), "lower vertebra": (23,)}
_MR_VERTEBRAE = {"upper vertebra": (5,), "middle vertebra": (6,), "lower vertebra": (7,)}
_DEEP_GREY = {"hippocampus": (37, 38), "caudate": (71, 72), "putamen": (73, 74), "thalamus": (77, 78)}


def _single(folder: str, image: str, labels: str, structures: Structures, shrink: int = 1) -> Callable[[Path], Split]:
    """A data set of one volume, which nothing is tuned on."""

    def split(data: Path) -> Split:
        place = data / folder
        subject = _subject(image, place / f"{image}.nii.gz", place / f"{labels}.nii.gz", structures)
        return Split((), (replace(subject, shrink=shrink),))

    return split


PROTOCOLS: Mapping[str, Callable[[Path], Split]] = {"acdc": acdc, "hippocampus": hippocampus}
"""Data sets with a training and a test part."""

DATA_SETS: Mapping[str, Callable[[Path], Split]] = {
    **PROTOCOLS,
    "sunnybrook": sunnybrook,
    "abdomen-ct": _single("abdomen", "ct", "ct_labels", _CT_ORGANS),
    "abdomen-mr": _single("abdomen", "mr", "mr_labels", _MR_ORGANS),
    "spine-ct": _single("spine", "ct_image", "ct_vertebra_labels", _CT_VERTEBRAE),
    "spine-mr": _single("spine", "mr_image", "mr_vertebra_labels", _MR_VERTEBRAE),
    "brain": _single("brain", "colin27_t1", "colin27_aal_labels", _DEEP_GREY, shrink=2),
}
"""By the name of the data set."""


def _subject(name: str, image: Path, labels: Path, structures: Structures, patient: str | None = None) -> Subject:
    return Subject(name, patient or name, image, labels, tuple(structures.items()))


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
