"""Labels travel from slice to slice: each pixel takes the classes of the most similar pixels near it next door.

From an annotated slice outward, the class probabilities of a pixel are the mean of those in a window of the slice
before, weighted by the similarity of pixel features and by nearness:

    w(p, q) = exp(-|f(p) - f(q)|² / (2 τ) - |p - q|² / (2 σ²))

τ follows the noise of the volume. For features of unit length the first term is (cosine - 1) / τ, the similarity of
Jabri et al., Space-Time Correspondence as a Contrastive Random Walk (NeurIPS 2020). It is bounded from below, so that a
pixel that resembles none in the window follows the nearest ones. Afterwards the two neighbours of each slice are asked
together, and structures that have ended give way to the background (:mod:`sslseg.presence`). Nothing is trained, and it
is the teacher of the training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE
from sslseg.pixel_features import FeaturesOf, PixelFeatures, extend, match_distance
from sslseg.presence import presence
from sslseg.progress import ShouldStop, never_stop

SWEEPS = 2
"""Passes, there and back, in which both neighbours of each slice are asked together."""

_TEMPERATURE, _LEAST_TEMPERATURE, _MOST_TEMPERATURE = 0.4, 0.003, 0.2  # see temperature_for
_EPSILON = 1e-12
_LEAST_REACHED = 1e-6  # weight of what arrived
_LEAST_SIMILAR = -20.0  # bound of the first term of the exponent
_PAIRS = 16  # of slices that are compared at once, to bound the memory
_SURE = 1 - 1e-4  # share of the background at which a pixel is taken to be background and nothing else
_FILL_HOPS = 12  # passes that spread scribbles inside their own slice


@dataclass(frozen=True)
class Propagation:
    """What the annotated slices say about all the others.

    Attributes:
        probabilities: float32 (slices, classes, rows, columns), summing to 1; one-hot where annotated.
        weight: float32 (slices, 1, rows, columns) in [0, 1]: how far to trust them. 1 where annotated; falls with
            the distance to the annotated slices, with their disagreement, and where no label reached.
    """

    probabilities: torch.Tensor
    weight: torch.Tensor

    def to(self, device: torch.device) -> Propagation:
        """The same on another device."""
        return Propagation(self.probabilities.to(device), self.weight.to(device))


def window_for(slice_spacing_mm: float, pixel_mm: float) -> int:
    """Half the width in pixels of the window: structures move further between slices that are further apart."""
    return int(min(5, max(2, round(0.75 * slice_spacing_mm / pixel_mm) + 1)))


def propagate_annotation(
    features: PixelFeatures,
    labels: torch.Tensor,
    n_classes: int,
    spacing_mm: tuple[float, float, float],
    *,
    should_stop: ShouldStop = never_stop,
) -> Propagation:
    """Complete the annotation of a volume, on the grid of its pixel features, as far as its structures reach.

    Args:
        features: of all slices of the volume.
        labels: uint8 (slices, rows, columns) on the native grid, ``IGNORE`` where nothing is annotated.
        n_classes: number of classes, background included.
        spacing_mm: (between slices, row, column) distances of the native grid.
        should_stop: see :func:`propagate`.
    """
    grid = features.grid
    pixel_mm = spacing_mm[1] * grid.native[0] / grid.model[0]
    coarse = grid.labels_to_model(labels).to(features.device)
    window = window_for(spacing_mm[0], pixel_mm)
    return propagate(features, coarse, n_classes, window=window, should_stop=should_stop)


def propagate(  # noqa: PLR0913 - what to propagate, how, and until when
    features: FeaturesOf,
    labels: torch.Tensor,
    n_classes: int,
    *,
    window: int,
    temperature: float | None = None,
    sweeps: int = SWEEPS,
    ends: bool = True,
    should_stop: ShouldStop = never_stop,
) -> Propagation:
    """Complete a sparse annotation of a stack of slices, as far as its structures reach.

    Args:
        features: gives (n, channels, rows, columns) for slice indices.
        labels: uint8 (slices, rows, columns) class indices, ``IGNORE`` where nothing is annotated; whole slices,
            parts of slices and scribbles.
        n_classes: number of classes, background included.
        window: half the width in pixels of the neighbourhood that is searched; σ is two thirds of it.
        temperature: τ; smaller trusts the most similar pixels more. None: that of :func:`temperature_for`.
        sweeps: see :data:`SWEEPS`.
        ends: whether structures that have ended give way to the background, see :mod:`sslseg.presence`.
        should_stop: asked before every step; True leaves the slices further away un-reached.
    """
    known = labels != IGNORE
    start = torch.stack([labels == c for c in range(n_classes)], dim=1).float()
    if temperature is None:
        temperature = temperature_for(features, labels, window)
    hop = _Hop(features, window, temperature, should_stop)
    sources = [int(s) for s in torch.nonzero(known.flatten(1).any(1))[:, 0]]
    filled = {s: _fill(hop, s, start[s : s + 1], known[s : s + 1, None]) for s in sources}

    total = torch.zeros_like(start)
    weight = torch.zeros_like(start[:, :1])
    disagreement = torch.zeros_like(weight)
    for mass, slices, distance in _chains(hop, filled, sources, len(labels)):
        share = mass.sum(1, keepdim=True)
        towards = share / distance
        mean = total[slices] / weight[slices].clamp_min(_EPSILON)
        here = mass / share.clamp_min(_EPSILON)
        met = (weight[slices] > _EPSILON) & (share > _EPSILON)
        disagreement[slices] = torch.where(met, (mean - here).abs().sum(1, keepdim=True) / 2, disagreement[slices])
        total[slices] += here * towards
        weight[slices] += towards
    for s in sources:
        total[s], weight[s] = filled[s][0], filled[s][0].sum(0, keepdim=True)
    found = _finish(total, weight, disagreement, start, known[:, None])
    refined = _refine(hop, found.probabilities, weight > _LEAST_REACHED, start, known[:, None], sweeps=sweeps)
    if ends and not should_stop():
        left = refined[:, 1:] * presence(features, refined.argmax(1), labels, n_classes)
        refined = torch.where(known[:, None], refined, torch.cat([1 - left.sum(1, keepdim=True), left], dim=1))
    return Propagation(refined, found.weight)


def temperature_for(features: FeaturesOf, labels: torch.Tensor, window: int) -> float:
    """τ for a volume: a share of the usual distance of a pixel to its best match next door.

    In an image without noise a small difference tells tissues apart that in a noisy one is nothing.

    Args:
        features: see :data:`sslseg.pixel_features.FeaturesOf`.
        labels: as for :func:`propagate`.
        window: half the width in pixels of the neighbourhood in which the best match is searched.
    """
    usual = match_distance(features, labels, window)
    return min(max(_TEMPERATURE * usual, _LEAST_TEMPERATURE), _MOST_TEMPERATURE)


class _Hop:
    """One step of the labels from slices to others, for a batch of pairs."""

    def __init__(self, features: FeaturesOf, window: int, temperature: float, should_stop: ShouldStop) -> None:
        self.features = features
        self.window = window
        self.temperature = temperature
        self.should_stop = should_stop

    def __call__(self, origin: list[int], target: list[int], mass: torch.Tensor) -> torch.Tensor:
        """Move ``mass`` (pairs, classes, rows, columns), class probabilities times certainty, from origin to target.

        Nothing arrives any more once a stop is requested.
        """
        moved = torch.zeros_like(mass)
        for first in range(0, len(origin), _PAIRS):
            if self.should_stop():
                break
            part = slice(first, first + _PAIRS)
            moved[part] = self._move([(origin[part], mass[part])], target[part])
        return moved

    def between(self, index: int, neighbours: list[int], probabilities: torch.Tensor) -> torch.Tensor:
        """What the ``neighbours`` of a slice say of it together, (1, classes, rows, columns)."""
        return self._move([([n], probabilities[n : n + 1]) for n in neighbours], [index])

    def _move(self, origins: list[tuple[list[int], torch.Tensor]], target: list[int]) -> torch.Tensor:
        """The mean over all origins and the whole window; only where one of them is not sure of the background."""
        area = _bounds([mass for _, mass in origins], self.window)
        first = origins[0][1]
        sums = first.new_zeros((len(first), first.shape[1] + 1, *(part.stop - part.start for part in area)))
        here = self.features(target)[(..., *area)]
        for indices, mass in origins:
            self._add(here, indices, mass, area, sums)
        moved = torch.zeros_like(first)
        moved[:, 0] = 1
        moved[(..., *area)] = sums[:, :-1] / sums[:, -1:]
        return moved

    def _add(
        self, here: torch.Tensor, origin: list[int], mass: torch.Tensor, area: tuple[slice, slice], sums: torch.Tensor
    ) -> None:
        """Add the weighted classes, and as a last channel the weights, of the windows of ``origin`` to ``sums``."""
        there = extend(self.features(origin), self.window)
        # Like the mass, the weights are 0 outside of the slice.
        padded = F.pad(torch.cat([mass, torch.ones_like(mass[:, :1])], dim=1), (self.window,) * 4)
        sigma = 2 / 3 * self.window
        for y in range(2 * self.window + 1):
            for x in range(2 * self.window + 1):
                distance = (y - self.window) ** 2 + (x - self.window) ** 2
                moved = (..., slice(area[0].start + y, area[0].stop + y), slice(area[1].start + x, area[1].stop + x))
                unlike = (here - there[moved]).square_().sum(1, keepdim=True)
                similarity = unlike.mul_(-0.5 / self.temperature).clamp_min_(_LEAST_SIMILAR)
                sums.addcmul_(similarity.sub_(distance / (2 * sigma**2)).exp_(), padded[moved])


def _bounds(masses: list[torch.Tensor], window: int) -> tuple[slice, slice]:
    """Rows and columns that anything but sure background can reach in one step."""
    unsure = torch.stack([(mass[:, 0] < _SURE).any(0) for mass in masses]).any(0)
    area = []
    for dimension, size in enumerate(unsure.shape):
        found = torch.nonzero(unsure.any(1 - dimension))[:, 0]
        start, stop = (int(found[0]) - window, int(found[-1]) + window + 1) if len(found) else (0, 0)
        area.append(slice(max(0, start), min(size, stop)))
    return area[0], area[1]


def _refine(  # noqa: PLR0913 - the state of a propagation
    hop: _Hop,
    probabilities: torch.Tensor,
    reached: torch.Tensor,
    start: torch.Tensor,
    known: torch.Tensor,
    *,
    sweeps: int,
) -> torch.Tensor:
    """Ask both neighbours of each slice together, slice after slice, there and back.

    The walks outward know one side only; this takes them towards the fixed point at which the classes of a pixel are
    the mean of those around it in both neighbours, as in a random walk that ends at annotated pixels (Grady, Random
    Walks for Image Segmentation, PAMI 2006).
    """
    unknown = [int(index) for index in torch.nonzero(~known.flatten(1).all(1))[:, 0]]
    probabilities = probabilities.clone()
    for sweep in range(sweeps):
        for index in unknown if sweep % 2 == 0 else unknown[::-1]:
            neighbours = [n for n in (index - 1, index + 1) if 0 <= n < len(start) and bool(reached[n].any())]
            if hop.should_stop():
                return probabilities
            if neighbours:
                found = hop.between(index, neighbours, probabilities)[0]
                probabilities[index] = torch.where(known[index], start[index], found)
    return probabilities


def _fill(hop: _Hop, index: int, mass: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Spread the labels of a partly annotated slice over its other pixels; (1, classes, rows, columns)."""
    if bool(known.all()):
        return mass
    annotated = mass
    for _ in range(_FILL_HOPS):
        mass = torch.where(known, annotated, hop([index], [index], mass))
    return mass


