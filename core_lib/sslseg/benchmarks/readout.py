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
from sslseg.device import seeded
from sslseg.model import load_backbone
from sslseg.pixel_features import MAX_PIXELS, FeaturesOf, PixelFeatures
from sslseg.propagate import propagate, window_for
from sslseg.sampling import Case
from sslseg.slices import InPlaneGrid, SliceStack, plane_of, take_slices

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
    native, spacing = plane_of(case.volume, case.axis)
    grid = InPlaneGrid.fit(native, spacing, max_pixels=MAX_PIXELS)
    stack = SliceStack.from_volume(case.volume, case.axis, grid, torch.device("cpu"))
    labels = torch.from_numpy(take_slices(case.annotation.labels, range(len(stack)), case.axis))
    slice_mm, row_mm, _ = case.volume.geometry.stack_spacing(case.axis)
    found = propagate(
        PixelFeatures(stack, backbone) if with_intensities or backbone is None else _learned(backbone, stack),
        grid.labels_to_model(labels),
        case.annotation.n_classes,
        window=window_for(slice_mm, row_mm * grid.native[0] / grid.model[0]),
        **options,
    )
    classes = grid.to_native(found.probabilities).argmax(1).to(torch.uint8).numpy()
    return np.moveaxis(classes, 0, case.axis)


@torch.inference_mode()
def _learned(backbone: UNet, stack: SliceStack) -> FeaturesOf:
    """The features of the network alone, of length 1."""
    images = stack.with_context(torch.arange(len(stack)), backbone.config.in_channels)
    maps = torch.cat([F.normalize(backbone(image[None]), dim=1) for image in images])
    return lambda indices: maps[indices]


@lru_cache(1)
def _backbone(path: Path | None, seed: int) -> UNet:
    if path is not None:
        return load_backbone(path)[0].eval()
    with seeded(seed):
        return UNet(BackboneConfig(BACKBONES["small"])).eval()
