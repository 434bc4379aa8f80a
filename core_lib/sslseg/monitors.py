"""Whether features collapse: alignment, uniformity and the share of dead dimensions.

Each function takes a sample of features of any float type, needs no gradient, and gives a plain number; NaN or
infinite features give NaN, or a dead dimension. Under ``torch.distributed`` it speaks of the sample of its own process.

Alignment and uniformity are those of Wang & Isola, Understanding Contrastive Representation Learning through Alignment
and Uniformity on the Hypersphere, ICML 2020, with their exponents (2 and t = 2).
"""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.losses.gather import check_pairs, widen

DEAD = 0.01
"""A dimension is dead whose deviation is at most this share of the root mean square of all features."""


@torch.no_grad()
def alignment(first: torch.Tensor, second: torch.Tensor) -> float:
    """How far apart two views of a thing are: mean of |u - v|² of L2-normalised features.

    Args:
        first: (n, d) features of one view, n >= 1.
        second: (n, d) features of the other.

    Returns:
        0 (equal) .. 2 (as unrelated as random directions) .. 4 (opposite).

    Raises:
        ValueError: the shapes differ, or there is no pair.
    """
    check_pairs(first, second)
    if not len(first):
        raise ValueError("Alignment needs one pair or more, and there is none.")
    u, v = (F.normalize(widen(view), dim=1) for view in (first, second))
    return float((u - v).square().sum(1).mean())


@torch.no_grad()
def uniformity(features: torch.Tensor) -> float:
    """How evenly features cover the sphere: log of the mean of exp(-2 |x - y|²) over pairs, x and y normalised.

    Args:
        features: (n, d), n >= 2. Takes memory for n² numbers.

    Returns:
        -8 < value <= 0: 0 where all features are equal (collapse), close to -4 for random directions of high dimension.

    Raises:
        ValueError: not (n, d), or less than two rows.
    """
    n = _check_sample(features)
    z = F.normalize(widen(features), dim=1)
    kernel = (4 * (z @ z.T - 1)).exp().fill_diagonal_(0)
    return float((kernel.sum() / (n * (n - 1))).log())


@torch.no_grad()
def dead_share(features: torch.Tensor) -> float:
    """Share of the dimensions that hardly vary from row to row, compared with the size of all features.

    Args:
        features: (n, d), n >= 2, d >= 1, before normalisation.

    Returns:
        0 (all dimensions are used) .. 1 (all rows are equal); the same for features of any scale.

    Raises:
        ValueError: not (n, d), or less than two rows.
    """
    _check_sample(features)
    features = widen(features)
    alive = features.std(0, correction=0) > DEAD * features.square().mean().sqrt()
    return 1 - float(alive.float().mean())


def _check_sample(features: torch.Tensor) -> int:
    if features.ndim != 2 or min(features.shape[0] - 1, features.shape[1]) < 1:
        raise ValueError(f"A sample of features is (n, d) with two rows or more, and this is {tuple(features.shape)}.")
    return len(features)
