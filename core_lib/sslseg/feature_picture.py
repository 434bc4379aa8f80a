"""A picture of what a backbone sees: the pixel features of a few slices, as colours."""

from __future__ import annotations

import os

import numpy as np
import torch
from matplotlib.figure import Figure

from sslseg.device import autocast, move, resolve_device
from sslseg.files import atomic_path
from sslseg.model import load_backbone
from sslseg.plots import SliceView
from sslseg.slices import InPlaneGrid, SliceStack, plane_of
from sslseg.volume import Volume

_PLACES = (0.3, 0.5, 0.7)  # along the axis: the ends of a volume show little
_MAX_PIXELS = 256
_PANEL_INCHES = 2.6
_TITLE_INCHES = 0.35
_DARK, _LIGHT = "#14161a", "#f2f2f2"


def feature_colours(features: torch.Tensor) -> torch.Tensor:
    """The first three principal components of pixel features as red, green and blue.

    Taken over all images together, so that one colour means one thing; the signs are such that results do not depend
    on the platform. With fewer than three channels the colours that are left are grey.

    Args:
        features: float (n, channels, rows, columns).

    Returns:
        float32 (n, rows, columns, 3) in [0, 1].
    """
    n, channels, rows, columns = features.shape
    vectors = features.permute(0, 2, 3, 1).reshape(-1, channels).double()
    vectors = vectors - vectors.mean(0)
    axes = torch.linalg.eigh(vectors.T @ vectors).eigenvectors.flip(1)[:, :3]  # by falling variance
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    parts = vectors @ (axes * torch.where(largest < 0, -1.0, 1.0))
    low, high = (torch.from_numpy(np.percentile(parts.numpy(), share, axis=0)) for share in (1, 99))
    colours = torch.full((len(vectors), 3), 0.5, dtype=torch.double)
    colours[:, : parts.shape[1]] = ((parts - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    return colours.reshape(n, rows, columns, 3).float()


def draw_features(
    weights: str | os.PathLike[str], volume: Volume, png: str | os.PathLike[str], *, device: str = "auto"
) -> list[int]:
    """Draw slices of an image above their pixel features; returns the indices of the slices.

    Args:
        weights: pretrained weights or a model.
        volume: the image; three slices along its coarsest axis are shown.
        png: the file to write.
        device: see :func:`sslseg.device.resolve_device`.

    Raises:
        CheckpointError: the weights do not fit.
        OutputError: the picture could not be written.
    """
    backbone, header = load_backbone(weights)
    where = resolve_device(device)
    axis = volume.geometry.default_axis()
    native, spacing = plane_of(volume, axis)
    learned_at = header if "max_pixels" in header else header.get("settings", {})  # of a model; of a pretraining
    limit = learned_at.get("max_pixels", _MAX_PIXELS)
    grid = InPlaneGrid.fit(native, spacing, max_pixels=limit, model_spacing_mm=header["spacing_mm"])
    stack = SliceStack.from_volume(volume, axis, grid, torch.device("cpu"))
    shown = sorted({round(place * (len(stack) - 1)) for place in _PLACES})
    images = stack.with_context(torch.tensor(shown), backbone.config.in_channels)
    with torch.inference_mode(), autocast(where):
        features = move(backbone.eval(), where)(images.to(where)).float().cpu()
    view = SliceView.of(volume.geometry, axis)
    rows = [
        [view.show(image) for image in stack.images[shown, 0].numpy()],
        [
            np.stack([view.show(part) for part in parts], -1)
            for parts in feature_colours(features).movedim(3, 1).numpy()
        ],
    ]
    millimetres = [n * mm for n, mm in zip(native, spacing, strict=True)]
    extent = (millimetres[1], millimetres[0]) if view.transpose else (millimetres[0], millimetres[1])
    _draw(rows, [f"Slice {index}" for index in shown], extent, png)
    return shown


def _draw(
    pictures: list[list[np.ndarray]], titles: list[str], extent: tuple[float, float], png: str | os.PathLike[str]
) -> None:
    """One column a slice: the image, and its features below. ``extent`` is (height, width) in mm."""
    height, width = extent
    shape = min(max(height / width, 1 / 3), 3)
    size = (_PANEL_INCHES * len(titles), len(pictures) * _PANEL_INCHES * shape + _TITLE_INCHES)
    figure = Figure(figsize=size, layout="constrained", facecolor=_DARK)
    sheet = figure.subplots(len(pictures), len(titles), squeeze=False)
    for panels, row in zip(sheet, pictures, strict=True):
        for axes, picture in zip(panels, row, strict=True):
            axes.imshow(picture, cmap="gray", extent=(0, width, 0, height), interpolation="nearest")
            axes.set_axis_off()
    for axes, title in zip(sheet[0], titles, strict=True):
        axes.set_title(title, color=_LIGHT, fontsize=10)
    with atomic_path(png) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
