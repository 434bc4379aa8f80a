"""Two views of each slice, and which of their pixels show the same place.

Every random number depends on the seed, the step and the process only: a run that is resumed sees the same views.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.augment import SpatialTransform, blur
from sslseg.slice_store import SliceStore

_SMALLEST_PATCH = 0.75  # of the side of a view: finer than that would only be enlarged
_CROP = (0.33, 0.95)
_NOISE_STD, _NOISE_SHARE = 0.5, 0.3
_BLUR_PX, _BLUR_SHARE = 1.3, 0.5
_LOG_GAMMA, _GAMMA_SHARE = 0.05, 0.9
_BIAS, _BIAS_SHARE = 0.9, 0.75
_INVERTED_SHARE = 0.35
_ELASTIC = ((5, 8 / 128), (11, 2.5 / 128))  # knots along each axis; largest displacement as a share of the side


@dataclass(frozen=True)
class Batch:
    """Square parts of slices.

    Attributes:
        images: float32 (n, 1, side, side).
        domains: int64 (n,), index of the data set of each.
    """

    images: torch.Tensor
    domains: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(self.images.to(device, non_blocking=True), self.domains.to(device, non_blocking=True))


def generator_of(seed: int, step: int, rank: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random numbers of one step of one process."""
    mixed = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(mixed >> np.uint64(1)))


def draw_batch(store: SliceStore, n: int, side: int, generator: torch.Generator) -> Batch:
    """``n`` random square parts of slices, each data set as often as the others, resized to ``side``.

    A part is at least 3/4 of ``side`` wide and at most as wide as the slice, which it never leaves.
    """
    domains = np.unique(store.domains)
    images, chosen = [], []
    for _ in range(n):
        domain = domains[_below(len(domains), generator)]
        own = np.flatnonzero(store.domains == domain)
        slice_ = store[int(own[_below(len(own), generator)])]
        most = min(slice_.shape)
        least = min(most, max(1, round(_SMALLEST_PATCH * side)))
        share = float(torch.rand((), generator=generator))
        width = round(least * (most / least) ** share)
        top, left = (_below(size - width + 1, generator) for size in slice_.shape)
        part = torch.from_numpy(slice_[top : top + width, left : left + width].astype(np.float32))[None, None]
        if width != side:
            part = F.interpolate(part, (side, side), mode="bilinear", align_corners=False, antialias=True)
        images.append(part)
        chosen.append(int(domain))
    return Batch(torch.cat(images), torch.tensor(chosen))


def change_view(images: torch.Tensor, generator: torch.Generator, noise: torch.Generator) -> torch.Tensor:
    """The intensity chain of Pix2Rep (Seince et al., MIDL 2024): noise, blur, gamma, bias field, inversion.

    Each is done to a part of the images. These come out with zero mean and unit variance.

    Args:
        images: float32 (n, 1, rows, columns).
        generator: of the CPU, for all parameters.
        noise: of the device of ``images``, for the noise.
    """
    n, _, rows, columns = images.shape

    def draw(low: float, high: float) -> torch.Tensor:
        return (torch.rand((n, 1, 1, 1), generator=generator) * (high - low) + low).to(images.device)

    def some(share: float) -> torch.Tensor:
        return (torch.rand((n, 1, 1, 1), generator=generator) < share).to(images.device)

    white = torch.randn(images.shape, generator=noise, device=images.device)
    changed = images + white * draw(0, _NOISE_STD) * some(_NOISE_SHARE)
    changed = torch.where(some(_BLUR_SHARE), blur(changed, draw(0, _BLUR_PX)), changed)
    low, high = changed.amin((2, 3), keepdim=True), changed.amax((2, 3), keepdim=True)
    changed = (changed - low) / (high - low).clamp_min(1e-6)
    exponent = torch.where(some(_GAMMA_SHARE), draw(-_LOG_GAMMA, _LOG_GAMMA), torch.zeros_like(low)).exp()
    changed = changed.pow(exponent) * _bias_field(n, (rows, columns), some(_BIAS_SHARE), generator)
    changed = torch.where(some(_INVERTED_SHARE), 1 - changed, changed)
    std, mean = torch.std_mean(changed, (2, 3), keepdim=True)
    return (changed - mean) / std.clamp_min(1e-6)


def draw_transforms(n: int, side: int, generator: torch.Generator, *, elastic: bool) -> SpatialTransform:
    """One affine transform for each image: rotation up to 90° either way, a crop of .33 to .95, flips.

    Args:
        n: images.
        side: of images and views, in pixels.
        generator: of the CPU.
        elastic: add smooth displacements at two scales, of at most 8 and 2.5 pixels where ``side`` is 128.
    """
    angle = (torch.rand(n, generator=generator) * 2 - 1) * (math.pi / 2)
    scale = torch.rand(n, generator=generator) * (_CROP[1] - _CROP[0]) + _CROP[0]
    flips = torch.randint(0, 2, (n, 2), generator=generator) * 2 - 1
    centre = (torch.rand((n, 2), generator=generator) * 2 - 1) * (1 - scale[:, None])
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    rotation = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    matrix = torch.cat([rotation * flips[:, None, :], centre[:, :, None]], 2)
    grid = F.affine_grid(matrix, [n, 1, side, side], align_corners=False)
    for knots, largest in _ELASTIC if elastic else ():
        moves = (torch.rand((n, 2, knots, knots), generator=generator) * 2 - 1) * (2 * largest)
        grid = grid + F.interpolate(moves, (side, side), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    return SpatialTransform(grid)


def draw_pixels(valid: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    """``n`` different positions from all views together, those that are ``valid`` first.

    The number is fixed, so that all processes have as many. At most half of all pixels are drawn; of views that are
    no smaller crops than ours, more than that are valid.

    Args:
        valid: bool (images, 1, rows, columns).
        n: positions wanted.
        generator: of the device of ``valid``.

    Returns:
        int64 (positions,) into ``valid`` when flattened.
    """
    order = torch.rand(valid.numel(), generator=generator, device=valid.device) + valid.flatten()
    return order.topk(min(n, max(1, valid.numel() // 2))).indices


def take_pixels(features: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Feature vectors (positions, channels) of maps (n, channels, rows, columns) at :func:`draw_pixels`."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])[positions]


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def _bias_field(n: int, size: tuple[int, int], some: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The exponential of a random cubic polynomial of the position, coefficients up to .9; 1 where not ``some``."""
    rows, columns = (torch.linspace(-1, 1, length) for length in size)
    powers = [(a, b) for a in range(4) for b in range(4 - a)]
    terms = torch.stack([rows[:, None] ** a * columns[None, :] ** b for a, b in powers])
    weights = (torch.rand((n, len(powers)), generator=generator) * 2 - 1) * _BIAS
    field = torch.einsum("np,prc->nrc", weights, terms)[:, None].to(some.device)
    return (field * some).exp()
