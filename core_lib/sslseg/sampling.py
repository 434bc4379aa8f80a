"""Training patches from annotated and un-annotated slices of one or more volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sslseg.annotation import IGNORE, Annotation
from sslseg.augment import IntensityChange, SpatialRange, SpatialTransform, change_intensities
from sslseg.backbone import UNet
from sslseg.completion import Completion
from sslseg.errors import InputError
from sslseg.preparation import Preparation
from sslseg.progress import ShouldStop, never_stop
from sslseg.slices import InPlaneGrid, SliceStack, plane_of, take_slices
from sslseg.volume import Volume

_FOREGROUND_SHARE = 2 / 3  # of the patches are centred on foreground, as in nnU-Net (there: 1/3 at least)


@dataclass(frozen=True)
class Case:
    """One annotated volume.

    Attributes:
        volume: the image.
        annotation: on the grid of ``volume``.
        axis: array axis of the slices.
    """

    volume: Volume
    annotation: Annotation
    axis: int


def check_fits(annotation: Annotation, volume: Volume) -> None:
    """Raise :class:`InputError` unless ``annotation`` lies on the grid of ``volume`` and knows all its classes."""
    difference = volume.geometry.difference(annotation.geometry)
    if difference:
        raise InputError(f"The annotation of {volume.name} does not fit it: {difference}; draw it on this image.")
    highest = int(annotation.labels.max(initial=0, where=annotation.known))
    if highest >= annotation.n_classes:
        raise InputError(
            f"The annotation of {volume.name} holds class {highest} but names only {len(annotation.segments)}: "
            "name a segment for each class."
        )


@dataclass(frozen=True)
class Patches:
    """A batch on the device.

    Attributes:
        images: float32 (n, channels, rows, columns).
        labels: uint8 (n, rows, columns), ``IGNORE`` where nothing is annotated; None for un-annotated slices.
        probabilities: float32 (n, classes, rows, columns), the propagated labels of un-annotated slices, else None.
        weight: float32 (n, 1, rows, columns), how far to trust them, else None.
    """

    images: torch.Tensor
    labels: torch.Tensor | None = None
    probabilities: torch.Tensor | None = None
    weight: torch.Tensor | None = None

    def part(self, start: int, stop: int, device: torch.device) -> Patches:
        """Some of the patches, on ``device``."""
        fields = (self.images, self.labels, self.probabilities, self.weight)
        images, *rest = (None if f is None else f[start:stop].to(device) for f in fields)
        assert images is not None
        return Patches(images, *rest)


class PreparedCase:
    """A case as the training needs it: slices and labels on the model's grid, and labels that have travelled."""

    def __init__(self, case: Case, stack: SliceStack, completion: Completion | None) -> None:
        self.stack = stack
        self.completion = completion
        everything = range(case.volume.array.shape[case.axis])
        native = torch.from_numpy(take_slices(case.annotation.labels, everything, case.axis))
        self.labels = stack.grid.labels_to_model(native).to(stack.images.device)
        known = (native != IGNORE).flatten(1).any(1)
        self.annotated = torch.nonzero(known)[:, 0]
        self.others = torch.nonzero(~known)[:, 0]

    def to(self, device: torch.device) -> None:
        """Move everything to ``device``."""
        self.stack = self.stack.to(device)
        self.labels = self.labels.to(device)
        self.completion = self.completion.to(device) if self.completion else None


def prepare(  # noqa: PLR0913 - what is prepared, how, where and until when
    cases: Sequence[Case],
    max_pixels: int,
    spacing_mm: float | None,
    device: torch.device,
    *,
    backbone: UNet | None = None,
    preparation: Preparation | None = None,
    carry: bool = True,
    should_stop: ShouldStop = never_stop,
) -> list[PreparedCase]:
    """Resample and propagate every case.

    Args:
        cases: annotated volumes.
        max_pixels: see :meth:`InPlaneGrid.fit`.
        spacing_mm: see :meth:`InPlaneGrid.fit`.
        device: where all of it goes.
        backbone: pretrained, for the features that labels are propagated by; None: by intensities.
        preparation: what is known of the volumes already.
        carry: whether labels are propagated to the slices that are not annotated.
        should_stop: cuts the propagation short, nothing else.
    """
    preparation = preparation or Preparation(len(cases))
    prepared = []
    for case in cases:
        native, spacing = plane_of(case.volume, case.axis)
        grid = InPlaneGrid.fit(native, spacing, max_pixels=max_pixels, model_spacing_mm=spacing_mm)
        stack = preparation.slices(case.volume, case.axis, grid, device)
        completion = None
        if carry:
            completion = preparation.complete(
                case.volume, case.annotation, case.axis, device,
                backbone=backbone, model_spacing_mm=spacing_mm, should_stop=should_stop,
            )  # fmt: skip
        prepared.append(PreparedCase(case, stack, completion))
    return prepared


