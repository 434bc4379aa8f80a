"""Tables and plots of benchmark results: means and spreads over draws."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from sslseg.benchmarks.environment import described
from sslseg.benchmarks.runs import Row
from sslseg.files import atomic_path

_PANEL_INCHES = (4.4, 3.6)
_COLUMNS = 4
_COLORS = ("#1f6fb2", "#c2452d", "#2e8b57", "#8a5fb0", "#c08a1a", "#4a4f57", "#2aa5a0", "#b0578d", "#7a5c3e", "#86a13a")


@dataclass(frozen=True)
class Summary:
    """Mean and spread of a number over draws.

    Attributes:
        mean: NaN where there is none.
        spread: sample standard deviation; NaN for fewer than two.
        count: how many.
    """

    mean: float
    spread: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Summary:
        """Of values, NaN left out."""
        known = [value for value in values if not math.isnan(value)]
        spread = statistics.stdev(known) if len(known) > 1 else math.nan
        return cls(statistics.fmean(known) if known else math.nan, spread, len(known))

    def text(self, digits: int = 3) -> str:
        """For a table: mean ± spread."""
        if not self.count:
            return "–"
        return f"{self.mean:.{digits}f}" + ("" if math.isnan(self.spread) else f" ± {self.spread:.{digits}f}")


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        name: for the legend.
        points: what is plotted, by place on the horizontal axis.
        color: number of its colour.
        dashed: how it is drawn.
    """

    name: str
    points: Mapping[int, Summary]
    color: int
    dashed: bool = False


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [list(header), ["---"] + ["---:"] * (len(header) - 1), *([*row] for row in rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def draws_text(draws: int) -> str:
    """Which draws there are."""
    return f"draws 0 to {draws - 1}" if draws > 1 else "draw 0"


def provenance(rows: Sequence[Row]) -> str:
    """On what machines the rows were made: one item of a list for each."""
    machines = sorted({described(dict(row.environment)) for row in rows})
    return "".join(f"- {machine}\n" for machine in machines)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step.

    Raises:
        OutputError: it could not be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def plot_panels(panels: Mapping[str, tuple[str, Sequence[Line]]], path: Path) -> None:
    """Draw Dice against a number, one panel a title, with bars for the spread.

    Args:
        panels: (label of the horizontal axis, lines) by title.
        path: a PNG file.
    """
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    lines = {line.name: line for _, panel in panels.values() for line in panel}
    legend_columns = max(2, 2 * columns)
    legend_rows = math.ceil(len(lines) / legend_columns)
    height = rows * _PANEL_INCHES[1] + 0.25 * legend_rows
    figure = Figure((columns * _PANEL_INCHES[0], height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    handles = {}
    for axis, (title, (label, panel)) in zip(axes, panels.items(), strict=False):
        for line in panel:
            known = {n: s for n, s in sorted(line.points.items()) if s.count}
            bars = [0 if math.isnan(s.spread) else s.spread for s in known.values()]
            handles[line.name] = axis.errorbar(
                [*known], [s.mean for s in known.values()], bars, label=line.name, marker="o", markersize=4,
                linewidth=1.6, capsize=2, elinewidth=0.8, color=_COLORS[line.color % len(_COLORS)],
                linestyle="--" if line.dashed else "-",
            )  # fmt: skip
            for bar in handles[line.name].lines[2]:
                bar.set_alpha(0.4)  # where lines are near each other, the means are to be seen
        axis.set(title=title, xlabel=label, ylim=(0, 1))
        axis.set_xticks(sorted({n for line in panel for n in line.points}))
        axis.grid(visible=True, linewidth=0.4, alpha=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[::columns]:
        axis.set_ylabel("foreground Dice")
    figure.legend([*handles.values()], [*handles], loc="outside lower center", ncols=legend_columns, frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
