"""What the commands of :mod:`sslseg.cli` do: check names, read, work, write, report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sslseg.cli_cases import (
    LabelledImage,
    check_outputs,
    fit_to_model,
    output_names,
    read_case,
    read_cases,
    read_pair,
    structures,
)
from sslseg.cli_jobs import segment, train
from sslseg.console import Output
from sslseg.files import check_writable
from sslseg.finetune import FinetuneResult
from sslseg.geometry import AXIS_NAMES
from sslseg.itk_io import WRITE_ENDINGS
from sslseg.labelmap_io import LABEL_ENDINGS, SEGMENTATION_ENDING, write_labels
from sslseg.metrics import evaluate
from sslseg.model import Model
from sslseg.predict import Prediction
from sslseg.settings import Settings
from sslseg.suggest import suggest
from sslseg.volume import read_volume, write_array

MODEL_ENDINGS = (".safetensors",)


def run_segment(output: Output, options: SimpleNamespace) -> None:
    """Train on one image and segment it."""
    settings = _settings(options)
    files = [options.out, options.uncertainty, options.save_model]
    check_outputs(
        zip(files, (LABEL_ENDINGS, WRITE_ENDINGS, MODEL_ENDINGS), strict=True), [options.image, options.labels]
    )
    case = read_case(options.image, options.labels, options.slices, options.axis)
    _check_writable(files)
    output.say(case.labels.rule)
    trained = train(output, [case.as_case()], settings)
    if options.save_model:
        trained.model.save(options.save_model)
    prediction = segment(output, trained.model, case.as_case(), settings.device)
    _write(prediction, options.out, options.uncertainty)
    output.say(f"Wrote {', '.join(str(file) for file in files if file)}.")
    output.result(
        {"output": options.out, "uncertainty": options.uncertainty, "model": options.save_model}
        | _about_training(trained, [case])
        | {"segments": _structures(prediction)}
    )


def run_finetune(output: Output, options: SimpleNamespace) -> None:
    """Train on one or more images."""
    settings = _settings(options)
    check_outputs([(options.out, MODEL_ENDINGS)], [path for pair in options.cases for path in pair])
    cases = read_cases(options.cases, options.slices, options.axis)
    _check_writable([options.out])
    for case in cases:
        output.say(case.labels.rule)
    trained = train(output, [case.as_case() for case in cases], settings)
    trained.model.save(options.out)
    output.say(f"Wrote {options.out}.")
    output.result({"model": options.out} | _about_training(trained, cases))


def run_predict(output: Output, options: SimpleNamespace) -> None:
    """Segment images with a model."""
    model = Model.load(options.model)
    segmentations = output_names(options.images, options.out, LABEL_ENDINGS, SEGMENTATION_ENDING)
    maps: list[Path | None] = [None] * len(options.images)
    if options.uncertainty:
        maps = [*output_names(options.images, options.uncertainty, WRITE_ENDINGS, "_uncertainty.nrrd")]
    named = [*((file, LABEL_ENDINGS) for file in segmentations), *((file, WRITE_ENDINGS) for file in maps)]
    check_outputs(named, [options.model, *options.images])
    results = []
    for image, out, uncertainty in zip(options.images, segmentations, maps, strict=True):
        volume = read_volume(image)
        _check_writable([out, uncertainty])
        prediction = segment(output, model, volume, options.device)
        del volume  # a large one and the copies that writers make would not fit beside each other
        _write(prediction, out, uncertainty)
        output.say(f"Wrote {', '.join(str(file) for file in (out, uncertainty) if file)}.")
        results.append(
            {"image": image, "output": out, "uncertainty": uncertainty, "segments": _structures(prediction)}
            | {"device": prediction.device, "seconds": prediction.seconds, "messages": prediction.messages}
        )
    output.result({"results": results})


def run_suggest(output: Output, options: SimpleNamespace) -> None:
    """Rank the slices that are not annotated yet."""
    model = Model.load(options.model)
    case = read_case(options.image, options.labels, options.slices, options.axis)
    case = fit_to_model(case, model.segments, options.model)
    output.say(case.labels.rule)
    prediction = segment(output, model, case.as_case(), options.device)
    annotation, axis = case.labels.annotation, case.labels.axis
    found = suggest(prediction.labels, prediction.uncertainty, annotation, axis, n=options.number)
    rows = [(str(s.index), f"{s.score:.3f}", s.reason) for s in found]
    output.table((f"Slice along axis {axis} ({AXIS_NAMES[axis]})", "Score", "Reason"), rows)
    output.result({"suggestions": [asdict(s) for s in found], "axis": axis, "rule": case.labels.rule})


def run_evaluate(output: Output, options: SimpleNamespace) -> None:
    """Compare a segmentation with a reference."""
    prediction, reference = read_pair(options.prediction, options.reference)
    geometry = reference.geometry
    axis = geometry.default_axis() if options.axis is None else options.axis
    ignored = options.ignore_slices or []
    scores = evaluate(
        prediction.labels, reference.labels, geometry, reference.segments, axis=axis, ignore_slices=ignored
    )
    rows = [
        (c.name, _number(c.dice, 3), _number(c.hd95_mm, 1), _number(c.volume_ml, 2), _number(c.reference_volume_ml, 2))
        for c in scores.classes
    ]
    rows.append(("Mean", _number(scores.mean_dice, 3), "", "", ""))
    output.table(("Structure", "Dice", "HD95 (mm)", "Volume (ml)", "Reference (ml)"), rows)
    if ignored:
        output.say(f"Left out along axis {axis} ({AXIS_NAMES[axis]}): slices {', '.join(map(str, ignored))}.")
    output.result(scores.as_dict() | {"axis": axis, "ignored_slices": ignored})


def _settings(options: SimpleNamespace) -> Settings:
    return Settings(options.preset, options.device, options.seed, options.time_limit, options.weights, options.mode)


def _check_writable(files: Iterable[Path | None]) -> None:
    for file in files:
        if file:
            check_writable(file)


def _write(prediction: Prediction, out: Path, uncertainty: Path | None) -> None:
    write_labels(prediction.labels, prediction.geometry, prediction.segments, out)
    if uncertainty:
        write_array(prediction.uncertainty, prediction.geometry, uncertainty)


def _about_training(result: FinetuneResult, cases: Sequence[LabelledImage]) -> dict[str, Any]:
    return {
        "stopped": result.stopped,
        "steps": result.steps,
        "seconds": result.seconds,
        "device": result.device,
        "messages": result.messages,
        "cases": [
            {
                "image": case.volume.name,
                "labels": case.path,
                "axis": case.labels.axis,
                "annotated_slices": case.labels.annotation.annotated_slices(case.labels.axis),
                "rule": case.labels.rule,
            }
            for case in cases
        ],
    }


def _structures(prediction: Prediction) -> list[dict[str, Any]]:
    return structures(prediction.labels, prediction.geometry, prediction.segments)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"
