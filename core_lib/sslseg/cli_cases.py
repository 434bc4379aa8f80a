"""What the command line reads: images with labels, slice lists, and class lists that must fit together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.annotation import IGNORE, Annotation, Segment
from sslseg.errors import InputError
from sslseg.finetune import Case
from sslseg.geometry import Geometry
from sslseg.itk_io import WRITE_ENDINGS, check_ending
from sslseg.labelmap_io import LabelsFile, read_dense_labels, read_labels
from sslseg.volume import Volume, read_volume


@dataclass(frozen=True)
class LabelledImage:
    """An image, what is annotated in it, and the file that says so."""

    volume: Volume
    labels: LabelsFile
    path: Path

    def as_case(self) -> Case:
        """What the training wants of it."""
        return Case(self.volume, self.labels.annotation, self.labels.axis)


def read_case(image: Path, labels: Path, slices: Sequence[int] | None, axis: int | None) -> LabelledImage:
    """An image with its labels on its grid.

    Raises:
        InputError: see :func:`sslseg.volume.read_volume` and :func:`sslseg.labelmap_io.read_labels`.
    """
    volume = read_volume(image)
    return LabelledImage(volume, read_labels(labels, volume.geometry, slices=slices, axis=axis), labels)


def read_cases(
    pairs: Sequence[tuple[Path, Path]], slices: Sequence[Sequence[int]], axis: int | None
) -> list[LabelledImage]:
    """Several images with their labels, all with the classes of the first.

    Args:
        pairs: (image, labels) files.
        slices: nothing, one list for all, or one for each.
        axis: array axis of the slices; None to decide for each image.

    Raises:
        InputError: as many slice lists as neither fits all nor each; or class lists that do not agree.
    """
    if len(slices) not in (0, 1, len(pairs)):
        raise InputError(
            f"--slices is given {len(slices)} times for {len(pairs)} cases: give it once for all or once for each."
        )
    each = [None] * len(pairs) if not slices else list(slices) * (len(pairs) if len(slices) == 1 else 1)
    cases = [read_case(*pair, picked, axis) for pair, picked in zip(pairs, each, strict=True)]
    segments = cases[0].labels.annotation.segments
    for case in cases[1:]:
        segments = _common_segments(segments, case, cases[0].path)
    return [_with_segments(case, segments) for case in cases]


def read_pair(prediction: Path, reference: Path) -> tuple[Annotation, Annotation]:
    """Two label files on the larger of their grids, both with all classes of either, matched by name or label value.

    Raises:
        InputError: a file that is not a label map, or grids that are not parts of one another.
    """
    found, truth = read_dense_labels(prediction), read_dense_labels(reference)
    if found.labels.size < truth.labels.size:
        found = read_dense_labels(prediction, truth.geometry)
    elif found.geometry.difference(truth.geometry):
        truth = read_dense_labels(reference, found.geometry)
    matches = match_segments(truth.segments, found.segments)
    segments = truth.segments + tuple(s for s, match in zip(found.segments, matches, strict=True) if match is None)
    return _relabelled(found, segments), _relabelled(truth, segments)


def fit_to_model(case: LabelledImage, segments: tuple[Segment, ...], model: Path) -> LabelledImage:
    """``case`` in the classes of a model.

    Raises:
        InputError: the labels hold a segment that the model has not learnt.
    """
    own = case.labels.annotation.segments
    for segment, match in zip(own, match_segments(segments, own), strict=True):
        if match is None:
            raise InputError(
                f"{case.path} has the segment '{segment.name}', which {model} has not learnt: train with it."
            )
    return _with_segments(case, segments)


def match_segments(known: Sequence[Segment], other: Sequence[Segment]) -> list[int | None]:
    """For each segment of ``other`` the index of the same one in ``known``, or None.

    Segments are the same if they share their name. A plain label map has no names: there the label value decides.
    """
    names = [segment.name for segment in known]
    matches = [names.index(segment.name) if segment.name in names else None for segment in other]
    for number, segment in enumerate(other):
        for index, candidate in enumerate(known):
            unnamed = _is_unnamed(segment) or _is_unnamed(candidate)
            if unnamed and matches[number] is None and index not in matches:
                matches[number] = index if segment.label_value == candidate.label_value else None
    return matches


def check_outputs(outputs: Iterable[tuple[Path | None, Sequence[str]]], inputs: Sequence[Path]) -> None:
    """Find out before anything is read whether the results have usable names.

    Args:
        outputs: the files to write, None where a result is not asked for, each with the endings that it may have.
        inputs: the files that must not be overwritten.

    Raises:
        InputError: another ending, the name of an input, or one name for two results.
    """
    taken = {path.resolve() for path in inputs}
    for path, endings in outputs:
        if path is None:
            continue
        check_ending(path, endings)
        if path.resolve() in taken:
            raise InputError(
                f"{path} is already the name of an input or of another result: choose another name for it."
            )
        taken.add(path.resolve())


def output_names(images: Sequence[Path], out: Path, endings: Sequence[str], suffix: str) -> list[Path]:
    """Where the result for each image goes: into ``out`` if that is a file name and there is one image, else below it.

    Args:
        images: the images.
        out: a file with one of ``endings``, or a folder.
        endings: of files.
        suffix: what follows an image's name in a folder.

    Raises:
        InputError: one file for several images, or several images of one name.
    """
    is_file = out.name.lower().endswith(tuple(endings)) and not out.is_dir()
    if is_file and len(images) == 1:
        return [out]
    if is_file:
        raise InputError(f"{out} is one file for {len(images)} images: give a folder.")
    names = [out / f"{_stem(image)}{suffix}" for image in images]
    for name, image in zip(names, images, strict=True):
        if names.count(name) > 1:
            raise InputError(f"Several images would be written to {name}, among them {image}: segment them one by one.")
    return names


def structures(labels: np.ndarray, geometry: Geometry, segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """How much of each segment a label map (K, J, I) of class indices holds."""
    counts = np.bincount(labels.ravel(), minlength=256)
    voxel_ml = math.prod(geometry.spacing) / 1000
    return [
        {
            "name": segment.name,
            "label_value": segment.label_value,
            "voxels": int(counts[number]),
            "volume_ml": int(counts[number]) * voxel_ml,
        }
        for number, segment in enumerate(segments, start=1)
    ]


def _is_unnamed(segment: Segment) -> bool:
    """Whether the name says no more than the label value, as in a plain label map."""
    return segment.name == f"Segment_{segment.label_value}"


def _common_segments(known: tuple[Segment, ...], case: LabelledImage, first: Path) -> tuple[Segment, ...]:
    """``known`` and what a plain label map adds to it; named segments must be there in every case."""
    own = case.labels.annotation.segments
    matches = match_segments(known, own)
    unknown = [segment for segment, match in zip(own, matches, strict=True) if match is None]
    lacking = [segment for index, segment in enumerate(known) if index not in matches]
    for segment, having, missing in (
        *((segment, case.path, first) for segment in unknown),
        *((segment, first, case.path) for segment in lacking),
    ):
        if not _is_unnamed(segment):
            raise InputError(
                f"{missing} has no segment '{segment.name}', which {having} has: give all cases the same segments, "
                "empty ones included."
            )
    return known + tuple(unknown)


def _with_segments(case: LabelledImage, segments: tuple[Segment, ...]) -> LabelledImage:
    labels = case.labels
    annotation = _relabelled(labels.annotation, segments)
    return LabelledImage(case.volume, LabelsFile(annotation, labels.axis, labels.rule), case.path)


def _relabelled(annotation: Annotation, segments: tuple[Segment, ...]) -> Annotation:
    """The same annotation in the classes of ``segments``, which hold all of its own."""
    if annotation.segments == segments:
        return annotation
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    for number, match in enumerate(match_segments(segments, annotation.segments), start=1):
        table[number] = 0 if match is None else match + 1
    return Annotation(table[annotation.labels], annotation.geometry, segments)


def _stem(image: Path) -> str:
    name = image.resolve().name
    ending = next((e for e in (*WRITE_ENDINGS, ".mhd", ".nhdr", ".dcm") if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)] or name
