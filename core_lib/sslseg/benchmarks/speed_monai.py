"""The plain MONAI pipeline that the speed of ours is compared with: dictionary transforms and a DataLoader.

It computes in the same precision, and what is not random in its transforms is computed once, before the clock runs.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms import (
    Compose,
    NormalizeIntensityd,
    RandAdjustContrastd,
    RandAffined,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandSpatialCropd,
    Resized,
)
from torch.nn import functional as F  # noqa: N812

from sslseg.device import autocast
from sslseg.losses.partial import PartialDiceCELoss
from sslseg.model import Model
from sslseg.presets import Preset
from sslseg.sampling import Case
from sslseg.slices import InPlaneGrid, plane_of, take_slices
from sslseg.volume import Volume

_TIMED_STEPS = 10


def monai_training_rate(case: Case, model: Model, preset: Preset, batch: int) -> float:
    """Slices per second of training steps with comparable augmentation, patch size and the same network and loss."""
    size = _grid(case.volume, case.axis, model).model
    channels = model.network.backbone.config.in_channels
    slices = case.annotation.annotated_slices(case.axis)
    items = [
        {
            "image": _with_neighbours(case.volume, s, case.axis, channels),
            "label": take_slices(case.annotation.labels, [s], case.axis).astype(np.float32),
        }
        for s in slices
    ] * (batch * (_TIMED_STEPS + 1) // len(slices) + 1)
    both = ["image", "label"]
    transforms = Compose(
        [
            Resized(both, size, mode=("bilinear", "nearest")),
            NormalizeIntensityd("image"),
            RandAffined(both, prob=1, rotate_range=0.35, scale_range=0.18, mode=("bilinear", "nearest")),
            RandSpatialCropd(both, [min(preset.patch, side) for side in size], random_size=False),
            RandAdjustContrastd("image", prob=1, gamma=(0.75, 1.35)),
            RandGaussianSmoothd("image", prob=1, sigma_x=(0.1, 1), sigma_y=(0.1, 1)),
            RandGaussianNoised("image", prob=1, std=0.1),
        ]
    )
    network = model.network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0)  # the network is only borrowed
    loss = PartialDiceCELoss()
    data = CacheDataset(items, transforms, num_workers=1, progress=False)
    started, seen = time.perf_counter(), 0
    for step, patches in enumerate(DataLoader(data, batch_size=batch, num_workers=0)):
        if step == 1:  # the first step also warms up
            started, seen = time.perf_counter(), 0
        optimiser.zero_grad(set_to_none=True)
        with autocast(torch.device("cpu")):
            logits = network(patches["image"].as_tensor())
        loss(logits.float(), patches["label"].as_tensor()[:, 0].to(torch.uint8)).backward()
        optimiser.step()
        seen += len(patches["image"])
        if step == _TIMED_STEPS:
            break
    network.eval()
    return seen / (time.perf_counter() - started)


@torch.inference_mode()
def monai_prediction_rate(volume: Volume, model: Model) -> float:
    """Slices per second from the volume to classes and entropy on the native grid."""
    grid = _grid(volume, model.axis, model)
    channels = model.network.backbone.config.in_channels
    started = time.perf_counter()
    items = [
        {"image": _with_neighbours(volume, s, model.axis, channels)} for s in range(volume.array.shape[model.axis])
    ]
    transforms = Compose([Resized("image", grid.model), NormalizeIntensityd("image")])
    for part in DataLoader(Dataset(items, transforms), batch_size=1, num_workers=0):
        with autocast(torch.device("cpu")):
            logits = model.network(part["image"].as_tensor())
        probabilities = F.interpolate(logits.float(), size=grid.native, mode="bilinear").softmax(1)
        probabilities.argmax(1).to(torch.uint8).numpy()
        torch.special.entr(probabilities).sum(1).numpy()
    return len(items) / (time.perf_counter() - started)


def _grid(volume: Volume, axis: int, model: Model) -> InPlaneGrid:
    native, spacing = plane_of(volume, axis)
    header = model.header
    return InPlaneGrid.fit(native, spacing, max_pixels=header["max_pixels"], model_spacing_mm=header["spacing_mm"])


def _with_neighbours(volume: Volume, index: int, axis: int, channels: int) -> np.ndarray:
    last = volume.array.shape[axis] - 1
    wanted = [min(max(index + step, 0), last) for step in range(-(channels // 2), channels // 2 + 1)]
    return take_slices(volume.array, wanted, axis)
