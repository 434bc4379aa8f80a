"""Label maps and Slicer segmentations (.seg.nrrd) as annotations, and predictions back into such files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sslseg.annotation import IGNORE, MAX_CLASSES, Annotation, Segment, default_segments, drawn_axis, slices_with
from sslseg.errors import InputError
from sslseg.geometry import AXIS_NAMES, Geometry
from sslseg.itk_io import WRITE_ENDINGS, check_ending, geometry_of, metadata, read_image, to_image, write_image

SEGMENTATION_ENDING = ".seg.nrrd"
LABEL_ENDINGS = (SEGMENTATION_ENDING, *WRITE_ENDINGS)

_TERMINOLOGY_TAG = "TerminologyEntry"
_MANY_LABELS = 32


@dataclass(frozen=True)
class LabelsFile:
    """What a label file says.

    Attributes:
        annotation: on the grid of the image.
        axis: the array axis (0 = K, 1 = J, 2 = I) along whose slices it was drawn.
        rule: a sentence for the user: what counts as annotated, and why.
    """

    annotation: Annotation
    axis: int
    rule: str


def check_label_ending(path: str | os.PathLike[str]) -> str:
    """The ending of a label file to write: one of :data:`LABEL_ENDINGS`.

    Raises:
        InputError: another ending.
    """
    return check_ending(path, LABEL_ENDINGS)


def read_labels(
    path: str | os.PathLike[str],
    reference: Geometry | None = None,
    *,
    slices: Sequence[int] | None = None,
    axis: int | None = None,
) -> LabelsFile:
    """The annotation in a label map or a .seg.nrrd.

    What is annotated: the ``slices`` that are named; else all that is not 255, if the file has any 255; else the slices
    that hold a label. Everything else is ``IGNORE``.

    Args:
        path: label values 0 to 254, of which 0 is background; they become classes in ascending order, or in the order
            of the segments of a .seg.nrrd, whose empty segments stay classes. Where segments overlap, the later wins.
        reference: the grid of the image. The file may cover a part of it, voxel on voxel, with the axes in any order.
            The file's own grid if not given.
        slices: the annotated slices along ``axis``, empty ones included.
        axis: array axis of the slices. If not given: the coarsest one with ``slices``, else the one along which the
            annotation was drawn.

    Raises:
        InputError: not a label map, another grid, a slice that does not exist, or nothing annotated.
    """
    found, coverage = _read(Path(path), reference)
    if slices is not None:
        axis = found.geometry.default_axis() if axis is None else axis
        annotation = found.restricted_to(slices, axis)
        rule = "only the named slices count"
    elif not found.known.all():
        axis = found.best_axis() if axis is None else axis
        annotation = found
        rule = "255 marks what is not annotated"
    else:
        foreground = found.labels > 0
        axis = drawn_axis(foreground, found.geometry) if axis is None else axis
        labelled = slices_with(foreground, axis)
        if not labelled:
            raise InputError(f"{path} holds only background: draw at least one structure on one slice.")
        annotation = found.restricted_to(labelled, axis)
        rule = "the file has no 255, so only slices that hold a label count as annotated"
    annotation.require_annotated(str(path))
    listed = _listed(annotation.annotated_slices(axis))
    rule = f"{Path(path).name}: {listed} along axis {axis} ({AXIS_NAMES[axis]}); {rule}{coverage}."
    return LabelsFile(annotation, axis, rule)


def read_dense_labels(path: str | os.PathLike[str], reference: Geometry | None = None) -> Annotation:
    """A complete label map, as a reference to compare with: nothing but 255 is ``IGNORE``.

    Raises:
        InputError: not a label map, or another grid.
    """
    return _read(Path(path), reference)[0]


def write_labels(
    labels: np.ndarray, geometry: Geometry, segments: Sequence[Segment], path: str | os.PathLike[str]
) -> None:
    """Write classes with the label values of their segments.

    Args:
        labels: uint8 (K, J, I) class indices; c stands for ``segments[c - 1]``, 255 for what is not known.
        geometry: the grid of ``labels``.
        segments: the classes. Label values that are not unique are numbered anew from 1.
        path: a label map, or a .seg.nrrd that also keeps names, colours, ids and terminology.

    Raises:
        InputError: another ending than :data:`LABEL_ENDINGS`.
        OutputError: no such folder, no permission, disk full. Nothing half-written stays.
    """
    ending = check_label_ending(path)
    segments = _with_unique_values(segments)
    if (labels[labels != IGNORE] > len(segments)).any():
        raise ValueError(f"labels hold classes above {len(segments)}, the number of segments")
    table = np.zeros(256, np.uint8)
    table[1 : len(segments) + 1] = [segment.label_value for segment in segments]
    table[IGNORE] = IGNORE
    image = to_image(table[labels], geometry)
    if ending == SEGMENTATION_ENDING:
        _describe(image, segments)
    write_image(image, path, compress=ending == SEGMENTATION_ENDING)


def _read(path: Path, reference: Geometry | None) -> tuple[Annotation, str]:
    """The labels on the grid of the image, and what to say if a label map covers only a part of it."""
    image = read_image(path, multi_component=True)
    stored = _stored_segments(image, path)
    is_segmentation = bool(stored)
    view = sitk.GetArrayViewFromImage(image)
    if view.ndim == 4 and not stored:
        raise InputError(f"{path} has {view.shape[3]} values per voxel (RGB or vector): give a label map.")
    layers = view if view.ndim == 4 else view[..., np.newaxis]
    classes = np.zeros(layers.shape[:3], np.uint8)
    for layer in range(layers.shape[3]):
        values = _label_values(layers[..., layer], path)
        named = {s.value for s in stored if s.layer == layer} | {0, IGNORE}
        unnamed = default_segments(v for v in _present(values) if v not in named)
        stored += [_Stored(segment, layer, segment.label_value) for segment in unnamed]
        np.maximum(classes, _class_table(stored, layer)[values], out=classes)
    if len(stored) > MAX_CLASSES:
        raise InputError(f"{path} has {len(stored)} segments: keep those to be learnt, at most {MAX_CLASSES}.")
    segments = _with_unique_values([s.segment for s in stored])
    labels, geometry = _on_grid(classes, geometry_of(image), reference, path)
    whole = is_segmentation or labels.size == classes.size
    coverage = "" if whole else f"; it covers {_size(classes)} of {_size(labels)} voxels"
    return Annotation(labels, geometry, segments), coverage


@dataclass(frozen=True)
class _Stored:
    """A segment and how its voxels are marked in the file: the component (layer) and the value in it."""

    segment: Segment
    layer: int
    value: int


def _class_table(stored: list[_Stored], layer: int) -> np.ndarray:
    """The class of each of the 256 values of a layer. The maximum over the layers lets the later segment win."""
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    for number, entry in enumerate(stored[:MAX_CLASSES], start=1):
        if entry.layer == layer and entry.value <= IGNORE:
            table[entry.value] = number
    return table


def _stored_segments(image: sitk.Image, path: Path) -> list[_Stored]:
    """The segments that a .seg.nrrd names, in the order of the file; files of old versions have one a layer."""
    numbers = sorted(int(m[1]) for key in image.GetMetaDataKeys() if (m := re.fullmatch(r"Segment(\d+)_ID", key)))
    try:
        return [_stored_segment(image, f"Segment{number}_", index) for index, number in enumerate(numbers)]
    except ValueError as error:
        raise InputError(f"{path} has damaged segment descriptions: save the segmentation again.") from error


def _stored_segment(image: sitk.Image, prefix: str, index: int) -> _Stored:
    segment_id = metadata(image, prefix + "ID")
    value = int(metadata(image, prefix + "LabelValue") or 1)
    r, g, b = (float(v) for v in (metadata(image, prefix + "Color") or "0.5 0.5 0.5").split())
    tags = dict(tag.split(":", 1) for tag in metadata(image, prefix + "Tags").split("|") if ":" in tag)
    segment = Segment(
        metadata(image, prefix + "Name") or segment_id, (r, g, b), value, segment_id, tags.get(_TERMINOLOGY_TAG, "")
    )
    return _Stored(segment, int(metadata(image, prefix + "Layer") or index), value)


def _describe(image: sitk.Image, segments: Sequence[Segment]) -> None:
    """The header fields by which Slicer knows a segmentation."""
    i, j, k = (n - 1 for n in image.GetSize())
    for number, segment in enumerate(segments):
        fields = {
            "ID": segment.segment_id or f"Segment_{segment.label_value}",
            "Name": segment.name,
            "NameAutoGenerated": "0",
            "Color": " ".join(repr(float(value)) for value in segment.color),
            "ColorAutoGenerated": "0",
            "LabelValue": str(segment.label_value),
            "Layer": "0",
            "Extent": f"0 {i} 0 {j} 0 {k}",
            "Tags": f"{_TERMINOLOGY_TAG}:{segment.terminology}|" if segment.terminology else "",
        }
        for name, value in fields.items():
            image.SetMetaData(f"Segment{number}_{name}", value)
    image.SetMetaData("Segmentation_ContainedRepresentationNames", "Binary labelmap|")
    image.SetMetaData("Segmentation_MasterRepresentation", "Binary labelmap")
    image.SetMetaData("Segmentation_ReferenceImageExtentOffset", "0 0 0")


def _with_unique_values(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """``segments``, numbered anew where label values repeat (each layer of a file has its own) or do not fit."""
    values = {segment.label_value for segment in segments}
    if len(values) == len(segments) and all(0 < value <= MAX_CLASSES for value in values):
        return tuple(segments)
    return tuple(replace(segment, label_value=number) for number, segment in enumerate(segments, start=1))


def _label_values(view: np.ndarray, path: Path) -> np.ndarray:
    """A uint8 copy of ``view``, which must hold nothing but labels."""
    fault = _fault_of_values(view)
    if not fault:
        values = view.astype(np.uint8)
        if not _looks_like_an_image(values):
            return values
        fault = "looks like an image, as its values change from voxel to voxel"
    raise InputError(
        f"{path} {fault}: give a label map with whole numbers from 0 to {MAX_CLASSES}, and {IGNORE} for what is not "
        "annotated."
    )


def _fault_of_values(view: np.ndarray) -> str:
    if not (np.issubdtype(view.dtype, np.integer) or all((part == np.rint(part)).all() for part in view)):
        return "holds values that are not whole numbers"
    low, high = view.min(), view.max()
    if low < 0:
        return f"holds negative values (down to {low:g})"
    if high > IGNORE:
        return f"holds the label {high:g}, which is above {MAX_CLASSES}"
    return ""


def _looks_like_an_image(values: np.ndarray) -> bool:
    """Many values, of which neighbours as a rule differ: the opposite of regions."""
    if len(_present(values)) <= _MANY_LABELS:
        return False
    left, right = values[..., :-1], values[..., 1:]
    inside = (left > 0) & (right > 0)
    return bool(np.count_nonzero(inside & (left != right)) > np.count_nonzero(inside) / 2)


def _present(values: np.ndarray) -> list[int]:
    """The values that occur. Slice by slice, because counting needs 8 bytes a voxel."""
    counts = sum(np.bincount(part.ravel(), minlength=256) for part in values)
    return [int(value) for value in np.flatnonzero(counts)]


def _on_grid(
    classes: np.ndarray, geometry: Geometry, reference: Geometry | None, path: Path
) -> tuple[np.ndarray, Geometry]:
    """``classes`` on the grid of the image, of which the file may hold a part, with axes swapped or reversed.

    Slicer stores the box around the segments only, on its own (right-handed) lattice: outside is background, unless
    the file says what is not annotated; then nothing is known there.
    """
    if reference is None or reference.difference(geometry) is None:
        return classes, reference or geometry
    steps = reference.voxel_map(geometry)
    if steps is None:
        raise InputError(
            f"{path} does not fit the image: {reference.difference(geometry)}; give labels drawn on this image."
        )
    turns = steps[2::-1, 2::-1]  # the same for (k, j, i)
    turned = classes.transpose(np.abs(turns).argmax(axis=1))[tuple(slice(None, None, n) for n in turns.sum(axis=1))]
    last = np.append(np.array(classes.shape[::-1]) - 1, 1)
    start = np.minimum(steps[:3, 3], (steps @ last)[:3])[::-1]
    result = np.full(reference.shape, IGNORE if (classes == IGNORE).any() else 0, np.uint8)
    begin = np.maximum(start, 0)
    end = np.minimum(start + turned.shape, reference.shape)
    if (begin >= end).any():
        raise InputError(f"{path} lies outside the image: give labels that were drawn on this image.")
    inside = tuple(slice(a, b) for a, b in zip(begin, end, strict=True))
    taken = tuple(slice(a, b) for a, b in zip(begin - start, end - start, strict=True))
    result[inside] = turned[taken]
    return result, reference


def _size(array: np.ndarray) -> str:
    return " x ".join(str(n) for n in array.shape[::-1])


def _listed(indices: list[int]) -> str:
    """Slice indices as ranges: "slices 2, 5-7"."""
    runs = np.split(np.array(indices), np.flatnonzero(np.diff(indices) > 1) + 1)
    parts = [f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"slice{'s' if len(indices) > 1 else ''} {', '.join(parts)}"
