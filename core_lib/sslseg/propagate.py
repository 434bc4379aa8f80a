"""Labels travel from slice to slice: each pixel takes the classes of the most similar pixels near it next door.

From an annotated slice outward, the class probabilities of a pixel are the mean of those in a window of the slice
before, weighted by the similarity of pixel features and by nearness:

    w(p, q) = exp(-|f(p) - f(q)|² / (2 τ) - |p - q|² / (2 σ²))

τ follows the noise of the volume. For features of unit length the first term is (cosine - 1) / τ, the similarity of
Jabri et al., Space-Time Correspondence as a Contrastive Random Walk (NeurIPS 2020). It is bounded from below, so that a
pixel that resembles none in the window follows the nearest ones. What comes from both sides is blended by how well it
matched on its way, and by how far it came. Afterwards the two neighbours of each slice are asked together, and
structures that have ended give way to the background (:mod:`sslseg.presence`). Nothing is trained, and it is the
teacher of the training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE
from sslseg.pixel_features import FeaturesOf, extend, match_distance
from sslseg.presence import presence
from sslseg.progress import ShouldStop, never_stop

SWEEPS = 2
"""Passes, there and back, in which both neighbours of each slice are asked together."""

_TEMPERATURE, _LEAST_TEMPERATURE, _MOST_TEMPERATURE = 0.4, 0.003, 0.2  # see temperature_for
_USUAL_TEMPERATURE = 0.03  # where there is nothing to measure it by
_Area = tuple[slice, slice]  # rows and columns
_EPSILON = 1e-35
_USUAL_MISMATCH = 0.75  # quantile of the first steps; what is below costs nothing
_MOST_MISMATCH = 50.0  # of a walk; a float holds its exponential
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
    if bool(known.all()):
        return Propagation(start, torch.ones_like(start[:, :1]))
    if temperature is None:
        temperature = temperature_for(features, labels, window)
    hop = _Hop(features, window, temperature, should_stop)
    sources = [int(s) for s in torch.nonzero(known.flatten(1).any(1))[:, 0]]
    filled = {s: _fill(hop, s, start[s : s + 1], known[s : s + 1, None]) for s in sources}

    blend = _Blend(start)
    for arrival in _chains(hop, filled, len(labels)):
        blend.add(arrival)
    for s, mass in filled.items():
        blend.replace(s, mass)
    found = blend.finish(known[:, None])
    refined = _refine(hop, found.probabilities, blend.reached, start, known[:, None], sweeps=sweeps)
    if ends and not should_stop():
        structures = refined[:, 1:]
        before = structures.sum(1, keepdim=True)
        structures *= presence(features, refined.argmax(1), labels, n_classes)
        refined[:, :1] += before - structures.sum(1, keepdim=True)  # not 1 - the rest, which rounds below 0
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
    if usual is None:
        return _USUAL_TEMPERATURE
    return min(max(_TEMPERATURE * usual, _LEAST_TEMPERATURE), _MOST_TEMPERATURE)


class _Hop:
    """One step of the labels from slices to others, for a batch of pairs."""

    def __init__(self, features: FeaturesOf, window: int, temperature: float, should_stop: ShouldStop) -> None:
        self.features = features
        self.window = window
        self.sigma = 2 / 3 * window
        self.temperature = temperature
        self.should_stop = should_stop

    def __call__(
        self, origin: list[int], target: list[int], mass: torch.Tensor, area: _Area
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Move ``mass`` (pairs, channels, rows, columns) from origin to target.

        The channels are classes, their probabilities times certainty, and what else travels with them. Outside of the
        ``area`` all is background. Nothing arrives any more once a stop is requested.

        Returns:
            What arrived, and (pairs, 1, rows, columns) how little the pixels there resemble those it came from: minus
            the logarithm of their mean similarity, 0 to 20; 0 outside of the area.
        """
        moved, mismatch = torch.zeros_like(mass), torch.zeros_like(mass[:, :1])
        alike = self._nearness(mass.shape[-2:], mass.device)[area]
        for first in range(0, len(origin), _PAIRS):
            if self.should_stop():
                break
            part = slice(first, first + _PAIRS)
            moved[part], similar = self._move([(origin[part], mass[part])], target[part], area)
            mismatch[(part, slice(None), *area)] = (alike / similar).log().clamp_min_(0)
        return moved, mismatch

    def between(self, index: int, neighbours: list[int], probabilities: torch.Tensor) -> torch.Tensor:
        """What the ``neighbours`` of a slice say of it together, (1, classes, rows, columns)."""
        area = _reach(_unsure(probabilities[neighbours]), self.window)
        return self._move([([n], probabilities[n : n + 1]) for n in neighbours], [index], area)[0]

    def _move(
        self, origins: list[tuple[list[int], torch.Tensor]], target: list[int], area: _Area
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean over all origins and the whole window, and the sum of the weights in the area; only there."""
        first = origins[0][1]
        sums = first.new_zeros((len(first), first.shape[1] + 1, *(part.stop - part.start for part in area)))
        here = self.features(target)[(..., *area)]
        for indices, mass in origins:
            self._add(here, indices, mass, area, sums)
        moved = torch.zeros_like(first)
        moved[:, 0] = 1
        moved[(..., *area)] = sums[:, :-1] / sums[:, -1:]
        return moved, sums[:, -1:]

    def _nearness(self, size: torch.Size, device: torch.device) -> torch.Tensor:
        """What the weights of the pixels of a window add up to where all are alike, (rows, columns)."""
        offsets = torch.arange(-self.window, self.window + 1, device=device)
        kernel = torch.exp(-(offsets**2) / (2 * self.sigma**2))[None, None]
        rows, columns = (F.conv1d(kernel.new_ones(1, 1, n), kernel, padding=self.window)[0, 0] for n in size)
        return rows[:, None] * columns

    def _add(self, here: torch.Tensor, origin: list[int], mass: torch.Tensor, area: _Area, sums: torch.Tensor) -> None:
        """Add the weighted classes, and as a last channel the weights, of the windows of ``origin`` to ``sums``."""
        there = extend(self.features(origin), self.window)
        # Like the mass, the weights are 0 outside of the slice.
        padded = F.pad(torch.cat([mass, torch.ones_like(mass[:, :1])], dim=1), (self.window,) * 4)
        for y in range(2 * self.window + 1):
            for x in range(2 * self.window + 1):
                distance = (y - self.window) ** 2 + (x - self.window) ** 2
                moved = (..., slice(area[0].start + y, area[0].stop + y), slice(area[1].start + x, area[1].stop + x))
                unlike = (here - there[moved]).square_().sum(1, keepdim=True)
                similarity = unlike.mul_(-0.5 / self.temperature).clamp_min_(_LEAST_SIMILAR)
                sums.addcmul_(similarity.sub_(distance / (2 * self.sigma**2)).exp_(), padded[moved])


def _unsure(mass: torch.Tensor) -> torch.Tensor:
    """Where any of the slices (n, channels, rows, columns) is not sure of the background, (rows, columns)."""
    return (mass[:, 0] < _SURE).any(0)


def _reach(unsure: torch.Tensor, window: int) -> _Area:
    """Rows and columns that anything but sure background can reach in one step."""
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
        mass = torch.where(known, annotated, hop([index], [index], mass, _reach(_unsure(mass), hop.window))[0])
    return mass


def _usual(mismatch: torch.Tensor) -> float:
    """What a step costs that is no worse than most, from that of all pixels (walks, 1, rows, columns)."""
    if not mismatch.numel():
        return 0.0
    each = [walk.quantile(_USUAL_MISMATCH) for walk in mismatch]  # of all walks at once it refuses many pixels
    return float(torch.stack(each).median())


@dataclass(frozen=True)
class _Arrival:
    """What walks of the same length brought to different slices.

    Attributes:
        slices: where they are.
        distance: their steps.
        mass: (slices, classes, rows, columns).
        mismatch: (slices, 1, rows, columns), what exceeds that of a usual step, added up over the steps.
    """

    slices: list[int]
    distance: int
    mass: torch.Tensor
    mismatch: torch.Tensor


def _chains(hop: _Hop, filled: dict[int, torch.Tensor], n_slices: int) -> Iterator[_Arrival]:
    """Walk outward from all annotated slices at once, each way to the next annotated slice or the end.

    No slice is named twice in one arrival, because two walks may meet in one slice after as many steps.
    """
    walks = [(s, step) for s in filled for step in (-1, 1)]
    state = {walk: F.pad(filled[walk[0]], (0, 0, 0, 0, 0, 1)) for walk in walks}  # the mismatch is the last channel
    usual = 0.0
    unsure = torch.tensor(False)
    for distance in range(1, n_slices):
        walks = [w for w in walks if 0 <= w[0] + w[1] * distance < n_slices and w[0] + w[1] * distance not in filled]
        if not walks:
            return
        targets = [s + step * distance for s, step in walks]
        origins = [t - step for t, (_, step) in zip(targets, walks, strict=True)]
        mass = torch.cat([state[w] for w in walks])
        unsure = unsure | _unsure(mass)  # one area for all, which never shrinks: walks that meet have the same history
        area = _reach(unsure, hop.window)
        moved, mismatch = hop(origins, targets, mass, area)
        if distance == 1:
            usual = _usual(mismatch[(..., *area)])
        moved[:, -1:] += (mismatch - usual).clamp_min_(0)
        state = {walk: moved[i : i + 1] for i, walk in enumerate(walks)}
        for way in (-1, 1):
            chosen = [i for i, (_, step) in enumerate(walks) if step == way]
            if chosen:
                yield _Arrival([targets[i] for i in chosen], distance, moved[chosen, :-1], moved[chosen, -1:])


class _Blend:
    """What the walks say of each slice, weighted by how well they matched on their way and by its length.

    A walk that had to take muscle for bone somewhere counts less than the one from the other side that saw bone only:
    so a structure that ends between two annotated slices ends where it does, not half-way.
    """

    def __init__(self, start: torch.Tensor) -> None:
        self.start = start
        self.total = torch.zeros_like(start)
        self.share = torch.zeros_like(start[:, :1])
        self.weight = torch.zeros_like(self.share)
        self.disagreement = torch.zeros_like(self.share)

    def add(self, arrival: _Arrival) -> None:
        """Take in what reached some slices."""
        slices = arrival.slices
        certainty = arrival.mass.sum(1, keepdim=True)
        here = arrival.mass / certainty.clamp_min(_EPSILON)
        mean = self.total[slices] / self.share[slices].clamp_min(_EPSILON)
        met = (self.weight[slices] > _LEAST_REACHED) & (certainty > _LEAST_REACHED)
        unlike = (mean - here).abs().sum(1, keepdim=True) / 2
        self.disagreement[slices] = torch.where(met, unlike, self.disagreement[slices])
        towards = certainty / arrival.distance
        share = towards * torch.exp(-arrival.mismatch.clamp_max(_MOST_MISMATCH))
        self.total[slices] += here * share
        self.share[slices] += share
        self.weight[slices] += towards

    def replace(self, index: int, mass: torch.Tensor) -> None:
        """Take an annotated slice, its labels spread over it."""
        self.total[index] = mass[0]
        self.share[index] = self.weight[index] = mass[0].sum(0, keepdim=True)

    @property
    def reached(self) -> torch.Tensor:
        """Where anything arrived, bool (slices, 1, rows, columns)."""
        return self.weight > _LEAST_REACHED

    def finish(self, known: torch.Tensor) -> Propagation:
        """Divide by the weights; where nothing arrived it is background that nobody should trust."""
        nothing = torch.zeros_like(self.total)
        nothing[:, 0] = 1
        probabilities = torch.where(self.reached, self.total / self.share.clamp_min(_EPSILON), nothing)
        trust = self.weight.clamp(0, 1) * (1 - self.disagreement.clamp(0, 1)) * self.reached
        return Propagation(
            torch.where(known, self.start, probabilities), torch.where(known, torch.ones_like(trust), trust)
        )
