"""Pix2Rep's contrast of pixels: InfoNCE over the global batch, in blocks that fit into memory."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from sslseg.losses.gather import check_pairs, check_temperature, full_precision, gather, global_mean, widen

BLOCK = 2**23
"""Similarities that are in memory at once (32 MiB in float32)."""


class PixelInfoNCE(nn.Module):
    """Pulls two views of a pixel together and pushes all other pixels of the batch away.

    With L2-normalised features u of the first and v of the second view, S = {u_i} ∪ {v_i} of all N pairs, and a⁺ the
    other view of a::

        L = -1/(2N) Σ_{a ∈ S} log( exp(a·a⁺/τ) / Σ_{k ∈ S without a} exp(a·k/τ) )

    L is log(2N - 1) where all features are equal (collapse), and log(1 + (2N - 2) exp(-1/τ)) where the views of a pixel
    are equal and different pixels orthogonal.

    Source: Seince et al., Dense Self-Supervised Learning for Medical Image Segmentation, MIDL 2024. Formula, τ = 0.53
    and 1000 pixels a batch were read in the authors' code.

    MONAI's ``ContrastiveLoss`` has the same value, but forms all differences of (2N, 2N, d), some GiB for 1000 pixels,
    takes the logarithm of underflowing sums for a small τ, and knows nothing of other processes. Here the similarities
    of a block of pixels are computed, reduced, forgotten, and computed again for the gradient. Each process takes its
    own pixels against those of all processes (see :mod:`sslseg.losses.gather` for the scale of the gradient).

    Args:
        temperature: τ > 0; the smaller, the more the nearest negatives count.

    Example:
        >>> PixelInfoNCE()(torch.ones(5, 3), torch.ones(5, 3))  # log(9)
        tensor(2.1972)
    """

    def __init__(self, temperature: float = 0.53) -> None:
        super().__init__()
        check_temperature(temperature)
        self.temperature = temperature

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar >= 0 (0 for a single pair), over the pairs of all processes.

        Args:
            first: (n, d) features of one view, of any length; n may differ between processes.
            second: (n, d) features of the other; row i is the same pixel.

        Raises:
            ValueError: the shapes differ, are not (n, d), or no process has a pair.
        """
        check_pairs(first, second)
        with full_precision(first.device):
            views = F.normalize(widen(torch.cat([first, second])), dim=1)
            everything, start = gather(views)
            if not len(everything):
                raise ValueError("A contrast needs one pair of views or more, and there is none.")
            own = torch.arange(start, start + len(views), device=views.device)
            losses = contrast(views, views.roll(len(first), 0), everything, own, self.temperature)
            return global_mean(losses)


def contrast(
    anchors: torch.Tensor, positives: torch.Tensor, everything: torch.Tensor, own: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The contrast of each anchor, -a·p/τ + log Σ_{k without a} exp(a·k/τ), as (m,).

    Args:
        anchors: (m, d), L2-normalised.
        positives: (m, d), what each anchor is pulled to; the mean of several is the mean of their losses.
        everything: (k, d) all normalised features, the anchors among them.
        own: (m,) which row of ``everything`` each anchor is.
        temperature: τ > 0.
    """
    rows = max(1, BLOCK // max(1, len(everything)))
    # An empty tensor splits into one empty part: a process without anchors still takes part in the backward pass.
    partition = [
        checkpoint(_log_partition, a, everything, o, temperature, use_reentrant=False, preserve_rng_state=False)
        for a, o in zip(anchors.split(rows), own.split(rows), strict=True)
    ]
    return torch.cat(partition) - (anchors * positives).sum(1) / temperature


def _log_partition(
    anchors: torch.Tensor, everything: torch.Tensor, own: torch.Tensor, temperature: float
) -> torch.Tensor:
    similarity = anchors @ everything.T / temperature
    return similarity.scatter_(1, own[:, None], -torch.inf).logsumexp(1)
