"""Whether a structure is still there: labels that travel outward do not know by themselves where it ends.

A slice shows a structure as long as the pixels that took its label resemble annotated ones, the surroundings resemble
annotated surroundings, and enough of it is left:

    odds(c, z) = A(c, z) / A(c) / (k d(c, z) d(0, z))²

with A(c, z) the pixels of class c in slice z and A(c) their mean in the annotated slices that show it; d(c, z) the mean
squared distance between the features of the pixels of class c in slice z and the most similar annotated ones of that
class; d(0, z) the same of the background near the structures. Beyond the outermost annotated slices a structure that
has ended does not come back. The form and k were chosen on training volumes of two data sets (docs/design.md).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE

_UNLIKE = 10.0
"""k: a structure as large as the annotated one is as likely gone as not where d(c, z) d(0, z) is 1 / k."""

_LEAST_DISTANCE = 0.02  # is added to every distance: below, features are alike
_MARGIN_ANNOTATED, _MARGIN = 10, 6  # pixels around structures, in annotated slices and others, that are compared
_MOST_ASKED, _MOST_ANNOTATED, _MOST_BACKGROUND = 150, 400, 800  # pixels that are compared


def presence(
    features: Callable[[list[int]], torch.Tensor], classes: torch.Tensor, labels: torch.Tensor, n_classes: int
) -> torch.Tensor:
    """How likely each slice shows each foreground class.

    Args:
        features: see :data:`sslseg.propagate.FeaturesOf`; distances are about 0 to 2.
        classes: int (slices, rows, columns), as the labels have travelled.
        labels: uint8 (slices, rows, columns), the annotation; ``IGNORE`` where there is none.
        n_classes: number of classes, background included.

    Returns:
        float32 (slices, foreground classes, 1, 1) in [0, 1]; 1 in annotated slices, and where there is nothing to tell.
    """
    present = torch.ones(len(classes), n_classes - 1, device=classes.device)
    annotated = torch.nonzero((labels != IGNORE).flatten(1).any(1))[:, 0].tolist()
    known = _Annotated(features, labels, annotated, n_classes)
    surroundings = known.pixels[0]
    for index in sorted({*range(len(classes))} - {*annotated}):
        found = classes[index]
        around = (found == 0) & _near(found > 0, _MARGIN)
        if surroundings is None or not bool(around.any()):
            continue
        here = features([index])[0]
        unlike = _unlike(here[:, around], surroundings)
        for c, pixels in enumerate(known.pixels[1:], start=1):
            area = int((found == c).sum())
            if pixels is not None and area:
                unlike_inside = _unlike(here[:, found == c], pixels)
                odds = (area + 1) / (known.area[c] + 1) / (_UNLIKE * unlike_inside * unlike) ** 2
                present[index, c - 1] = odds / (1 + odds)
    if annotated:
        _end_once(present, annotated[0], annotated[-1])
    return present[:, :, None, None]


class _Annotated:
    """What annotated pixels look like.

    Attributes:
        pixels: features (channels, pixels) by class; of the background those near structures. None: there are none.
        area: mean number of pixels by class, over the annotated slices that show it.
    """

    def __init__(
        self,
        features: Callable[[list[int]], torch.Tensor],
        labels: torch.Tensor,
        annotated: list[int],
        n_classes: int,
    ) -> None:
        found: list[list[torch.Tensor]] = [[] for _ in range(n_classes)]
        for index in annotated:
            here = features([index])[0]
            shown = (labels[index] > 0) & (labels[index] != IGNORE)
            for c, parts in enumerate(found):
                mask = labels[index] == c
                if c == 0:
                    mask = mask & _near(shown, _MARGIN_ANNOTATED)
                if bool(mask.any()):
                    parts.append(here[:, mask])
        most = [_MOST_BACKGROUND] + [_MOST_ANNOTATED] * (n_classes - 1)
        self.pixels = [_some(torch.cat(p, dim=1), n) if p else None for p, n in zip(found, most, strict=True)]
        self.area = [sum(part.shape[1] for part in parts) / max(1, len(parts)) for parts in found]


def _near(mask: torch.Tensor, margin: int) -> torch.Tensor:
    """``mask`` (rows, columns), grown by ``margin`` pixels on every side."""
    return F.max_pool2d(mask[None].float(), 2 * margin + 1, stride=1, padding=margin)[0] > 0


def _some(pixels: torch.Tensor, most: int) -> torch.Tensor:
    """About ``most`` of the pixels (channels, pixels) at the most, evenly chosen."""
    return pixels[:, :: max(1, pixels.shape[1] // most)]


def _unlike(pixels: torch.Tensor, samples: torch.Tensor) -> float:
    """Mean squared distance of pixels (channels, pixels) to the sample most similar to each."""
    distances = torch.cdist(_some(pixels, _MOST_ASKED).T, samples.T)
    return float(distances.amin(1).square().mean()) + _LEAST_DISTANCE


def _end_once(present: torch.Tensor, first: int, last: int) -> None:
    """Make it fall only, from the outermost annotated slices ``first`` and ``last`` outward."""
    present[last:] = present[last:].cummin(0).values
    present[: first + 1] = present[: first + 1].flip(0).cummin(0).values.flip(0)
