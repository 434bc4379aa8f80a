"""Label propagation as a read-out of pixel features: what weights are worth before anything is trained."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.backbone import BACKBONES, BackboneConfig, UNet
from sslseg.benchmarks.datasets import LabelledVolume
from sslseg.completion import complete_annotation
from sslseg.device import seeded
from sslseg.model import load_backbone
from sslseg.pixel_features import PATCH_CHANNELS, PixelFeatures
from sslseg.sampling import Case
from sslseg.slices import SliceStack, take_slices

INTENSITIES, RANDOM = "intensities", "random"
"""Besides pretrained weights: no network at all, and one with random weights."""


def propagated_labels(
    volume: LabelledVolume, features: str, path: Path | None, *, with_intensities: bool, seed: int
) -> tuple[np.ndarray, int]:
    """Annotate the middle slice of the labelled extent, and let its labels travel through the volume.

    Args:
        volume: of the test.
        features: :data:`INTENSITIES`, :data:`RANDOM`, or any name for the weights in ``path``.
        path: pretrained weights.
        with_intensities: compare intensities as well as the features of the network, as the product does.
        seed: of random weights.

    Returns:
        uint8 (K, J, I) class indices, and the annotated slice, which is not to be scored.
    """
    shown = volume.slices_with(1)
    middle = shown[len(shown) // 2]
    backbone = None if features == INTENSITIES else _backbone(path, seed)
    return travelled(volume.annotated([middle]), backbone, with_intensities=with_intensities), middle


def travelled(case: Case, backbone: UNet | None, *, with_intensities: bool = True, **options: Any) -> np.ndarray:
    """Labels that travel through a volume, the product's way or another.

    Args:
        case: what is annotated.
        backbone: whose features are compared; None: intensities alone.
        with_intensities: compare these as well, as the product does.
        options: of :func:`sslseg.propagate.propagate`.

    Returns:
        uint8 (K, J, I) class indices.
    """
    volume, axis = case.volume, case.axis
    labels = take_slices(case.annotation.labels, range(volume.array.shape[axis]), axis)
    compared = PixelFeatures if with_intensities or backbone is None else _Learned
    found = complete_annotation(
        lambda grid: compared(SliceStack.from_volume(volume, axis, grid, torch.device("cpu")), backbone),
        labels,
        case.annotation.n_classes,
        volume.geometry.stack_spacing(axis),
        **options,
    )
    classes = found.probabilities(slice(None)).argmax(1).to(torch.uint8).numpy()
    return np.moveaxis(classes, 0, axis)


class _Learned(PixelFeatures):
    """The features of the network alone, of length 1."""

    def __call__(self, indices: list[int]) -> torch.Tensor:
        return F.normalize(super().__call__(indices)[:, :-PATCH_CHANNELS], dim=1)


@lru_cache(1)
def _backbone(path: Path | None, seed: int) -> UNet:
    if path is not None:
        return load_backbone(path)[0].eval()
    with seeded(seed):
        return UNet(BackboneConfig(BACKBONES["small"])).eval()
