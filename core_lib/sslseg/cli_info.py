"""``sslseg info``: what a model, an image or a label file holds."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import SimpleITK as sitk

from sslseg.annotation import Annotation, slices_with
from sslseg.checkpoint import read_header
from sslseg.cli_cases import check_outputs, structures
from sslseg.console import Output
from sslseg.errors import InputError
from sslseg.feature_picture import draw_features
from sslseg.files import check_writable
from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels
from sslseg.volume import Volume, read_volume

_CHECKPOINT_ENDINGS = (".safetensors", ".pt", ".pth", ".ckpt")


def run_info(output: Output, options: SimpleNamespace) -> None:
    """Say what a file holds, and draw its features of an image where asked for."""
    if (options.image is None) != (options.png is None):
        raise InputError("A picture of features needs both an image and a name: give --image and --png together.")
    check_outputs([(options.png, (".png",))], [options.file, *([options.image] if options.image else [])])
    if options.file.name.lower().endswith(_CHECKPOINT_ENDINGS):
        header = read_header(options.file)
        segments = header["classes"]
        facts = {"kind": "model" if segments else "pretrained weights", **header}
    else:
        try:
            annotation = read_dense_labels(options.file)
        except InputError:  # not labels; if it is no image either, that reader says why
            facts, segments = _about_image(read_volume(options.file)), []
        else:
            facts = _about_labels(annotation)
            segments = structures(annotation.labels, annotation.geometry, annotation.segments)
            facts["classes"] = segments
    for key, value in facts.items():
        if key != "classes":
            output.say(f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    if segments:
        columns = {"name": "Segment", "label_value": "Label value", "voxels": "Voxels", "volume_ml": "Volume (ml)"}
        present = [key for key in columns if key in segments[0]]
        output.table([columns[key] for key in present], [[_cell(row[key]) for key in present] for row in segments])
    if options.image is not None:
        check_writable(options.png)
        draw_features(options.file, read_volume(options.image), options.png)
        output.say(f"Wrote {options.png}.")
        facts["png"] = options.png
    output.result(facts)


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _about_image(volume: Volume) -> dict[str, Any]:
    low, high = float(volume.array.min()), float(volume.array.max())
    return {"kind": "image", **_about_grid(volume.geometry), "lowest_value": low, "highest_value": high}


def _about_labels(annotation: Annotation) -> dict[str, Any]:
    """With the slices that hold what is annotated or, where everything is, a structure."""
    complete = bool(annotation.known.all())
    counted = annotation.labels > 0 if complete else annotation.known
    axis = annotation.geometry.default_axis()
    return {
        "kind": "labels",
        **_about_grid(annotation.geometry),
        "complete": complete,
        "axis": axis,
        "slices": slices_with(counted, axis),
    }


def _about_grid(geometry: Geometry) -> dict[str, Any]:
    """Size and spacing along I, J, K; the patient sides that I, J, K run to."""
    return {
        "size": list(reversed(geometry.shape)),
        "spacing_mm": list(geometry.spacing),
        "origin_mm": list(geometry.origin),
        "orientation": sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(geometry.direction),
    }
