"""The U-Net, built from MONAI's blocks, and the heads that sit on its pixel features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetUpBlock
from torch import nn
from torch.nn import functional as F  # noqa: N812

from sslseg.errors import CheckpointError


@dataclass(frozen=True)
class BackboneConfig:
    """Shape of the U-Net.

    Attributes:
        widths: channels of each level, finest first; one level more halves the resolution once more.
        in_channels: odd; the slice and (in_channels - 1) / 2 neighbours on each side.
        groups: groups of the group normalisation. It has no running statistics: batch normalisation over a few
            nearly identical slices would shift them.
    """

    widths: tuple[int, ...]
    in_channels: int = 1
    groups: int = 8

    @property
    def features(self) -> int:
        """Channels of the pixel features."""
        return self.widths[0]

    @property
    def stride(self) -> int:
        """Pixels of the input that the coarsest level sees as one."""
        return 2 ** (len(self.widths) - 1)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the header of a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], path: str = "The file") -> BackboneConfig:
        """The way back from :meth:`as_dict`.

        Raises:
            CheckpointError: the values describe no U-Net of ours.
        """
        try:
            config = cls(tuple(int(w) for w in values["widths"]), int(values["in_channels"]), int(values["groups"]))
            numbers = (*config.widths, config.in_channels, config.groups)
            fits = len(config.widths) > 1 and min(numbers) > 0 and config.in_channels % 2 == 1
            fits = fits and all(w % config.groups == 0 for w in config.widths)
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise CheckpointError(f"{path} does not fit: its backbone {values!r} is not a U-Net of SSLSegment.")
        return config


BACKBONES: Mapping[str, tuple[int, ...]] = {
    "tiny": (8, 16, 32),
    "small": (24, 48, 96, 128),
    "base": (32, 64, 128, 256, 384),
    "large": (64, 128, 256, 512, 1024, 2048),
}
"""Widths by name. ``large`` has those of the Pix2Rep paper (Seince et al., MIDL 2024); ``tiny`` is for tests."""


class UNet(nn.Module):
    """Encoder and decoder: an image becomes a feature vector for each pixel.

    Example:
        >>> UNet(BackboneConfig((8, 16, 32)))(torch.zeros(2, 1, 50, 41)).shape
        torch.Size([2, 8, 50, 41])
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        inputs = (config.in_channels, *widths[:-1])
        self.encoder = nn.ModuleList(
            UnetBasicBlock(2, below, width, 3, 1 if level == 0 else 2, self._norm(width))
            for level, (below, width) in enumerate(zip(inputs, widths, strict=True))
        )
        self.decoder = nn.ModuleList(
            UnetUpBlock(2, widths[level + 1], widths[level], 3, 1, 2, self._norm(widths[level]))
            for level in reversed(range(len(widths) - 1))
        )

    def encode(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of every encoder level, finest first, for images whose sides the stride divides."""
        levels = []
        for block in self.encoder:
            images = block(images)
            levels.append(images)
        return levels

    def decode(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Pixel features from what :meth:`encode` gave."""
        features = levels[-1]
        for block, skip in zip(self.decoder, reversed(levels[:-1]), strict=True):
            features = block(features, skip)
        return features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pixel features (n, widths[0], rows, columns) of images (n, in_channels, rows, columns) of any size.

        The image is extended at its lower and right edge until the stride divides it, and cut back.
        """
        rows, columns = images.shape[-2:]
        stride = self.config.stride
        levels = self.encode(F.pad(images, (0, -columns % stride, 0, -rows % stride), mode="replicate"))
        return self.decode(levels)[..., :rows, :columns]

    def _norm(self, channels: int) -> tuple[str, dict[str, int]]:
        return "group", {"num_groups": self.config.groups, "num_channels": channels}


class SegmentationNetwork(nn.Module):
    """Backbone and a 1 x 1 convolution: logits of each class for each pixel."""

    def __init__(self, config: BackboneConfig, n_classes: int) -> None:
        super().__init__()
        self.backbone = UNet(config)
        self.head = nn.Conv2d(config.features, n_classes, kernel_size=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes, rows, columns) of images (n, in_channels, rows, columns)."""
        return self.head(self.backbone(images))
