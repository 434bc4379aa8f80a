"""HSSL-style self-supervision of the encoder on three levels: image, task (data set) and group of tasks.

Source: Zheng et al., Hierarchical Self-Supervised Learning for Medical Image Segmentation Based on Multi-Domain Data
Aggregation, MICCAI 2021. Its abstract says that encoder and decoder are pretrained on an aggregate of data sets by a
loss with contrastive and classification terms; no code was released. Levels, formulas and weights here are our reading
of it: a task is a data set, a group is what shares modality and anatomy. Each formula is that of the paper named beside
it.

All terms are means over the images of all processes (see :mod:`sslseg.losses.gather` for the scale of the gradient).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from sslseg.losses.gather import (
    check_labels,
    check_pairs,
    check_temperature,
    full_precision,
    gather,
    global_mean,
    widen,
)
from sslseg.losses.pix2rep import PixelInfoNCE, contrast


def pool_scales(levels: Sequence[torch.Tensor]) -> torch.Tensor:
    """The embedding of each image: the means of the features of every encoder level, side by side.

    Args:
        levels: features (n, channels, rows, columns) of each level; all but n may differ.

    Returns:
        (n, sum of channels).
    """
    return torch.cat([level.mean((-2, -1)) for level in levels], dim=1)


class ImageNTXent(PixelInfoNCE):
    """NT-Xent: two views of an image belong together, all other images do not.

    The formula is that of :class:`~sslseg.losses.pix2rep.PixelInfoNCE` with images for pixels, from Chen et al.,
    SimCLR, ICML 2020; so are the shapes (n, d), the values >= 0 and log(2N - 1) at collapse.

    Args:
        temperature: τ > 0; 0.5 is a usual value for small batches.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__(temperature)


class TaskClassification(nn.Module):
    """Which data set is this image from? Cross entropy of a linear classifier of the embedding.

    L = -mean_i log softmax(W e_i + b)[task_i], a scalar >= 0; log(tasks) for a classifier that knows nothing. The
    classifier is learned: it must be inside the module that ``DistributedDataParallel`` wraps.

    Args:
        embedding: d, length of an embedding.
        n_tasks: number of data sets.
    """

    def __init__(self, embedding: int, n_tasks: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding, n_tasks)

    def forward(self, embeddings: torch.Tensor, tasks: torch.Tensor) -> torch.Tensor:
        """The loss over the images of all processes.

        Args:
            embeddings: (n, d).
            tasks: (n,) integers 0..n_tasks - 1.

        Raises:
            ValueError: the shapes do not fit, or the tasks are no integers.
        """
        check_labels(embeddings, tasks)
        logits = widen(self.classifier(embeddings))
        return global_mean(F.cross_entropy(logits, tasks.long(), reduction="none"))


class GroupSupCon(nn.Module):
    """Supervised contrast: images of a group belong together.

    With L2-normalised z, P(i) all other images of the group of i, and A those of all processes with P(i) not empty::

        L = mean_{i ∈ A} -1/|P(i)| Σ_{p ∈ P(i)} log( exp(z_i·z_p/τ) / Σ_{k ≠ i} exp(z_i·z_k/τ) )

    L is log(N - 1) where all embeddings are equal (collapse), and 0, without gradient, where A is empty.

    Source: Khosla et al., Supervised Contrastive Learning, NeurIPS 2020 (the form with the sum outside the logarithm).

    Args:
        temperature: τ > 0; 0.1 is a usual value.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        check_temperature(temperature)
        self.temperature = temperature

    def forward(self, embeddings: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar >= 0.

        Args:
            embeddings: (n, d) of any length; n may differ between processes.
            groups: (n,) integers; the same number is the same group in every process.

        Raises:
            ValueError: the shapes do not fit, or the groups are no integers.
        """
        check_labels(embeddings, groups)
        with full_precision(embeddings.device):
            own = F.normalize(widen(embeddings), dim=1)
            everything, start = gather(own)
            numbers, _ = gather(groups)
            members = (numbers[:, None] == numbers.unique()).to(own.dtype)  # one column a group
            rows = torch.arange(start, start + len(own), device=own.device)
            others = members[rows] @ members.sum(0) - 1
            sums = members[rows] @ (members.T @ everything) - own
            kept = others > 0
            positives = sums[kept] / others[kept, None]
            return global_mean(contrast(own[kept], positives, everything, rows[kept], self.temperature))


@dataclass(frozen=True)
class LevelWeights:
    """How much each level counts; a level of weight 0 is not computed.

    The paper's weights are not known to us: that all count alike is our choice.

    Attributes:
        image: of two views of an image.
        task: λ_t, of the classification of data sets.
        group: λ_g, of the contrast of groups.

    Raises:
        ValueError: a weight is negative or not finite.
    """

    image: float = 1.0
    task: float = 1.0
    group: float = 1.0

    def __post_init__(self) -> None:
        for level, weight in asdict(self).items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"The weight of level '{level}' must be 0 or more, and is {weight}.")


class HierarchicalLoss(nn.Module):
    """L = w_image · NT-Xent + λ_t · CE(task) + λ_g · SupCon(group) of the embeddings of two views.

    Classification and supervised contrast see both views, so that in the latter an image always has its other view as
    a positive.

    Args:
        embedding: d, length of an embedding, see :func:`pool_scales`.
        n_tasks: number of data sets.
        weights: how much each level counts. Without weight, the task level has no parameters either.

    Example:
        >>> loss = HierarchicalLoss(3, 2, LevelWeights(task=0))
        >>> loss(torch.ones(4, 3), torch.ones(4, 3), torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 0]))
        (tensor(3.8918), {'image': tensor(1.9459), 'group': tensor(1.9459)})
    """

    def __init__(self, embedding: int, n_tasks: int, weights: LevelWeights) -> None:
        super().__init__()
        self.weights = weights
        self.image = ImageNTXent()
        self.task = TaskClassification(embedding, n_tasks) if weights.task else None
        self.group = GroupSupCon()

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, tasks: torch.Tensor, groups: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted sum, a scalar, and its terms before weighting, without gradient, for the log.

        Args:
            first: (n, d) embeddings of one view of each image; n may differ between processes.
            second: (n, d) embeddings of the other.
            tasks: (n,) integers 0..n_tasks - 1, the data set of each image.
            groups: (n,) integers, the group of each image.

        Raises:
            ValueError: the shapes do not fit, or no process has an image.
        """
        check_pairs(first, second)
        check_labels(first, tasks)
        check_labels(first, groups)
        both = torch.cat([first, second])
        terms = {}
        if self.weights.image:
            terms["image"] = self.image(first, second)
        if self.task is not None:
            terms["task"] = self.task(both, tasks.repeat(2))
        if self.weights.group:
            terms["group"] = self.group(both, groups.repeat(2))
        weights = asdict(self.weights)
        total = sum((weights[level] * term for level, term in terms.items()), start=widen(first).new_zeros(()))
        return total, {level: term.detach() for level, term in terms.items()}
