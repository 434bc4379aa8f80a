"""What a volume needs before anything is learned from it, kept for the next job on the same volume."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch

from sslseg.annotation import IGNORE, Annotation
from sslseg.backbone import UNet
from sslseg.completion import Completion, complete_annotation
from sslseg.pixel_features import PixelFeatures
from sslseg.progress import ShouldStop, never_stop
from sslseg.slices import InPlaneGrid, SliceStack, take_slices
from sslseg.volume import Volume


@dataclass(eq=False)
class _Prepared:
    """Of one volume, cut one way."""

    volume: Volume
    axis: int
    device: torch.device  # as asked for: tensors on "mps" say "mps:0"
    stack: SliceStack | None = None
    backbone: UNet | None = None
    features: dict[InPlaneGrid, PixelFeatures] = field(default_factory=dict)
    key: bytes = b""  # of the annotation that was completed last: the ones before will not come back
    completion: Completion | None = None

    def cut(self, grid: InPlaneGrid) -> SliceStack:
        """The slices on a grid: those that are known, or new ones."""
        if self.stack is not None and self.stack.grid == grid:
            return self.stack
        return SliceStack.from_volume(self.volume, self.axis, grid, self.device)


class Preparation:
    """Slices, pixel features and propagated labels of volumes, each computed once.

    A training, the prediction after it and the next training after a correction share them: only what changed is
    computed again. Objects are compared by identity: a volume whose array is changed in place is not noticed.

    Args:
        volumes: the most volumes that are remembered; the one used least recently is forgotten.
    """

    def __init__(self, volumes: int = 2) -> None:
        self._most = volumes
        self._known: list[_Prepared] = []

    def slices(self, volume: Volume, axis: int, grid: InPlaneGrid, device: torch.device) -> SliceStack:
        """The slices of ``volume`` along ``axis``.

        Raises:
            InputError: NaN or infinite values.
        """
        known = self._of(volume, axis, device)
        known.stack = known.cut(grid)
        return known.stack

    def complete(  # noqa: PLR0913 - what, where, by what, and until when
        self,
        volume: Volume,
        annotation: Annotation,
        axis: int,
        device: torch.device,
        *,
        backbone: UNet | None = None,
        model_spacing_mm: float | None = None,
        should_stop: ShouldStop = never_stop,
    ) -> Completion:
        """The annotation of ``volume``, carried to all its slices by the pixel features of ``backbone``.

        What ``should_stop`` cut short is not remembered.

        Raises:
            InputError: NaN or infinite values.
        """
        known = self._of(volume, axis, device)
        if known.backbone is not backbone:
            known.backbone, known.features, known.completion = backbone, {}, None
        labels = take_slices(annotation.labels, range(volume.array.shape[axis]), axis)
        key = _digest(labels, annotation.n_classes, model_spacing_mm)
        if known.completion is not None and known.key == key:
            return known.completion
        used: dict[InPlaneGrid, PixelFeatures] = {}

        def features_on(grid: InPlaneGrid) -> PixelFeatures:
            used[grid] = known.features.get(grid) or PixelFeatures(known.cut(grid), backbone)
            return used[grid]

        found = complete_annotation(
            features_on,
            labels,
            annotation.n_classes,
            volume.geometry.stack_spacing(axis),
            model_spacing_mm=model_spacing_mm,
            should_stop=should_stop,
        )
        known.features = used
        if not should_stop():
            known.key, known.completion = key, found
        return found

    def _of(self, volume: Volume, axis: int, device: torch.device) -> _Prepared:
        for known in self._known:
            if known.volume is volume and (known.axis, known.device) == (axis, device):
                self._known.remove(known)
                break
        else:
            known = _Prepared(volume, axis, device)
        self._known = [known, *self._known[: self._most - 1]]
        return known


def _digest(labels: np.ndarray, n_classes: int, model_spacing_mm: float | None) -> bytes:
    """A key of an annotation: of its annotated slices, how many classes there are, and the pixels it travels on."""
    annotated = np.flatnonzero((labels != IGNORE).any(axis=(1, 2)))
    known = np.array([n_classes, *labels.shape, *annotated, model_spacing_mm or 0.0])
    digest = hashlib.blake2b(known.tobytes(), digest_size=16)
    for index in annotated:
        digest.update(labels[index].tobytes())
    return digest.digest()
