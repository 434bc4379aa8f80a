"""What a model is applied to: volumes of the scene, or images of a folder and where their results go. No MRML."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SSLSegmentLib.settings import LoopSettings

ENDINGS = (".seg.nrrd", ".nii.gz")
"""Formats of the files that a folder's images are segmented into; the settings' ``apply_ending``."""

_LABEL_MARK = "_seg"  # tells a label map from the image beside it, and keeps it from being taken for one


@dataclass(frozen=True)
class VolumeTarget:
    """A volume node of the scene."""

    name: str
    node: Any


@dataclass(frozen=True)
class ImageTarget:
    """An image file or DICOM series, and the file that its segmentation goes to."""

    name: str
    path: Path
    output: Path


@dataclass(frozen=True)
class Plan:
    """What is to be done, and a sentence for each image that is left out from the start."""

    targets: Sequence[VolumeTarget | ImageTarget]
    skipped: list[str]


def plan_folder(images: Sequence[Mapping[str, str]], settings: LoopSettings, *, overwrite: bool) -> Plan:
    """Where the result of each image goes; for a thread that may wait for a slow disk.

    Args:
        images: ``path``, ``folder`` and ``name`` of each, as the worker found them below ``settings.apply_folder``.
        settings: folders and ending.
        overwrite: whether results that are there already are made again.
    """
    targets: list[ImageTarget] = []
    skipped: list[str] = []
    taken: set[str] = set()
    for image in images:
        folder = Path(image["folder"])
        if settings.apply_output_folder:
            folder = Path(settings.apply_output_folder) / folder.relative_to(settings.apply_folder)
        output = _free_name(folder, image["name"], settings.apply_ending, taken)
        if output.exists() and not overwrite:
            skipped.append(f"Skipped: {output} is there already: move it away, or choose to overwrite results.")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            targets.append(ImageTarget(image["name"], Path(image["path"]), output))
    return Plan(targets, skipped)


def _free_name(folder: Path, name: str, ending: str, taken: set[str]) -> Path:
    """A file of its own for each image: two series may lie in one folder, or two formats of one name."""
    mark = "" if ending == ENDINGS[0] else _LABEL_MARK
    number = 1
    while True:
        stem = name if number == 1 else f"{name}_{number}"
        output = folder / f"{stem}{mark}{ending}"
        key = os.path.normcase(output)
        if key not in taken:
            taken.add(key)
            return output
        number += 1
