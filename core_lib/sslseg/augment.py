"""Augmentation on the device, a batch at a time.

Geometry is one sampling grid, so that images, labels and feature maps can be moved alike (the equivariance of
Pix2Rep rests on that). Parameters are drawn on the CPU: the same seed gives the same views on every device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE

_INSIDE = 0.999  # share of a pixel that must come from inside the image (bilinear weights of ones)


@dataclass(frozen=True)
class SpatialRange:
    """How far geometry may be changed.

    Attributes:
        rotation_deg: largest rotation either way.
        log_scale: largest natural logarithm of the zoom, either way, for each axis on its own.
        shift: largest shift, as a share of the output size.
        elastic_px: standard deviation in output pixels of the random displacement field.
        elastic_knots: control points of that field along each axis; fewer is smoother.
        flip: whether rows and columns may be mirrored.
    """

    rotation_deg: float = 20.0
    log_scale: float = 0.18
    shift: float = 0.08
    elastic_px: float = 2.0
    elastic_knots: int = 5
    flip: bool = False


class SpatialTransform:
    """A sampling grid for a batch: where each output pixel comes from.

    Attributes:
        grid: float32 (n, rows, columns, 2), (x, y) in [-1, 1] from edge to edge of the input.
    """

    def __init__(self, grid: torch.Tensor) -> None:
        self.grid = grid

    @classmethod
    def random(
        cls,
        centres: torch.Tensor,
        input_size: tuple[int, int],
        output_size: tuple[int, int],
        limits: SpatialRange,
        generator: torch.Generator,
    ) -> SpatialTransform:
        """Draw one transform for each centre: patches of ``output_size`` around ``centres``.

        Args:
            centres: (n, 2) row and column, in input pixels.
            input_size: (rows, columns) of the images to warp.
            output_size: (rows, columns) of the result.
            limits: how far to go.
            generator: of the CPU.
        """
        n = len(centres)
        matrix = _random_matrices(n, limits, generator)
        shift = _symmetric((n, 2), generator) * limits.shift * torch.tensor(output_size)
        rows, columns = (torch.arange(size) - (size - 1) / 2 for size in output_size)
        offsets = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)  # (rows, columns, 2) as row, column
        offsets = offsets + _random_field(n, output_size, limits, generator)
        position = torch.einsum("nab,nrcb->nrca", matrix, offsets) + (centres + shift)[:, None, None]
        size = torch.tensor(input_size)
        unit = (2 * position + 1) / size - 1  # pixel centres to [-1, 1] from edge to edge
        return cls(unit.flip(-1).float())

    def to(self, device: torch.device) -> SpatialTransform:
        """The same transform on another device."""
        return SpatialTransform(self.grid.to(device))

    def warp(self, maps: torch.Tensor) -> torch.Tensor:
        """Warp images, probabilities or features (n, channels, rows, columns), bilinearly; edges are extended."""
        rows, columns = maps.shape[-2:]
        # To the centres of the outermost pixels: MPS knows padding_mode="border" since PyTorch 2.13 only.
        last = 1 - 1 / torch.tensor([columns, rows], device=self.grid.device)
        return F.grid_sample(maps, self.grid.clamp(-last, last), mode="bilinear", align_corners=False)

    def warp_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Warp label maps (n, rows, columns) by the nearest pixel; what lies outside becomes ``IGNORE``."""
        shifted = labels[:, None].float() - IGNORE  # grid_sample fills with 0, which is then IGNORE
        warped = F.grid_sample(shifted, self.grid, mode="nearest", padding_mode="zeros", align_corners=False)
        return (warped[:, 0] + IGNORE).round().to(labels.dtype)

    def valid(self, input_size: tuple[int, int]) -> torch.Tensor:
        """Pixels that come from inside the input, bool (n, 1, rows, columns)."""
        ones = torch.ones((len(self.grid), 1, *input_size), device=self.grid.device)
        return F.grid_sample(ones, self.grid, padding_mode="zeros", align_corners=False) > _INSIDE


@dataclass(frozen=True)
class IntensityChange:
    """How far intensities may be changed; for images of about unit variance.

    Attributes:
        contrast: largest relative change of the contrast.
        brightness: largest shift.
        bias: standard deviation of the log of a smooth multiplicative field.
        log_gamma: largest natural logarithm of the gamma exponent.
        noise: largest standard deviation of white noise.
        blur_px: largest standard deviation of a Gaussian blur.
    """

    contrast: float = 0.25
    brightness: float = 0.3
    bias: float = 0.15
    log_gamma: float = 0.3
    noise: float = 0.1
    blur_px: float = 1.0


def change_intensities(images: torch.Tensor, limits: IntensityChange, generator: torch.Generator) -> torch.Tensor:
    """A random chain of gamma, bias field, contrast, brightness, blur and noise; one draw for each image.

    All channels of an image (a slice and its neighbours) are changed alike, but for the noise.

    Args:
        images: (n, channels, rows, columns), about zero mean and unit variance.
        limits: how far to go.
        generator: of the CPU.

    Returns:
        A new tensor of the same shape.
    """
    n, _, rows, columns = images.shape
    device = images.device

    def draw(limit: float) -> torch.Tensor:
        return (_symmetric((n, 1, 1, 1), generator) * limit).to(device)

    images = _gamma(images, draw(limits.log_gamma).exp())
    field = torch.randn((n, 1, 4, 4), generator=generator) * limits.bias
    field = F.interpolate(field, size=(rows, columns), mode="bicubic", align_corners=True).exp().to(device)
    images = images * field * (1 + draw(limits.contrast)) + draw(limits.brightness)
    images = blur(images, draw(limits.blur_px).abs())
    noise = torch.randn(images.shape, generator=generator).to(device)
    return images + noise * draw(limits.noise).abs()


def _random_matrices(n: int, limits: SpatialRange, generator: torch.Generator) -> torch.Tensor:
    """(n, 2, 2) matrices from output to input offsets, both as (row, column)."""
    angle = _symmetric((n,), generator) * math.radians(limits.rotation_deg)
    scale = (_symmetric((n, 2), generator) * limits.log_scale).exp()
    if limits.flip:
        scale = scale * (torch.randint(0, 2, (n, 2), generator=generator) * 2 - 1)
    cosine, sine = angle.cos(), angle.sin()
    rotation = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    return rotation * scale[:, None, :]


def _random_field(n: int, size: tuple[int, int], limits: SpatialRange, generator: torch.Generator) -> torch.Tensor:
    """A smooth random displacement (n, rows, columns, 2) in pixels."""
    if limits.elastic_px == 0:
        return torch.zeros((n, 1, 1, 2))
    knots = torch.randn((n, 2, limits.elastic_knots, limits.elastic_knots), generator=generator) * limits.elastic_px
    return F.interpolate(knots, size=size, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def _symmetric(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Uniform in [-1, 1]."""
    return torch.rand(shape, generator=generator) * 2 - 1


def _gamma(images: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    extent = (high - low).clamp_min(1e-6)
    return ((images - low) / extent).pow(exponent) * extent + low


def blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Separable Gaussian blur with its own ``sigma`` (n, 1, 1, 1) in pixels, up to about 1.5, for each image."""
    n, channels, rows, columns = images.shape
    reach = 3
    offset = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-offset.square() / (2 * sigma.reshape(n, 1).clamp_min(1e-3).square()))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = F.pad(images.reshape(1, n * channels, rows, columns), (reach,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=n * channels)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=n * channels)
    return flat.reshape(n, channels, rows, columns)
