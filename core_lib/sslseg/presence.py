"""Whether a structure is still there: labels that travel outward do not know by themselves where it ends.

A slice shows a structure as long as enough of it is left and the pixels that took its label resemble annotated ones
about as much as those right beside the annotated slices do:

    odds(c, z) = (k · A(c, z) / A(c) · (d(c) / d(c, z))²)⁴

with A(c, z) the pixels of class c in slice z and A(c) their mean in the annotated slices that show it; d(c, z) the mean
squared distance between the features of the pixels of class c in slice z and the most similar annotated ones of that
class, and d(c) its mean over the slices next to annotated ones. That scale is what makes the question the same for
every image: noise and fine texture make all distances larger, beside the annotated slices too. Beyond the outermost
annotated slices a structure that has ended does not come back. How form and k were chosen: docs/design.md.
"""

from __future__ import annotations

import torch

from sslseg.annotation import IGNORE
from sslseg.pixel_features import FeaturesOf

_MUCH_LESS = 12.0
"""k: a structure of the annotated looks that shrinks to 1 / k of its size is as likely gone as not."""

_SHARPNESS = 4.0
_LEAST_DISTANCE = 0.05  # is added to every distance: below, features are alike
_MOST_ASKED, _MOST_ANNOTATED = 150, 400  # pixels of a class and slice that are compared, and those they are compared to


def presence(features: FeaturesOf, classes: torch.Tensor, labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    """How likely each slice shows each foreground class.

    Args:
        features: distances are about 0 to 2.
        classes: int (slices, rows, columns), as the labels have travelled; in annotated slices as annotated.
        labels: uint8 (slices, rows, columns), the annotation; ``IGNORE`` where there is none.
        n_classes: number of classes, background included.

    Returns:
        float32 (slices, foreground classes, 1, 1) in [0, 1]; 1 in annotated slices, and where there is nothing to tell.
    """
    present = torch.ones(len(classes), n_classes - 1, device=classes.device)
    annotated = torch.nonzero((labels != IGNORE).flatten(1).any(1))[:, 0].tolist()
    beside = {index + step for index in annotated for step in (-1, 1)}
    for c in range(1, n_classes):
        area = (classes == c).flatten(1).sum(1)
        shown = [index for index in annotated if area[index]]
        samples = _samples(features, labels, c)
        if samples is None:
            continue
        others = [index for index in range(len(classes)) if area[index] and index not in annotated]
        unlike = {index: _unlike(features([index])[0][:, classes[index] == c], samples) for index in others}
        near = [unlike[index] for index in others if index in beside]
        if not near:
            continue
        usual = sum(near) / len(near)
        usual_area = float(area[shown].float().mean())
        for index, distance in unlike.items():
            odds = _MUCH_LESS * (float(area[index]) / usual_area) * (usual / distance) ** 2
            present[index, c - 1] = odds**_SHARPNESS / (1 + odds**_SHARPNESS)
    if annotated:
        _end_once(present, annotated[0], annotated[-1])
    return present[:, :, None, None]


def _samples(features: FeaturesOf, labels: torch.Tensor, c: int) -> torch.Tensor | None:
    """Features (channels, pixels) of annotated pixels of class ``c``; None: there are none."""
    masks = labels == c
    shown = torch.nonzero(masks.flatten(1).any(1))[:, 0].tolist()
    if not shown:
        return None
    return _some(torch.cat([features([index])[0][:, masks[index]] for index in shown], dim=1), _MOST_ANNOTATED)


def _some(pixels: torch.Tensor, most: int) -> torch.Tensor:
    """Evenly chosen ones of the pixels (channels, pixels): all of few, up to twice ``most`` of many."""
    return pixels[:, :: max(1, pixels.shape[1] // most)]


def _unlike(pixels: torch.Tensor, samples: torch.Tensor) -> float:
    """Mean squared distance of pixels (channels, pixels) to the sample most similar to each."""
    distances = torch.cdist(_some(pixels, _MOST_ASKED).T, samples.T)
    return float(distances.amin(1).square().mean()) + _LEAST_DISTANCE


def _end_once(present: torch.Tensor, first: int, last: int) -> None:
    """Make it fall only, from the outermost annotated slices ``first`` and ``last`` outward."""
    present[last:] = present[last:].cummin(0).values
    present[: first + 1] = present[: first + 1].flip(0).cummin(0).values.flip(0)
