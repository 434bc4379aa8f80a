"""What the user knows of a volume: classes where voxels are annotated, ``IGNORE`` everywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sslseg.errors import InputError
from sslseg.geometry import AXIS_NAMES, Geometry, other_axes

IGNORE = 255
"""Label of a voxel about which nothing is known. Not annotated is not background."""

MAX_CLASSES = 254

_COLORS = (
    (0.90, 0.29, 0.24), (0.18, 0.62, 0.87), (0.95, 0.77, 0.06), (0.24, 0.72, 0.44), (0.61, 0.35, 0.71),
    (0.95, 0.50, 0.14), (0.10, 0.74, 0.71), (0.91, 0.46, 0.66), (0.55, 0.43, 0.33), (0.50, 0.55, 0.60),
)  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """One foreground class, as Slicer names it.

    Attributes:
        name: shown to the user.
        color: red, green, blue, each in [0, 1].
        label_value: the value that stands for it in label-map files (1..254).
        segment_id: Slicer's id; kept in .seg.nrrd files.
        terminology: Slicer's serialised terminology entry, kept as it is; empty where unknown.
    """

    name: str
    color: tuple[float, float, float]
    label_value: int
    segment_id: str = ""
    terminology: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``Segment.from_dict`` is the way back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Segment:
        """A segment from what :meth:`as_dict` gave, also after it went through JSON."""
        return cls(**{**values, "color": tuple(values["color"])})


def default_segments(label_values: Iterable[int]) -> tuple[Segment, ...]:
    """Names and colours for label values of a plain label map, which carries neither."""
    return tuple(
        Segment(f"Segment_{value}", _COLORS[index % len(_COLORS)], int(value), f"Segment_{value}")
        for index, value in enumerate(sorted(label_values))
    )


@dataclass
class Annotation:
    """A label map with ``IGNORE`` where nothing is known.

    Whole slices, parts of slices and scribbles are all the same thing here: voxels that are not ``IGNORE``.

    Attributes:
        labels: uint8 (K, J, I); 0 = background, c = ``segments[c - 1]``, 255 = not annotated.
        geometry: the grid of ``labels``.
        segments: the foreground classes, in class order.
    """

    labels: np.ndarray
    geometry: Geometry
    segments: tuple[Segment, ...] = field(default=())

    @property
    def n_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.segments) + 1

    @property
    def known(self) -> np.ndarray:
        """The annotated voxels, bool (K, J, I)."""
        return self.labels != IGNORE

    def annotated_slices(self, axis: int) -> list[int]:
        """Indices along array axis ``axis`` of the slices that hold at least one annotated voxel.

        A slice that was looked at and is empty counts: its voxels are 0, not ``IGNORE``.
        """
        return slices_with(self.known, axis)

    def empty_slices(self, axis: int) -> list[int]:
        """The annotated slices in which no foreground was found."""
        foreground = set(slices_with(self.known & (self.labels > 0), axis))
        return [i for i in self.annotated_slices(axis) if i not in foreground]

    def restricted_to(self, slices: Sequence[int], axis: int) -> Annotation:
        """The same annotation with everything outside ``slices`` forgotten.

        Raises:
            InputError: a slice index that the volume does not have, or no slice at all.
        """
        check_slices(slices, self.labels.shape, axis)
        labels = np.full_like(self.labels, IGNORE)
        index = slice_index(sorted(set(slices)), axis)
        labels[index] = self.labels[index]
        return Annotation(labels, self.geometry, self.segments)

    def best_axis(self) -> int:
        """The axis along whose slices the annotation was drawn, see :func:`drawn_axis`."""
        return drawn_axis(self.known, self.geometry)

    def require_annotated(self, name: str = "The annotation") -> None:
        """Raise :class:`InputError` unless at least one voxel and one class are annotated."""
        if not self.known.any():
            raise InputError(
                f"{name} has no annotated slice: annotate at least one, or name the annotated ones with --slices."
            )
        if not (self.known & (self.labels > 0)).any():
            raise InputError(f"{name} holds only background: draw at least one structure on one slice.")


def drawn_axis(mask: np.ndarray, geometry: Geometry) -> int:
    """The array axis along whose slices ``mask`` was drawn.

    That is the axis along which slices are either full or empty, where whole slices are marked. Otherwise the one along
    which the mask ends most abruptly: beside a painted slice lies an untouched one, whereas in its own plane a
    structure tapers off. Where nothing decides (everything or nothing marked), the coarsest spacing does.

    Args:
        mask: bool (K, J, I), the annotated voxels, or the labelled ones.
        geometry: its grid.
    """

    def abruptness(axis: int) -> float:
        area = np.count_nonzero(mask, axis=other_axes(axis))
        if area.any() and np.isin(area, (0, mask.size // mask.shape[axis])).all():
            return np.inf
        around = np.pad(area, 1)
        ends = np.diff(around > 0)
        return float(np.abs(np.diff(around))[ends].sum())

    preferred = geometry.default_axis()
    if mask.all():
        return preferred
    found = [abruptness(axis) for axis in range(3)]
    return max(range(3), key=lambda axis: (found[axis], axis == preferred, -axis))


def check_slices(slices: Sequence[int], shape: tuple[int, ...], axis: int) -> None:
    """Raise :class:`InputError` for an empty list or an index outside ``shape[axis]``."""
    if len(slices) == 0:
        raise InputError("No slice is named: give at least one annotated slice, for example --slices 3,7,12.")
    wrong = [i for i in slices if not 0 <= i < shape[axis]]
    if wrong:
        raise InputError(
            f"Slice {wrong[0]} does not exist: along axis {axis} ({AXIS_NAMES[axis]}) the volume has slices "
            f"0 to {shape[axis] - 1}, so name slices among these."
        )


def slice_index(slices: int | Sequence[int], axis: int) -> tuple:
    """An index expression that picks ``slices`` along ``axis`` of a (K, J, I) array."""
    picked = list(slices) if isinstance(slices, Iterable) else slices
    return tuple(picked if a == axis else slice(None) for a in range(3))


def slices_with(mask: np.ndarray, axis: int) -> list[int]:
    """Indices along array axis ``axis`` of the slices in which ``mask`` (K, J, I) is true anywhere."""
    return [int(i) for i in np.flatnonzero(mask.any(axis=other_axes(axis)))]
