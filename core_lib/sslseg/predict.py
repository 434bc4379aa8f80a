"""Segment a whole volume, a few slices at a time, with a map of where the network is unsure."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from sslseg.annotation import Annotation, Segment, slice_index
from sslseg.completion import Completion
from sslseg.device import MemoryGuard, autocast, move, resolve_device
from sslseg.errors import InputError
from sslseg.geometry import Geometry
from sslseg.model import Model
from sslseg.preparation import Preparation
from sslseg.progress import OnProgress, Progress, ShouldStop, ignore_progress, never_stop
from sslseg.sampling import check_fits
from sslseg.slices import InPlaneGrid, plane_of
from sslseg.volume import Volume

_BATCH = {"cpu": 4, "mps": 8, "cuda": 32}
_LEAST_TRUST = 0.8  # share of the propagated labels far from every annotated slice; beside one it is 1


@dataclass
class Prediction:
    """A segmented volume.

    Attributes:
        labels: uint8 (K, J, I) class indices; annotated voxels keep their label.
        uncertainty: float32 (K, J, I): entropy of the class probabilities over its largest value, 0 (sure) to 1; 0
            where annotated.
        geometry: the grid of both.
        segments: the foreground classes, in class order.
        stopped: "schedule", or "request": then slices that were not reached are background where not annotated.
        seconds: time it took.
        device: where it ran at last.
        messages: sentences the user must see.
    """

    labels: np.ndarray
    uncertainty: np.ndarray
    geometry: Geometry
    segments: tuple[Segment, ...]
    stopped: str = "schedule"
    seconds: float = 0.0
    device: str = "cpu"
    messages: list[str] = field(default_factory=list)


def predict(  # noqa: PLR0913 - a job is a function of plain arguments
    model: Model,
    volume: Volume,
    *,
    annotation: Annotation | None = None,
    axis: int | None = None,
    device: str = "auto",
    preparation: Preparation | None = None,
    on_progress: OnProgress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> Prediction:
    """Segment ``volume`` with ``model``.

    Probabilities are resampled to the native grid; classes and uncertainty are taken there.

    Args:
        model: from :func:`sslseg.finetune.finetune` or :meth:`Model.load`.
        volume: the image.
        annotation: what is annotated in this very volume, with the classes of the model. Annotated voxels keep their
            label, and what label propagation says of the others is mixed with the network, more of it nearer by.
        axis: array axis of the slices; None = that of the training.
        device: see :func:`sslseg.device.resolve_device`.
        preparation: what is known of the volume from the training, so that it is not computed again.
        on_progress: called for each batch of slices.
        should_stop: asked before each batch, and while labels are propagated.

    Raises:
        InputError: the annotation does not fit the volume or the model.
        DeviceError: the device is not there.
    """
    started = time.monotonic()
    axis = model.axis if axis is None else axis
    _check(model, volume, annotation)
    messages: list[str] = []
    target = resolve_device(device)
    on_progress(Progress("predicting", device=str(target)))
    shape = volume.array.shape
    result = Prediction(
        np.zeros(shape, np.uint8), np.zeros(shape, np.float32), volume.geometry, model.segments, messages=messages
    )
    # What is kept of the whole volume is not computed in batches: a lack of memory leads to the CPU at once.
    whole = MemoryGuard(target, 1, messages.append)
    source = whole.run(
        lambda where, _: _Source(
            model, volume, annotation, axis=axis, device=where, preparation=preparation or Preparation(),
            should_stop=should_stop,
        )
    )  # fmt: skip
    guard = MemoryGuard(whole.device, _BATCH[whole.device.type], messages.append)
    done = 0
    while done < shape[axis]:
        if should_stop():
            result.stopped = "request"
            break
        labels, uncertainty = guard.run(lambda where, batch: source.to(where).segment(done, done + batch))  # noqa: B023
        index = slice_index(range(done, done + len(labels)), axis)
        result.labels[index] = np.moveaxis(labels, 0, axis)
        result.uncertainty[index] = np.moveaxis(uncertainty, 0, axis)
        done += len(labels)
        spent = time.monotonic() - started
        eta = spent / done * (shape[axis] - done)
        on_progress(Progress("predicting", done, shape[axis], eta_s=eta, device=str(guard.device)))
    if annotation is not None:
        np.copyto(result.labels, annotation.labels, where=annotation.known)
        result.uncertainty[annotation.known] = 0
    result.seconds, result.device = time.monotonic() - started, str(guard.device)
    return result


class _Source:
    """Gives classes and uncertainty of slices: network and propagated labels in one."""

    def __init__(  # noqa: PLR0913 - what is segmented, with what, and where
        self,
        model: Model,
        volume: Volume,
        annotation: Annotation | None,
        *,
        axis: int,
        device: torch.device,
        preparation: Preparation,
        should_stop: ShouldStop,
    ) -> None:
        native, spacing = plane_of(volume, axis)
        grid = InPlaneGrid.fit(
            native, spacing, max_pixels=model.header["max_pixels"], model_spacing_mm=model.header["spacing_mm"]
        )
        self.device = device
        self.network = move(model.network, device).eval()
        self.stack = preparation.slices(volume, axis, grid, device)
        self.completion: Completion | None = None
        if annotation is not None and bool(annotation.known.any()):
            self.completion = preparation.complete(
                volume, annotation, axis, device,
                backbone=model.features, model_spacing_mm=model.header["spacing_mm"], should_stop=should_stop,
            )  # fmt: skip

    def to(self, device: torch.device) -> _Source:
        """This source on another device; nothing happens where it is there already."""
        if device != self.device:
            self.device = device
            move(self.network, device)
            self.stack = self.stack.to(device)
            if self.completion is not None:
                self.completion = self.completion.to(device)
        return self

    @torch.inference_mode()
    def segment(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """(classes, uncertainty) of slices ``start`` to ``stop``, each (n, rows, columns) on the native grid."""
        stop = min(stop, len(self.stack))
        indices = torch.arange(start, stop)
        with autocast(self.device):
            logits = self.network(self.stack.with_context(indices, self.network.backbone.config.in_channels))
        probabilities = self.stack.grid.to_native(logits.float().softmax(1))
        if self.completion is not None:
            here = slice(start, stop)
            carried, weight = self.completion.probabilities(here), self.completion.weight(here)
            trust = (_LEAST_TRUST + (1 - _LEAST_TRUST) * weight) * (weight > 0)  # none where no label arrived
            probabilities = torch.lerp(probabilities, carried, trust)
        return decide(probabilities)


def decide(probabilities: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Class (uint8) and uncertainty (float32, 0 to 1) of each pixel, from probabilities (n, classes, rows, columns)."""
    classes = probabilities.argmax(1).to(torch.uint8)
    entropy = torch.special.entr(probabilities).sum(1) / math.log(probabilities.shape[1])
    return classes.cpu().numpy(), entropy.clamp(0, 1).cpu().numpy()


def _check(model: Model, volume: Volume, annotation: Annotation | None) -> None:
    if annotation is None:
        return
    check_fits(annotation, volume)
    wanted, found = ([s.name for s in segments] for segments in (model.segments, annotation.segments))
    if wanted != found:
        raise InputError(
            f"The annotation of {volume.name} has the segments {', '.join(found) or 'none'} where the model has "
            f"{', '.join(wanted)}: use a model that was trained for them."
        )
