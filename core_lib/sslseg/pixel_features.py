"""Pixel features in which the same tissue of neighbouring slices looks alike: what label propagation compares."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE
from sslseg.backbone import UNet
from sslseg.device import autocast, move
from sslseg.slices import InPlaneGrid, SliceStack

FeaturesOf = Callable[[list[int]], torch.Tensor]
"""Features (n, channels, rows, columns) of the slices with these indices; asked for when needed, to save memory."""

_PATCH_SCALES = ((1, 1.0), (2, 0.7))  # (dilation in pixels, weight): fine detail counts more
PATCH_CHANNELS = 9 * len(_PATCH_SCALES)
"""How many of the features are intensities: the last ones."""

_SHARE = 0.7  # scale of intensities and learned features beside each other
_MARGIN = 6  # pixels around structures whose best matches are looked for
_PAIRS, _PIXELS = 16, 1000  # of slices in which they are looked for; of each, up to twice as many
_AT_ONCE = 8  # slices that the backbone sees together, to bound the memory


def patch_features(images: torch.Tensor) -> torch.Tensor:
    """Features without a network: the 3 x 3 intensities around each pixel at two scales.

    Args:
        images: (slices, 1, rows, columns), about unit variance.

    Returns:
        (slices, PATCH_CHANNELS, rows, columns), scaled so that distances are about 0 to 2.
    """
    rows, columns = images.shape[-2:]
    parts = []
    for dilation, weight in _PATCH_SCALES:
        smooth = images if dilation == 1 else F.avg_pool2d(extend(images, 1), 3, stride=1)
        padded = extend(smooth, dilation)
        steps = (0, dilation, 2 * dilation)
        patch = [padded[..., y : y + rows, x : x + columns] for y in steps for x in steps]
        parts.append(torch.cat(patch, dim=1) * (weight / len(patch) ** 0.5))
    return torch.cat(parts, dim=1)


class PixelFeatures:
    """The features of all slices of a stack, on its grid.

    With a pretrained backbone they are its pixel features, L2-normalised, beside the intensities; these alone without.
    What the backbone makes of a slice is computed when it is first asked for, and kept in half precision.

    Args:
        stack: the slices.
        backbone: pretrained, or None; it is moved to the device of the stack.

    Attributes:
        grid: of the stack.
        device: of the features.
    """

    def __init__(self, stack: SliceStack, backbone: UNet | None = None) -> None:
        self.grid: InPlaneGrid = stack.grid
        self.device = stack.images.device
        self._stack = stack
        self._backbone = backbone
        self._learned: dict[int, torch.Tensor] = {}

    def __call__(self, indices: list[int]) -> torch.Tensor:
        """Float32 features (n, channels, rows, columns) of the slices with these indices."""
        patches = patch_features(self._stack.images[indices])
        if self._backbone is None:
            return patches
        self._learn([index for index in dict.fromkeys(indices) if index not in self._learned], self._backbone)
        learned = torch.stack([self._learned[index] for index in indices]).float()
        return torch.cat([learned, patches], dim=1) * _SHARE

    @torch.no_grad()
    def _learn(self, indices: list[int], backbone: UNet) -> None:
        for start in range(0, len(indices), _AT_ONCE):
            part = indices[start : start + _AT_ONCE]
            images = self._stack.with_context(torch.tensor(part), backbone.config.in_channels)
            with autocast(self.device):
                features = move(backbone, self.device).eval()(images)
            self._learned.update(zip(part, F.normalize(features.float(), dim=1).half(), strict=True))


def match_distance(features: FeaturesOf, labels: torch.Tensor, window: int) -> float | None:
    """How much pixels differ from their best matches in the slice next door: by noise, and by how far away that is.

    Args:
        features: see :data:`FeaturesOf`.
        labels: uint8 (slices, rows, columns), the annotation; pixels in and around its structures are asked.
        window: half the width in pixels of the neighbourhood in which the match is searched.

    Returns:
        The median squared distance; None where no structure is annotated, or no slice lies next to one.
    """
    structures = (labels > 0) & (labels != IGNORE)
    shown = torch.nonzero(structures.flatten(1).any(1))[:, 0].tolist()
    pairs = [(index, index + step) for index in shown for step in (-1, 1) if 0 <= index + step < len(labels)]
    if not pairs:
        return None
    chosen = [pairs[int(place)] for place in torch.linspace(0, len(pairs) - 1, min(_PAIRS, len(pairs))).round()]
    found = [_to_best_match(features, here, there, structures[here], window) for here, there in chosen]
    return float(torch.cat(found).median())


def _to_best_match(features: FeaturesOf, here: int, there: int, structures: torch.Tensor, window: int) -> torch.Tensor:
    """Squared distances of the pixels of slice ``here`` near ``structures`` to the most similar ones in ``there``."""
    near = F.max_pool2d(structures[None].float(), 2 * _MARGIN + 1, stride=1, padding=_MARGIN)[0] > 0
    places = torch.nonzero(near)
    rows, columns = places[:: max(1, len(places) // _PIXELS)].T
    pixels, others = features([here])[0][:, rows, columns], extend(features([there]), window)[0]
    best = torch.full_like(pixels[0], torch.inf)
    for y in range(2 * window + 1):
        for x in range(2 * window + 1):
            best = torch.minimum(best, (pixels - others[:, rows + y, columns + x]).square_().sum(0))
    return best


def extend(maps: torch.Tensor, margin: int) -> torch.Tensor:
    """Maps (n, channels, rows, columns) with ``margin`` more pixels on every side, like the outermost ones."""
    return F.pad(maps, (margin,) * 4, mode="replicate")