class PatchSampler:
    """Draws augmented patches, a batch from one case at a time.

    Args:
        cases: what to draw from.
        channels: of the images; more than one means neighbouring slices.
        patch: longest side of a patch in pixels.
        stride: of the backbone; sides of patches are multiples of it.
        generator: of the CPU.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], *, channels: int, patch: int, stride: int, generator: torch.Generator
    ) -> None:
        self._cases = cases
        self._channels = channels
        self._patch = patch
        self._stride = stride
        self._generator = generator
        self._spatial = SpatialRange()
        self._intensity = IntensityChange()

    def annotated(self, n: int) -> Patches:
        """``n`` patches of annotated slices, with their labels."""
        case = self._cases[self._draw(len(self._cases))]
        slices = case.annotated[torch.randint(len(case.annotated), (n,), generator=self._generator)]
        labels = case.labels[slices.to(case.labels.device)]
        view = self._view(case, (labels > 0) & (labels != IGNORE), labels != IGNORE)
        return Patches(self._images(case, slices, view), labels=view.warp_labels(labels))

    def propagated(self, n: int) -> Patches | None:
        """``n`` patches of un-annotated slices, with the labels that reached them; None for none."""
        case = self._cases[self._draw(len(self._cases))]
        if not n or case.completion is None or not len(case.others):
            return None
        slices = case.others[torch.randint(len(case.others), (n,), generator=self._generator)]
        chosen, to_model = slices.to(case.labels.device), case.stack.grid.images_to_model
        probabilities = to_model(case.completion.probabilities(chosen))
        weight = to_model(case.completion.weight(chosen))
        view = self._view(case, probabilities[:, 0] < 0.5, torch.ones_like(weight[:, 0], dtype=torch.bool))
        return Patches(
            self._images(case, slices, view), probabilities=view.warp(probabilities), weight=view.warp(weight)
        )

    def _images(self, case: PreparedCase, slices: torch.Tensor, view: SpatialTransform) -> torch.Tensor:
        images = case.stack.with_context(slices, self._channels)
        return change_intensities(view.warp(images), self._intensity, self._generator)

    def _view(self, case: PreparedCase, foreground: torch.Tensor, allowed: torch.Tensor) -> SpatialTransform:
        """Patches centred on foreground two times out of three, else anywhere allowed."""
        size = case.stack.grid.model
        centres = []
        for here, anywhere in zip(foreground.cpu(), allowed.cpu(), strict=True):
            on_foreground = torch.rand((), generator=self._generator) < _FOREGROUND_SHARE and bool(here.any())
            pixels = torch.nonzero(here if on_foreground else anywhere)
            centres.append(pixels[self._draw(len(pixels))])
        patch = [min(self._patch, -(-n // self._stride) * self._stride) for n in size]
        centre = _keep_inside(torch.stack(centres).float(), size, patch)
        view = SpatialTransform.random(centre, size, (patch[0], patch[1]), self._spatial, self._generator)
        return view.to(case.labels.device)

    def _draw(self, n: int) -> int:
        return int(torch.randint(n, (), generator=self._generator))


def _keep_inside(centres: torch.Tensor, size: tuple[int, int], patch: Sequence[int]) -> torch.Tensor:
    """Move the centres so that patches stay inside the slice, or are centred where they are larger than it."""
    half = torch.tensor(patch) / 2
    last = torch.tensor(size) - 1
    middle = last / 2
    return torch.minimum(torch.maximum(centres, torch.minimum(half, middle)), torch.maximum(last - half, middle))
