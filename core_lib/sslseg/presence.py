"""Whether a structure is still there: labels that travel outward do not know by themselves where it ends.

A slice shows a structure as long as enough of it is left and the pixels that took its label resemble annotated ones
about as much as those right beside the annotated slices do:

    odds(c, z) = (k · A(c, z) / A(c) · (d(c) / d(c, z))²)⁴

with A(c, z) the pixels of class c in slice z and A(c) their mean in the annotated slices that show it; d(c, z) the mean
squared distance between the features of the pixels of class c in slice z and the most similar annotated ones of that
class, and d(c) its mean over the slices next to annotated ones that show it. That scale is what makes the question the
same for every image: noise and fine texture make all distances larger, beside the annotated slices too. Between two
annotated slices that show a structure it is there. Beyond the outermost annotated slices a structure that has ended
does not come back. How it was chosen: docs/design.md.
"""

from __future__ import annotations

from bisect import bisect

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
        classes: int (slices, rows, columns), as the labels have travelled; annotated pixels as annotated.
        labels: uint8 (slices, rows, columns), the annotation; ``IGNORE`` where there is none.
        n_classes: number of classes, background included.

    Returns:
        float32 (slices, foreground classes, 1, 1) in [0, 1]; 1 in annotated slices, and where there is nothing to tell.
    """
    present = torch.ones(len(classes), n_classes - 1)
    area = [torch.bincount(part.flatten().long(), minlength=n_classes).tolist() for part in classes]
    annotated = torch.nonzero((labels != IGNORE).flatten(1).any(1))[:, 0].tolist()
    shown = {c: [index for index in annotated if bool((labels[index] == c).any())] for c in range(1, n_classes)}
    samples = _samples(features, labels, annotated, n_classes)
    unlike: dict[int, dict[int, float]] = {c: {} for c in samples}
    for index in sorted({*range(len(classes))} - {*annotated}):
        there = [c for c in samples if area[index][c]]
        here = features([index])[0] if there else None
        for c in there:
            assert here is not None
            unlike[c][index] = _unlike(here[:, classes[index] == c], samples[c])
    for c, distances in unlike.items():
        near = [distances[i] for i in {index + step for index in shown[c] for step in (-1, 1)} if i in distances]
        if not near:
            continue
        usual = sum(near) / len(near)
        usual_area = sum(area[index][c] for index in shown[c]) / len(shown[c])
        for index, distance in distances.items():
            if _enclosed(index, annotated, shown[c]):
                continue
            odds = _MUCH_LESS * (area[index][c] / usual_area) * (usual / distance) ** 2
            present[index, c - 1] = odds**_SHARPNESS / (1 + odds**_SHARPNESS)
        for index in [*range(annotated[0]), *range(annotated[-1] + 1, len(classes))]:
            present[index, c - 1] *= bool(area[index][c])
    if annotated:
        _end_once(present, annotated[0], annotated[-1])
    return present[:, :, None, None].to(classes.device)


def _enclosed(index: int, annotated: list[int], shown: list[int]) -> bool:
    """Whether the annotated slices next to slice ``index``, on both sides, are among those that show a structure."""
    after = bisect(annotated, index)
    return 0 < after < len(annotated) and annotated[after - 1] in shown and annotated[after] in shown


def _samples(
    features: FeaturesOf, labels: torch.Tensor, annotated: list[int], n_classes: int
) -> dict[int, torch.Tensor]:
    """Features (channels, pixels) of annotated pixels, by foreground class; not of classes without any."""
    found: dict[int, list[torch.Tensor]] = {}
    for index in annotated:
        here = features([index])[0]
        for c in (int(c) for c in labels[index].unique() if 0 < int(c) < n_classes):
            found.setdefault(c, []).append(_some(here[:, labels[index] == c], _MOST_ANNOTATED))
    return {c: _some(torch.cat(parts, dim=1), _MOST_ANNOTATED) for c, parts in sorted(found.items())}


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
