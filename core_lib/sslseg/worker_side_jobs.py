"""What the worker does beside training and predicting: look for images, measure, pretrain. Nothing is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from sslseg.measure import measure_training
from sslseg.pretrain import pretrain
from sslseg.pretrain_data import find_images
from sslseg.pretrain_settings import PretrainSettings
from sslseg.priority import lower_priority
from sslseg.settings import Settings

if TYPE_CHECKING:
    from sslseg.worker import Job  # which runs as __main__: importing it here would make a second copy


def _find(job: Job) -> dict[str, Any]:
    images = find_images(Path(job.request["folder"]))
    return {"images": [{field: str(value) for field, value in image._asdict().items()} for image in images]}


def _measure(job: Job) -> dict[str, Any]:
    settings = Settings(**job.request["settings"])
    return asdict(measure_training(settings, on_progress=job.on_progress, should_stop=job.stop.is_set))


def _pretrain(job: Job) -> dict[str, Any]:
    """Pretrain at the lowest priority: it takes long, and a training that the user waits for goes first."""
    lower_priority(psutil.Process(), idle=True)
    request = job.request
    result = pretrain(
        request["data"],
        request["weights"],
        PretrainSettings(**request["settings"]),
        resume=request.get("resume", False),
        on_progress=job.on_progress,
        should_stop=job.stop.is_set,
    )
    return {
        "weights": str(result.weights),
        "stopped": result.stopped,
        "steps": result.steps,
        "slices": result.slices,
        "skipped": list(result.skipped),
        "seconds": result.seconds,
        "device": result.device,
        "messages": result.messages,
    }


SIDE_HANDLERS: Mapping[str, Callable[[Job], dict[str, Any]]] = {
    "find": _find,
    "measure": _measure,
    "pretrain": _pretrain,
}
"""The function for each of these requests."""
