"""Pictures of a job as PNG files: curves of the training, and slices with what was predicted.

Drawn by matplotlib without a window system or OpenGL. Slices are shown as a radiologist hangs them: the patient's
right on the left, anterior or superior on top; letters at the edges say which side is which.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, permutations
from typing import TypeAlias

import numpy as np
from contourpy import contour_generator
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from sslseg.annotation import IGNORE, Segment, check_slices, slice_index
from sslseg.files import atomic_path
from sslseg.geometry import Geometry
from sslseg.metrics import dice_per_class, mean_dice
from sslseg.progress import Progress
from sslseg.volume import Volume

_DARK, _LIGHT, _GREY = "#14161a", "#f2f2f2", "#9aa0a8"
_LOSS, _DICE, _STAGES = "#c2452d", "#1f6fb2", ("#eef2f7", "#dde6f0")
_DASHES = (0, (3, 2))
_LEGEND_ENTRIES = 24
_PANEL_INCHES = 4.2
_SHEET_INCHES = 2.3

Frame: TypeAlias = tuple[slice, slice]
"""Rows and columns of a displayed slice that are shown."""


@dataclass(frozen=True)
class SliceView:
    """How slices along one array axis are turned for display.

    Attributes:
        transpose: rows and columns change places first.
        flip_rows: then the rows are reversed.
        flip_columns: and the columns.
        pixel_mm: (height, width) of a displayed pixel.
        letters: patient sides at the (left, right, top, bottom) edge: R L A P S I.
    """

    transpose: bool
    flip_rows: bool
    flip_columns: bool
    pixel_mm: tuple[float, float]
    letters: tuple[str, str, str, str]

    @classmethod
    def of(cls, geometry: Geometry, axis: int) -> SliceView:
        """The view along array axis ``axis``; an oblique axis counts as the patient axis it is nearest to."""
        to_patient = _patient_axes(geometry)
        across = {0: (1, 2), 1: (0, 2), 2: (0, 1)}[to_patient[axis]]  # (horizontal, vertical) as L, P, S = 0, 1, 2
        by_patient = {patient: array for array, patient in enumerate(to_patient)}
        column, row = (by_patient[patient] for patient in across)
        direction = np.reshape(geometry.direction, (3, 3))
        signs = [direction[patient, 2 - array] > 0 for patient, array in zip(across, (column, row), strict=True)]
        down = across[1] == 1  # posterior lies at the bottom, but inferior does: against S
        horizontal, vertical = ("RL", "AP")[across[0]], "AP" if down else "SI"
        return cls(
            transpose=row > column,
            flip_rows=bool(signs[1] != down),
            flip_columns=not signs[0],
            pixel_mm=(geometry.spacing[2 - row], geometry.spacing[2 - column]),
            letters=(horizontal[0], horizontal[1], vertical[0], vertical[1]),
        )

    def show(self, pixels: np.ndarray) -> np.ndarray:
        """A (rows, columns) slice of the array, as it is displayed: first row on top."""
        turned = pixels.T if self.transpose else pixels
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


@dataclass(frozen=True)
class Overlay:
    """What is shown over the slices of a volume.

    Attributes:
        volume: the image.
        prediction: uint8 (K, J, I) class indices.
        segments: the foreground classes.
        axis: array axis along which slices are shown.
        reference: class indices as dashed outlines, ``IGNORE`` where unknown; with it titles carry a Dice.
        uncertainty: float32 (K, J, I), 0..1: a second panel.
        annotated: indices of the slices that were annotated for training; titles say so.
    """

    volume: Volume
    prediction: np.ndarray
    segments: Sequence[Segment]
    axis: int = 0
    reference: np.ndarray | None = None
    uncertainty: np.ndarray | None = None
    annotated: Sequence[int] = field(default=())

    @cached_property
    def view(self) -> SliceView:
        """How the slices are turned."""
        return SliceView.of(self.volume.geometry, self.axis)

    @cached_property
    def window(self) -> tuple[float, float]:
        """The grey values shown as black and white: the 1st and 99.5th percentile of a sample of the volume."""
        values = self.volume.array.ravel()
        values = values[:: 1 + values.size // 1_000_000]
        low, high = np.percentile(values[np.isfinite(values)], (1, 99.5))
        return float(low), float(max(high, low + 1e-6))

    @cached_property
    def whole(self) -> Frame:
        """All of a displayed slice."""
        height, width = self.picture(self.prediction, 0).shape
        return slice(0, height), slice(0, width)

    @cached_property
    def structures(self) -> Frame:
        """The part of the displayed slices that holds every structure, with a margin; all of it where there is none."""
        drawn = self.prediction > 0
        if self.reference is not None:
            drawn = drawn | ((self.reference > 0) & (self.reference != IGNORE))
        seen = self.view.show(np.any(drawn, axis=self.axis))
        if not seen.any():
            return self.whole
        return _with_margin(np.any(seen, axis=1)), _with_margin(np.any(seen, axis=0))

    def picture(self, array: np.ndarray, index: int) -> np.ndarray:
        """Slice ``index`` of ``array``, turned for display."""
        return self.view.show(array[slice_index(index, self.axis)])

    def title(self, index: int) -> str:
        """The slice, whether it was annotated, and its mean Dice where there is a reference."""
        parts = [f"Slice {index}"]
        if index in self.annotated:
            parts.append("annotated")
        if self.reference is not None:
            picked = slice_index(index, self.axis)
            dice = mean_dice(dice_per_class(self.prediction[picked], self.reference[picked], len(self.segments) + 1))
            parts.append("no structure" if math.isnan(dice) else f"Dice {dice:.2f}")
        return " · ".join(parts)


def overlay_png(overlay: Overlay, index: int, path: str | os.PathLike[str]) -> None:
    """Draw one slice with the prediction, and its uncertainty beside it where there is one.

    Raises:
        InputError: a slice that the volume does not have.
        OutputError: the file could not be written.
    """
    check_slices([index], overlay.prediction.shape, overlay.axis)
    panels = 1 if overlay.uncertainty is None else 2
    figure = _dark_figure(overlay, overlay.whole, (1, panels), _PANEL_INCHES)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_image(axes[0], overlay, index, overlay.whole)
    _draw_structures(axes[0], overlay, index)
    axes[0].set_title(overlay.title(index), color=_LIGHT, fontsize=11)
    if overlay.uncertainty is not None:
        _draw_image(axes[1], overlay, index, overlay.whole)
        _draw_uncertainty(axes[1], overlay.picture(overlay.uncertainty, index))
        axes[1].set_title("Uncertainty", color=_LIGHT, fontsize=11)
    _add_legend(figure, overlay, [index])
    _save(figure, path)


def contact_sheet_png(overlay: Overlay, indices: Sequence[int], path: str | os.PathLike[str]) -> None:
    """Draw the structures in several slices on one sheet, in the order of ``indices``.

    Raises:
        InputError: no slice, or one that the volume does not have.
        OutputError: the file could not be written.
    """
    check_slices(indices, overlay.prediction.shape, overlay.axis)
    columns = min(len(indices), min((3, 4, 5, 6), key=lambda n: (-len(indices) % n, abs(n - 4))))  # few empty places
    rows = math.ceil(len(indices) / columns)
    figure = _dark_figure(overlay, overlay.structures, (rows, columns), _SHEET_INCHES)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, index in zip(cells, indices, strict=False):
        _draw_image(axes, overlay, index, overlay.structures)
        _draw_structures(axes, overlay, index)
        axes.set_title(overlay.title(index), color=_LIGHT, fontsize=8)
    for axes in cells[len(indices) :]:
        axes.set_axis_off()
    _add_legend(figure, overlay, indices)
    _save(figure, path)


def curves_png(history: Sequence[Progress], path: str | os.PathLike[str]) -> None:
    """Draw loss and training Dice over the steps of a training, its stages shaded and named.

    Args:
        history: the reports of a training in order; those with neither loss nor Dice are left out.
        path: the PNG to write.

    Raises:
        OutputError: the file could not be written.
    """
    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    loss_axes, dice_axes = figure.subplots(2, 1, sharex=True)
    steps, reports = [], []
    for number, (stage, first, last, items) in enumerate(_stages(history)):
        for axes in (loss_axes, dice_axes):
            axes.axvspan(first, last, color=_STAGES[number % 2], linewidth=0, zorder=0)
        loss_axes.annotate(  # on two levels, so that the names of short stages stay apart
            stage, (first, 1), (2, 3 + 11 * (number % 2)), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="left", va="bottom", fontsize=9, color="#44505c",
        )  # fmt: skip
        steps += [first + item.step for item in items]
        reports += items
    _draw_curve(loss_axes, steps, [item.loss for item in reports], "Loss", _LOSS)
    _draw_curve(dice_axes, steps, [item.dice for item in reports], "Dice (annotated slices)", _DICE)
    dice_axes.set_ylim(0, 1.02)
    dice_axes.set_xlabel("Step")
    if steps:
        dice_axes.set_xlim(0, max(1, *steps))
    figure.suptitle("Training", x=0.01, ha="left", fontsize=12, fontweight="bold")
    _save(figure, path)


def _patient_axes(geometry: Geometry) -> tuple[int, int, int]:
    """For each array axis (K, J, I) the patient axis (0 = L, 1 = P, 2 = S) it runs along, each used once."""
    share = np.abs(np.reshape(geometry.direction, (3, 3)))[:, ::-1]  # [patient axis, array axis]
    k, j, i = max(permutations(range(3)), key=lambda order: share[list(order), range(3)].sum())
    return k, j, i


def _with_margin(inside: np.ndarray) -> slice:
    """The range of True in a profile, widened on either side by a quarter of its length to show what is around."""
    where = np.flatnonzero(inside)
    margin = (int(where[-1]) - int(where[0])) // 4 + 8
    return slice(max(0, int(where[0]) - margin), min(len(inside), int(where[-1]) + 1 + margin))


def _dark_figure(overlay: Overlay, frame: Frame, grid: tuple[int, int], inches: float) -> Figure:
    """A figure for (rows, columns) pictures of ``frame``, each ``inches`` wide."""
    height, width = ((side.stop - side.start) * mm for side, mm in zip(frame, overlay.view.pixel_mm, strict=True))
    size = (grid[1] * inches, grid[0] * (inches * float(np.clip(height / width, 0.2, 4)) + 0.3) + 0.3)
    return Figure(figsize=size, dpi=130, facecolor=_DARK, layout="compressed")


def _draw_image(axes: Axes, overlay: Overlay, index: int, frame: Frame) -> None:
    rows, columns = frame
    low, high = overlay.window
    pixels = overlay.picture(overlay.volume.array, index)
    axes.imshow(pixels, cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
    axes.set(xlim=(columns.start - 0.5, columns.stop - 0.5), ylim=(rows.stop - 0.5, rows.start - 0.5))
    axes.set_aspect(overlay.view.pixel_mm[0] / overlay.view.pixel_mm[1])
    axes.set_autoscale_on(False)  # what is drawn on top must not move the frame
    axes.set_axis_off()
    places = ((0.01, 0.5), (0.99, 0.5), (0.5, 0.99), (0.5, 0.01))
    alignments = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
    for letter, place, (horizontal, vertical) in zip(overlay.view.letters, places, alignments, strict=True):
        text = axes.text(*place, letter, transform=axes.transAxes, ha=horizontal, va=vertical, color=_LIGHT, fontsize=7)
        text.set_path_effects([withStroke(linewidth=1.5, foreground=_DARK)])


def _draw_structures(axes: Axes, overlay: Overlay, index: int) -> None:
    prediction = _closed(overlay.picture(overlay.prediction, index))
    rows, columns = (np.arange(n) - 1 for n in prediction.shape)
    for label, segment in enumerate(overlay.segments, start=1):
        mask = (prediction == label).astype(float)
        if mask.any():
            axes.contourf(columns, rows, mask, levels=[0.5, 1.5], colors=[segment.color], alpha=0.35)
            axes.contour(columns, rows, mask, levels=[0.5], colors=[segment.color], linewidths=1.0)
    if overlay.reference is not None:
        for x, y in _borders(_closed(overlay.picture(overlay.reference, index)), len(overlay.segments)):
            axes.plot(x, y, color=_LIGHT, linestyle=_DASHES, linewidth=1.0)


def _closed(labels: np.ndarray) -> np.ndarray:
    """``labels`` with a frame of background, which closes the outlines at the edge of the image."""
    return np.pad(labels, 1)


def _borders(labels: np.ndarray, n_segments: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(x, y) of the outlines in a closed label map; one that two segments share comes once, or dashes would fill up."""
    for label in range(1, n_segments + 1):
        for line in contour_generator(z=(labels == label).astype(float)).lines(0.5):
            x, y = np.asarray(line).T
            ends = [labels[rounded(y).astype(int), rounded(x).astype(int)] for rounded in (np.floor, np.ceil)]
            other = np.where(ends[0] == label, ends[1], ends[0])
            shared = (other > 0) & (other < label)
            yield np.where(shared, np.nan, x - 1), np.where(shared, np.nan, y - 1)


