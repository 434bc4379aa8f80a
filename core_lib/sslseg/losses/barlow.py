"""Pixel Barlow Twins, the loss of Pix2Rep-v2: decorrelated features instead of negatives."""

from __future__ import annotations

import torch
from torch import nn

from sslseg.losses.gather import all_sum, check_pairs, full_precision, global_count, widen


class PixelBarlowTwins(nn.Module):
    """Makes each feature agree between two views, and differ from all other features.

    With Z1, Z2 (n, d) the features of both views, each column brought to mean 0 and variance 1 over all n pixels (batch
    normalisation without learned scale and shift)::

        C = Z1ᵀ Z2 / n        L = Σ_i (1 - C_ii)² + λ Σ_{i ≠ j} C_ij²

    L is d where all pixels are equal (collapse, C = 0), and 0 where views agree and features are uncorrelated.

    Source: Zbontar et al., Barlow Twins, ICML 2021, applied to pixels by Seince et al., MIDL 2024; the formula was read
    in the latter's code. Their λ is not published: 5e-3 is the value of the former.

    MONAI's ``BarlowTwinsLoss`` divides by the sample deviation (n - 1), so that perfect features do not reach 0, and by
    statistics of one process; ``SyncBatchNorm`` runs on GPUs only. Here mean, variance and correlation are sums over
    all processes (see :mod:`sslseg.losses.gather` for the scale of the gradient). The covariance is divided by
    deviations, rather than the pixels: no normalised copy of all pixels is kept.

    Args:
        off_diagonal: λ >= 0, the weight of decorrelation.

    Example:
        >>> PixelBarlowTwins()(torch.ones(5, 3), torch.ones(5, 3))
        tensor(3.)
    """

    EPSILON = 1e-5
    """Added to variances, as batch normalisation does: a constant feature has a gradient without NaN."""

    def __init__(self, off_diagonal: float = 5e-3) -> None:
        super().__init__()
        if not off_diagonal >= 0:
            raise ValueError(f"The weight of decorrelation must be 0 or more, and is {off_diagonal}.")
        self.off_diagonal = off_diagonal

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar >= 0, over the pixels of all processes.

        Args:
            first: (n, d) features of one view; n may differ between processes.
            second: (n, d) features of the other; row i is the same pixel.

        Raises:
            ValueError: the shapes differ, are not (n, d), or all processes have less than two pixels together.
        """
        check_pairs(first, second)
        with full_precision(first.device):
            correlation = self._correlation(widen(first), widen(second))
            diagonal = correlation.diagonal()
            others = correlation.square().sum() - diagonal.square().sum()
            return (1 - diagonal).square().sum() + self.off_diagonal * others

    def _correlation(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        n = global_count(first)
        if n < 2:
            raise ValueError(f"The correlation of pixels needs two of them or more, and there is {n}.")
        # The mean goes first: the difference of large sums would lose the digits of a small variance.
        views = [view - all_sum(view.sum(0)) / n for view in (first, second)]
        one, other = (all_sum(view.square().sum(0)) / n + self.EPSILON for view in views)
        covariance = all_sum(views[0].T @ views[1]) / n
        return covariance * one.rsqrt()[:, None] * other.rsqrt()
