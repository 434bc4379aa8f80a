"""``sslseg pretrain``: from a folder of images to weights."""

from __future__ import annotations

import os
from types import SimpleNamespace

from sslseg.cli_cases import check_outputs
from sslseg.cli_commands import MODEL_ENDINGS
from sslseg.console import Output, duration
from sslseg.pretrain import PretrainResult, pretrain
from sslseg.pretrain_ranks import is_first_process
from sslseg.pretrain_settings import PretrainSettings

_STOPPED = {
    "time limit": "The time limit ended the training; what was learned is kept.",
    "request": "The training was stopped; what was learned is kept, and --resume goes on.",
}


def run_pretrain(output: Output, options: SimpleNamespace) -> None:
    """Pretrain a backbone; of several processes, the first one reports."""
    image, task, group, dense = options.levels
    settings = PretrainSettings(
        method=options.method, backbone=options.backbone, epochs=options.epochs, steps=options.steps,
        time_limit_s=options.time_limit, batch=options.batch, device=options.device, seed=options.seed,
        patch=options.patch, max_pixels=options.max_pixels, spacing_mm=options.spacing, rate=options.rate,
        image_weight=image, task_weight=task, group_weight=group, dense_weight=dense,
    )  # fmt: skip
    check_outputs([(options.out, MODEL_ENDINGS)], options.data)
    with output.job() as (on_progress, should_stop):
        result = pretrain(
            options.data, options.out, settings, log_dir=options.log_dir, cache_dir=options.cache,
            resume=options.resume, on_progress=on_progress, should_stop=should_stop,
        )  # fmt: skip
    if is_first_process():
        _report(output, result)


def _report(output: Output, result: PretrainResult) -> None:
    number = len(result.skipped)
    skipped = f" {number} {'image was' if number == 1 else 'images were'} skipped." if number else ""
    output.say(f"Learned from {result.slices} slices.{skipped}")
    output.say(f"Trained {result.steps} steps in {duration(result.seconds)} on {result.device}.")
    if result.stopped in _STOPPED:
        output.say(_STOPPED[result.stopped])
    output.say(f"Wrote {os.fspath(result.weights)}.")
    output.result(
        {
            "weights": result.weights,
            "steps": result.steps,
            "slices": result.slices,
            "skipped": list(result.skipped),
            "loss": result.losses[-1] if result.losses else None,
            "seconds": result.seconds,
            "images_per_s": result.images_per_s,
            "device": result.device,
            "stopped": result.stopped,
            "messages": result.messages,
        }
    )