def _draw_uncertainty(axes: Axes, shown: np.ndarray) -> None:
    """Colour over the image, the stronger the less sure; with its scale."""
    alpha = np.clip(1.5 * shown, 0, 0.9)
    axes.imshow(shown, cmap="inferno", vmin=0, vmax=1, alpha=alpha, aspect=axes.get_aspect())
    scale = axes.inset_axes((1.02, 0.1, 0.03, 0.8))
    bar = axes.figure.colorbar(ScalarMappable(Normalize(0, 1), "inferno"), cax=scale)
    bar.ax.tick_params(colors=_LIGHT, labelsize=7)
    bar.outline.set_visible(False)


def _add_legend(figure: Figure, overlay: Overlay, indices: Sequence[int]) -> None:
    """Name the segments that are seen, below the pictures."""
    arrays = [array for array in (overlay.prediction, overlay.reference) if array is not None]
    picked = slice_index(list(indices), overlay.axis)
    seen = sorted({int(label) for array in arrays for label in np.unique(array[picked])} - {0, IGNORE})
    names = [_shortened(overlay.segments[label - 1].name) for label in seen[:_LEGEND_ENTRIES]]
    handles: list[Artist] = [
        Patch(facecolor=(*overlay.segments[label - 1].color, 0.5), edgecolor=overlay.segments[label - 1].color)
        for label in seen[:_LEGEND_ENTRIES]
    ]
    if len(seen) > _LEGEND_ENTRIES:
        names.append(f"and {len(seen) - _LEGEND_ENTRIES} more")
        handles.append(Patch(facecolor="none"))
    if overlay.reference is not None:
        names.append("reference")
        handles.append(Line2D([], [], color=_LIGHT, linestyle=_DASHES, linewidth=1.2))
    if not names:
        return
    columns = min(len(names), max(1, int(figure.get_figwidth() * 11 / (max(map(len, names)) + 6))))
    figure.set_figheight(figure.get_figheight() + 0.19 * math.ceil(len(names) / columns))
    legend = figure.legend(
        handles, [str(number) for number in range(len(names))], loc="outside lower center", frameon=False, fontsize=8,
        labelcolor=_LIGHT, ncols=columns,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)  # names are the user's: "$" and a leading "_" mean nothing here
        text.set_text(name)


def _shortened(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:31]}…"


def _stages(history: Sequence[Progress]) -> Iterator[tuple[str, int, int, list[Progress]]]:
    """(stage, first step, last step, reports) of each stage of a training, steps counted over all stages."""
    first = 0
    trained = (item for item in history if item.loss is not None or item.dice is not None)
    for stage, group in groupby(trained, key=lambda item: item.stage):
        items = list(group)
        last = first + max(item.step for item in items)
        yield stage, first, last, items
        first = last


def _draw_curve(axes: Axes, steps: Sequence[int], values: Sequence[float | None], name: str, color: str) -> None:
    points = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
    if points:
        axes.plot(*zip(*points, strict=True), color=color, linewidth=1.6, marker="o" if len(points) < 10 else "")
    else:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=_GREY)
    axes.set_ylabel(name)
    axes.grid(visible=True, color="#ffffff", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", facecolor=figure.get_facecolor(), bbox_inches="tight", pad_inches=0.08)
