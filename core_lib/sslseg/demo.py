"""``sslseg demo``: grey and white matter of a brain MRI from three annotated slices, from image to files.

The image and its tissue maps are the MNI152 template (ICBM 2009a, symmetric), which the package nilearn ships.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sslseg.annotation import Annotation, Segment, slices_with
from sslseg.cli_jobs import segment, train
from sslseg.console import Output
from sslseg.errors import SSLSegError
from sslseg.files import check_writable
from sslseg.finetune import Case
from sslseg.geometry import Geometry
from sslseg.labelmap_io import write_labels
from sslseg.metrics import dice_per_class, mean_dice
from sslseg.plots import Overlay, contact_sheet_png, curves_png, overlay_png
from sslseg.predict import Prediction
from sslseg.settings import Settings
from sslseg.volume import Volume, write_array, write_volume

SEGMENTS = (
    Segment("Grey matter", (0.91, 0.47, 0.31), 1, "grey_matter"),
    Segment("White matter", (0.35, 0.65, 0.95), 2, "white_matter"),
)
AXIS = 0
"""Axial slices."""

_RESOLUTION_MM = 2
_ON_SHEET = 12


@dataclass(frozen=True)
class LabelledBrain:
    """A brain MRI with the truth about it.

    Attributes:
        volume: T1-weighted, skull-stripped, 0 to 1000.
        reference: every voxel labelled with :data:`SEGMENTS`.
        annotated: the slices that the demo shows to the network.
    """

    volume: Volume
    reference: Annotation
    annotated: tuple[int, ...]

    @property
    def annotation(self) -> Annotation:
        """What the network may know."""
        return self.reference.restricted_to(self.annotated, AXIS)

    def ranges(self) -> list[range]:
        """The slices with structures that are not annotated: below, between and above the annotated ones."""
        first, last = _extent(self.reference.labels)
        ends = [first - 1, *self.annotated, last + 1]
        return [range(a + 1, b) for a, b in itertools.pairwise(ends) if b > a + 1]


def run_demo(output: Output, options: SimpleNamespace) -> None:
    """Run the whole job and write its results to a folder."""
    folder: Path = options.out
    check_writable(folder / "image.nrrd")
    settings = Settings(options.preset, options.device, time_limit_s=options.time_limit)
    brain = load_brain()
    output.say(f"A brain MRI of {brain.volume.array.shape[AXIS]} slices; annotated are {_listed(brain.annotated)}.")
    case = Case(brain.volume, brain.annotation, AXIS)
    trained = train(output, [case], settings)
    prediction = segment(output, trained.model, case, settings.device)
    scores = compare(brain, prediction.labels)
    _show(output, scores)
    trained.model.save(folder / "model.safetensors")
    curves_png(trained.history, folder / "curves.png")
    _write(brain, prediction, folder)
    output.say(f"Wrote the segmentation, the model and pictures to {folder}.")
    output.result({"folder": folder, "annotated_slices": list(brain.annotated), "scores": scores})


def load_brain(resolution_mm: int = _RESOLUTION_MM) -> LabelledBrain:
    """The image that nilearn ships, with the more likely of its two tissues as the truth.

    Raises:
        SSLSegError: nilearn is not installed.
    """
    try:
        datasets = importlib.import_module("nilearn.datasets")
    except ImportError as error:
        raise SSLSegError("The demo uses the brain image of the package nilearn: pip install nilearn.") from error
    loaders = (datasets.load_mni152_template, datasets.load_mni152_gm_template, datasets.load_mni152_wm_template)
    images = [load(resolution=resolution_mm) for load in loaders]
    t1, grey, white = (np.asarray(image.dataobj, np.float32).transpose(2, 1, 0) for image in images)
    geometry = Geometry.from_affine(t1.shape, np.diag([-1, -1, 1, 1]) @ images[0].affine)  # RAS to LPS
    labels = np.where(np.maximum(grey, white) > 0.5, np.where(white > grey, 2, 1), 0).astype(np.uint8)
    volume = Volume(np.ascontiguousarray(1000 * t1), geometry, "MNI152")
    first, last = _extent(labels)
    annotated = tuple(round(first + share * (last - first)) for share in (0.25, 0.5, 0.75))
    return LabelledBrain(volume, Annotation(labels, geometry, SEGMENTS), annotated)


def copy_nearest(annotation: Annotation, axis: int) -> np.ndarray:
    """The labels of the nearest annotated slice, for every slice: what any method has to beat."""
    annotated = annotation.annotated_slices(axis)
    nearest = [min(annotated, key=lambda a: abs(a - i)) for i in range(annotation.labels.shape[axis])]
    return annotation.labels.take(nearest, axis)


def compare(brain: LabelledBrain, labels: np.ndarray) -> list[dict[str, Any]]:
    """Dice on the slices that were never shown: for each range of them, and for all together in the last entry."""
    copied = copy_nearest(brain.annotation, AXIS)
    ranges = brain.ranges()
    everything = [index for part in ranges for index in part]
    scores = []
    for name, picked in (*((f"{part[0]}-{part[-1]}", part) for part in ranges), ("all", everything)):
        reference = brain.reference.labels.take(picked, AXIS)
        entry: dict[str, Any] = {"slices": name}
        for method, found in (("dice", labels), ("dice_copied", copied)):
            dice = dice_per_class(found.take(picked, AXIS), reference, len(SEGMENTS) + 1)
            entry[method] = {s.name: float(value) for s, value in zip(SEGMENTS, dice, strict=True)}
            entry[f"mean_{method}"] = mean_dice(dice)
        scores.append(entry)
    return scores


def _show(output: Output, scores: Sequence[dict[str, Any]]) -> None:
    names = [segment.name for segment in SEGMENTS]
    output.say("Dice on the slices that were never shown, and of copying the nearest annotated slice:")
    output.table(
        ("Slices", *names, "Mean", "Copied"),
        [
            (
                score["slices"],
                *(f"{score['dice'][name]:.3f}" for name in names),
                f"{score['mean_dice']:.3f}",
                f"{score['mean_dice_copied']:.3f}",
            )
            for score in scores
        ],
    )


def _write(brain: LabelledBrain, prediction: Prediction, folder: Path) -> None:
    geometry = brain.volume.geometry
    write_volume(brain.volume, folder / "image.nrrd")
    write_labels(brain.annotation.labels, geometry, SEGMENTS, folder / "annotation.nrrd")
    write_labels(brain.reference.labels, geometry, SEGMENTS, folder / "reference.seg.nrrd")
    for name in ("segmentation.seg.nrrd", "segmentation.nii.gz"):
        write_labels(prediction.labels, geometry, SEGMENTS, folder / name)
    write_array(prediction.uncertainty, geometry, folder / "uncertainty.nrrd")
    overlay = Overlay(
        brain.volume, prediction.labels, SEGMENTS, AXIS, brain.reference.labels, prediction.uncertainty, brain.annotated
    )
    for part in brain.ranges():
        middle = part[len(part) // 2]
        overlay_png(overlay, middle, folder / f"slice_{middle:03d}.png")
    unseen = [index for part in brain.ranges() for index in part]
    places = np.linspace(0, len(unseen) - 1, _ON_SHEET - len(brain.annotated) + 2).round().astype(int)[1:-1]
    contact_sheet_png(overlay, sorted({*brain.annotated, *(unseen[i] for i in places)}), folder / "slices.png")


def _extent(labels: np.ndarray) -> tuple[int, int]:
    """First and last slice with a structure."""
    inside = slices_with(labels > 0, AXIS)
    return inside[0], inside[-1]


def _listed(indices: Sequence[int]) -> str:
    return f"{', '.join(str(i) for i in indices[:-1])} and {indices[-1]}"