def _chains(
    hop: _Hop, filled: dict[int, torch.Tensor], sources: list[int], n_slices: int
) -> Iterator[tuple[torch.Tensor, list[int], int]]:
    """Walk outward from all annotated slices at once, each way to the next annotated slice or the end.

    Yields (mass, slices, distance): what reached which slices after ``distance`` steps. No slice is named twice in one
    yield, because two walks may meet in one slice after as many steps.
    """
    walks = [(s, step) for s in sources for step in (-1, 1)]
    mass = {walk: filled[walk[0]] for walk in walks}
    for distance in range(1, n_slices):
        walks = [w for w in walks if 0 <= w[0] + w[1] * distance < n_slices and w[0] + w[1] * distance not in filled]
        if not walks:
            return
        targets = [s + step * distance for s, step in walks]
        origins = [t - step for t, (_, step) in zip(targets, walks, strict=True)]
        moved = hop(origins, targets, torch.cat([mass[w] for w in walks]))
        mass = {walk: moved[i : i + 1] for i, walk in enumerate(walks)}
        for way in (-1, 1):
            chosen = [i for i, (_, step) in enumerate(walks) if step == way]
            if chosen:
                yield moved[chosen], [targets[i] for i in chosen], distance


def _finish(
    total: torch.Tensor, weight: torch.Tensor, disagreement: torch.Tensor, start: torch.Tensor, known: torch.Tensor
) -> Propagation:
    """Divide by the weights; where nothing arrived it is background that nobody should trust."""
    reached = weight > _LEAST_REACHED
    nothing = torch.zeros_like(total)
    nothing[:, 0] = 1
    probabilities = torch.where(reached, total / weight.clamp_min(_EPSILON), nothing)
    trust = weight.clamp(0, 1) * (1 - disagreement.clamp(0, 1))
    return Propagation(
        torch.where(known, start, probabilities), torch.where(known, torch.ones_like(trust), trust * reached)
    )
