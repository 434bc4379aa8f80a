"""Supervision by what is annotated only: Dice and cross entropy that do not see ``IGNORE`` pixels.

Masking happens after the softmax. MONAI's ``MaskedLoss(DiceLoss(softmax=True))``, and its ``MaskedDiceLoss`` up to
version 1.5.0 at least, multiply the logits instead, so that a perfect sparse prediction is punished.
"""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import nn
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE


class PartialDiceCELoss(nn.Module):
    """Dice of the foreground classes plus cross entropy, over annotated pixels.

    The Dice is taken over the whole batch: a class that is missing from single slices does no harm.

    Example:
        >>> logits = torch.zeros(1, 2, 4, 4)
        >>> PartialDiceCELoss()(logits, torch.full((1, 4, 4), IGNORE, dtype=torch.uint8))
        tensor(0.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.dice = DiceLoss(include_background=False, batch=True)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar >= 0; 0 where nothing is annotated.

        Args:
            logits: (n, classes, rows, columns), two classes or more.
            labels: integer (n, rows, columns) class indices, ``IGNORE`` where nothing is annotated.
        """
        known = labels != IGNORE
        if not bool(known.any()):
            return logits.sum() * 0
        classes = torch.where(known, labels, torch.zeros_like(labels)).long()
        one_hot = F.one_hot(classes, logits.shape[1]).permute(0, 3, 1, 2).to(logits.dtype)
        entropy = F.cross_entropy(logits, labels.long(), ignore_index=IGNORE)
        mask = known[:, None].to(logits.dtype)
        return self.dice(logits.softmax(1) * mask, one_hot * mask) + entropy


def weighted_soft_cross_entropy(
    logits: torch.Tensor, probabilities: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Cross entropy with soft targets, where some pixels count less; the mean over all pixels.

    Args:
        logits: (n, classes, rows, columns).
        probabilities: targets of the same shape.
        weight: (n, 1, rows, columns) in [0, 1]; 0 takes a pixel out, gradient and all.
    """
    entropy = -(probabilities * logits.log_softmax(1)).sum(1, keepdim=True)
    return (entropy * weight).mean()
