"""The network of a pretraining, with its losses: what is trained, and what of it is thrown away later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from sslseg.augment import SpatialTransform
from sslseg.backbone import BackboneConfig, UNet
from sslseg.losses.barlow import PixelBarlowTwins
from sslseg.losses.hierarchical import HierarchicalLoss, LevelWeights, pool_scales
from sslseg.losses.pix2rep import PixelInfoNCE
from sslseg.pretrain_settings import PretrainSettings
from sslseg.pretrain_views import take_pixels

_PROJECTED = 256
_EMBEDDED = 128


@dataclass(frozen=True)
class Views:
    """What the network sees in one step.

    Attributes:
        first: float32 (n, 1, side, side), not warped.
        second: the same slices, warped by ``transform``.
        transform: where each pixel of ``second`` lies in ``first``.
        positions: int64 (pixels,), the pixels of ``second`` that are compared.
        domains: int64 (n,), index of the data set.
    """

    first: torch.Tensor
    second: torch.Tensor
    transform: SpatialTransform
    positions: torch.Tensor
    domains: torch.Tensor


@dataclass(frozen=True)
class Outcome:
    """What the network makes of the views.

    Attributes:
        loss: a scalar.
        first: embeddings (n, d) of pixels (of images, where the pixel loss counts nothing) in the first view, for the
            monitors; without gradient.
        second: of the same pixels in the second view.
        terms: parts of the loss by name, before they are weighted.
    """

    loss: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    terms: dict[str, torch.Tensor]


class PretrainNetwork(nn.Module):
    """A backbone, the heads that only the pretraining needs, and the loss.

    The loss is taken in ``forward``, so that under DistributedDataParallel all parameters are seen by it.

    Args:
        config: shape of the backbone.
        settings: method and weights of the losses.
        groups: index of the group of each data set.
    """

    groups: torch.Tensor

    def __init__(self, config: BackboneConfig, settings: PretrainSettings, groups: Sequence[int]) -> None:
        super().__init__()
        self.backbone = UNet(config)
        levels = settings.method == "hssl"
        weights = LevelWeights(settings.image_weight, settings.task_weight, settings.group_weight)
        self.dense_weight = settings.dense_weight if levels else 1.0
        # What no loss sees is neither built nor trained: DistributedDataParallel waits for a gradient of all the rest.
        self.backbone.decoder.requires_grad_(self.dense_weight > 0)
        if self.dense_weight:
            self.projector = _head(config.features, _PROJECTED, _PROJECTED)
            self.pixel_loss = PixelBarlowTwins() if settings.method == "pix2rep-v2" else PixelInfoNCE()
        self.image_loss: HierarchicalLoss | None = None
        if levels and any(asdict(weights).values()):
            self.image_projector = _head(sum(config.widths), _PROJECTED, _EMBEDDED)
            self.image_loss = HierarchicalLoss(_EMBEDDED, len(groups), weights)
        self.register_buffer("groups", torch.tensor(groups), persistent=False)

    def forward(self, views: Views) -> Outcome:
        """The loss of all processes together, and what it was made of."""
        levels = [self.backbone.encode(images) for images in (views.first, views.second)]
        embeddings: list[torch.Tensor] = []
        terms: dict[str, torch.Tensor] = {}
        loss = torch.zeros((), device=views.first.device)
        if self.image_loss is not None:
            embeddings = [self.image_projector(pool_scales(encoded).float()) for encoded in levels]
            total, terms = self.image_loss(*embeddings, views.domains, self.groups[views.domains])
            loss = loss + total
        if self.dense_weight:
            first, second = (self.backbone.decode(encoded).float() for encoded in levels)
            pixels = (take_pixels(features, views.positions) for features in (views.transform.warp(first), second))
            embeddings = [self.projector(vectors) for vectors in pixels]
            dense = self.pixel_loss(*embeddings)
            loss = loss + self.dense_weight * dense
            terms = {**terms, "pixel": dense.detach()}
        return Outcome(loss, embeddings[0].detach(), embeddings[1].detach(), terms)


def _head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """1 x 1 convolutions, as linear maps of the vectors of single pixels.

    Layer normalisation knows no neighbours: the statistics do not depend on what else is in the batch.
    """
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, outputs))
