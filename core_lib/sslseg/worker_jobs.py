"""What the worker does for each request of :mod:`sslseg.protocol`, with torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sslseg.annotation import Annotation, Segment
from sslseg.carry import carry_labels
from sslseg.device import describe_devices
from sslseg.errors import InputError
from sslseg.files import atomic_path
from sslseg.finetune import Case, finetune
from sslseg.geometry import Geometry
from sslseg.labelmap_io import write_labels
from sslseg.model import Model
from sslseg.predict import predict
from sslseg.preparation import Preparation
from sslseg.settings import Settings
from sslseg.suggest import suggest
from sslseg.volume import Volume, check_values, read_volume
from sslseg.worker_side_jobs import SIDE_HANDLERS

if TYPE_CHECKING:
    from sslseg.worker import Job  # which runs as __main__: importing it here would make a second copy


def describe(threads: int | None = None) -> dict[str, Any]:
    """Set the number of processor threads, and say what torch has to offer."""
    if threads is not None:
        torch.set_num_threads(threads)
    return {"torch": torch.__version__, "devices": describe_devices()}


class Jobs:
    """The handlers, and what they keep between requests: the volumes, and the last model."""

    def __init__(self) -> None:
        self._volumes: dict[str, Volume] = {}
        self._preparation = Preparation()
        self._model: tuple[tuple[str, int], Model] | None = None

    def handlers(self) -> dict[str, Callable[[Job], dict[str, Any]]]:
        """The function for each request that is a job."""
        return {
            "load": self._load,
            "propagate": self._propagate,
            "finetune": self._finetune,
            "predict": self._predict,
            "suggest": self._suggest,
            **SIDE_HANDLERS,
        }

    def _load(self, job: Job) -> dict[str, Any]:
        begin = time.perf_counter()
        request = job.request
        if "array" in request:
            geometry = _geometry(request["geometry"])
            volume = Volume(
                _read_array(request["array"], geometry).astype(np.float32), geometry, request.get("name", "volume")
            )
            check_values(volume.array, f"The volume '{volume.name}'")
        else:
            volume = read_volume(request["image"])
        self._volumes[request["volume"]] = volume
        return {"shape": list(volume.array.shape), "seconds": time.perf_counter() - begin}

    def _propagate(self, job: Job) -> dict[str, Any]:
        request = job.request
        carried = carry_labels(
            self._case(request, request["segments"]),
            Settings(**request["settings"]),
            preparation=self._preparation,
            on_progress=job.on_progress,
            should_stop=job.stop.is_set,
        )
        if carried.stopped != "request":
            _write_array(carried.labels, request["output"])
            _write_array(carried.uncertainty, request["uncertainty"])
        return {
            "output": request["output"],
            "uncertainty": request["uncertainty"],
            "stopped": carried.stopped,
            "seconds": carried.seconds,
            "device": carried.device,
            "messages": carried.messages,
        }

    def _finetune(self, job: Job) -> dict[str, Any]:
        request = job.request
        cases = [self._case(case, request["segments"]) for case in request["cases"]]
        result = finetune(
            cases,
            Settings(**request["settings"]),
            preparation=self._preparation,
            on_progress=job.on_progress,
            should_stop=job.stop.is_set,
        )
        result.model.save(request["model"])
        self._model = (_file_key(request["model"]), result.model)
        return {
            "model": request["model"],
            "stopped": result.stopped,
            "steps": result.steps,
            "seconds": result.seconds,
            "device": result.device,
            "messages": result.messages,
        }

    def _predict(self, job: Job) -> dict[str, Any]:
        request = job.request
        volume = self._volume(request["volume"])
        annotation = None
        if request.get("labels"):
            annotation = _annotation(request["labels"], volume.geometry, request["segments"])
        prediction = predict(
            self._load_model(request["model"]),
            volume,
            annotation=annotation,
            axis=request.get("axis"),
            device=request.get("device", "auto"),
            preparation=self._preparation,
            on_progress=job.on_progress,
            should_stop=job.stop.is_set,
        )
        result = {
            "stopped": prediction.stopped,
            "seconds": prediction.seconds,
            "device": prediction.device,
            "messages": prediction.messages,
        }
        if prediction.stopped == "request":
            return result
        if request["output"].endswith(".npy"):
            _write_array(prediction.labels, request["output"])
        else:
            write_labels(prediction.labels, prediction.geometry, prediction.segments, request["output"])
        if request.get("uncertainty"):
            _write_array(prediction.uncertainty, request["uncertainty"])
        return {**result, "output": request["output"], "uncertainty": request.get("uncertainty")}

    def _suggest(self, job: Job) -> dict[str, Any]:
        request = job.request
        geometry = self._volume(request["volume"]).geometry
        suggestions = suggest(
            _read_array(request["output"], geometry),
            _read_array(request["uncertainty"], geometry),
            _annotation(request["labels"], geometry, request["segments"]),
            request["axis"],
            n=request.get("n"),
        )
        return {"suggestions": [asdict(suggestion) for suggestion in suggestions]}

    def _case(self, fields: dict[str, Any], segments: list[dict[str, Any]]) -> Case:
        volume = self._volume(fields["volume"])
        return Case(volume, _annotation(fields["labels"], volume.geometry, segments), fields["axis"])

    def _volume(self, key: str) -> Volume:
        if key not in self._volumes:
            raise InputError(f"The volume '{key}' is not loaded in the worker: load it first.")
        return self._volumes[key]

    def _load_model(self, path: str) -> Model:
        """The model of a file, from memory if this very file was the last one written or read."""
        if self._model is None or self._model[0] != _file_key(path):
            self._model = (_file_key(path), Model.load(path))
        return self._model[1]


def _file_key(path: str) -> tuple[str, int]:
    file = Path(path)
    return path, file.stat().st_mtime_ns if file.is_file() else 0


def _geometry(fields: dict[str, Any]) -> Geometry:
    return Geometry(**{name: tuple(values) for name, values in fields.items()})


def _annotation(path: str, geometry: Geometry, segments: list[dict[str, Any]]) -> Annotation:
    return Annotation(_read_array(path, geometry), geometry, tuple(Segment.from_dict(row) for row in segments))


def _read_array(path: str, geometry: Geometry) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable .npy file: write it again.") from error
    if array.shape != geometry.shape:
        raise InputError(f"{path} holds an array of shape {array.shape} instead of {geometry.shape}.")
    return array


def _write_array(array: np.ndarray, path: str) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, np.ascontiguousarray(array), allow_pickle=False)
