"""The results within volumes as pages and a plot."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from sslseg.benchmarks.methods import legend
from sslseg.benchmarks.own_methods import OWN, PRODUCT
from sslseg.benchmarks.placements import INNER, SUGGESTED
from sslseg.benchmarks.report import Line, Summary, draws_text, markdown_table, plot_panels, provenance, write_text
from sslseg.benchmarks.runs import Job, Row
from sslseg.benchmarks.uncertainty import level_names
from sslseg.benchmarks.within import own_key
from sslseg.benchmarks.within_settings import WithinSettings

_PLACEMENT_TEXT = {
    "inner": "the middles of k equal parts of the labelled extent",
    "ends": "its first and last slice and evenly between",
    "suggested": "the middle, then what the tool itself suggests after its first answer",
}

_HD95_TEXT = (
    "95 % Hausdorff distance in mm, where a structure was found; in brackets how often one was missed or invented:\n"
)

Value = Callable[[Row], float]


def write_report(rows: Sequence[Row], settings: WithinSettings, command: str, page: Path) -> None:
    """Write ``page`` (Markdown), a second page by structure, and for several numbers of slices a plot (.png).

    Args:
        rows: all results there are; those of other weights, devices and tags are left out.
        settings: of the run.
        command: that repeats it.
        page: a .md file.
    """
    own = own_key(settings)
    rows = [row for row in rows if _belongs(row, settings, own)]
    plot = page.with_suffix(".png")
    structures = page.with_name(f"{page.stem}-structures.md")
    parts = [
        "# A few annotated slices of one volume\n",
        f"`{command}`\n",
        _introduction(rows, settings),
        f"![Dice against the number of annotated slices]({plot.name})\n" if _has_plot(settings) else "",
        f"By structure: [{structures.name}]({structures.name})\n",
        *(_of_a_set(rows, settings, name) for name in settings.sets),
        "## Seconds a volume\n",
        _seconds(rows, settings),
        _uncertainty(rows, settings),
        "## Measured on\n",
        provenance(rows),
    ]
    write_text(page, "\n".join(part for part in parts if part))
    write_text(structures, _by_structure(rows, settings))
    if not _has_plot(settings):
        return
    shown = settings.placements[0] if INNER not in settings.placements else INNER
    plot_panels(
        {
            name: ("annotated slices", _lines(_where(rows, set=name, placement=shown), settings))
            for name in settings.sets
        },
        plot,
    )


def _has_plot(settings: WithinSettings) -> bool:
    return len(settings.slices) > 1


def _belongs(row: Row, settings: WithinSettings, own: Job) -> bool:
    return (
        row.job["set"] in settings.sets
        and row.job["method"] in settings.methods
        and row.job["placement"] in settings.placements
        and row.job["k"] in settings.slices
        and row.job["draw"] < settings.draws
        and all(row.job.get(key, value) == value for key, value in own.items())
    )


def _introduction(rows: Sequence[Row], settings: WithinSettings) -> str:
    volumes = ", ".join(
        f"{name} {len({row.job['subject'] for row in _where(rows, set=name)})}" for name in settings.sets
    )
    methods = "".join(f"- `{name}`: {legend(name)}\n" for name in settings.methods)
    return (
        "k slices of a volume are annotated; each method completes the volume, and the slices that are not annotated "
        "are scored: Dice, averaged over the structures, background excluded. All methods get the same slices; the "
        "reference is used for nothing else. The number is the mean ± standard deviation over the volumes, for each of "
        f"which the mean over {draws_text(settings.draws)} is taken; the number of the draw is also the seed.\n\n"
        f"Volumes ({settings.split} part): {volumes}. State of SSLSegment: {settings.tag}, weights "
        f"{Path(settings.weights).name}.\n\n{methods}"
    )


def _of_a_set(rows: Sequence[Row], settings: WithinSettings, name: str) -> str:
    parts = [f"## {name}\n"]
    for placement in settings.placements:
        here = _where(rows, set=name, placement=placement)
        if here:
            parts += [
                f"**{placement}** ({_PLACEMENT_TEXT[placement]}), Dice:\n",
                _dice_table(here, settings, _dice),
                _HD95_TEXT,
                _hd95_table(here, settings),
            ]
    return "\n".join(parts)


def _table(rows: Sequence[Row], settings: WithinSettings, text: Callable[[Sequence[Row]], str]) -> str:
    """Methods against numbers of slices; ``text`` says what stands in a cell."""
    slices = [k for k in settings.slices if _where(rows, k=k)]
    cells = [[f"`{method}`", *(text(_where(rows, method=method, k=k)) for k in slices)] for method in settings.methods]
    return markdown_table(["k", *map(str, slices)], cells)


def _dice_table(rows: Sequence[Row], settings: WithinSettings, value: Value) -> str:
    return _table(rows, settings, lambda found: _over_volumes(found, value).text())


def _hd95_table(rows: Sequence[Row], settings: WithinSettings) -> str:
    return _table(rows, settings, lambda found: _over_volumes(found, _hd95).text(1) + _missed(found))


def _over_volumes(rows: Iterable[Row], value: Value) -> Summary:
    """Over volumes, for each of which the mean over draws is taken."""
    volumes: dict[str, list[float]] = {}
    for row in rows:
        volumes.setdefault(row.job["subject"], []).append(value(row))
    return Summary.of(Summary.of(values).mean for values in volumes.values())


def _dice(row: Row) -> float:
    return _number(row.result["dice"])


def _hd95(row: Row) -> float:
    return Summary.of(_number(score["hd95_mm"]) for score in row.result["structures"].values()).mean


def _missed(rows: Sequence[Row]) -> str:
    scores = [score for row in rows for score in row.result["structures"].values()]
    count = sum(score["dice"] is not None and score["hd95_mm"] is None for score in scores)
    return f" ({count})" if count else ""


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _seconds(rows: Sequence[Row], settings: WithinSettings) -> str:
    cells = []
    for method in settings.methods:
        found = [_where(rows, method=method, set=name) for name in settings.sets]
        cells.append([f"`{method}`", *(_median_seconds(part) for part in found)])
    return "Median over all experiments; without reading the files.\n\n" + markdown_table(["", *settings.sets], cells)


def _median_seconds(rows: Sequence[Row]) -> str:
    return f"{statistics.median(row.result['seconds'] for row in rows):.2f}" if rows else "–"


def _uncertainty(rows: Sequence[Row], settings: WithinSettings) -> str:
    ranked = {row.job["method"] for row in rows if row.result["rank_correlation"] is not None}
    own = [method for method in settings.methods if method in ranked]
    if not own:
        return ""
    cells = [
        [f"`{method}`", *(_over_volumes(_where(rows, method=method, set=name), _rank).text() for name in settings.sets)]
        for method in own
    ]
    return (
        "## Does the uncertainty find the errors?\n\nSpearman's rank correlation, within each volume, of the summed "
        "uncertainty of a slice with the number of its wrong voxels, over the slices that are not annotated.\n\n"
        + markdown_table(["", *settings.sets], cells)
        + _calibration(rows, settings, own[0])
        + _suggestions(rows, settings)
    )


def _rank(row: Row) -> float:
    return _number(row.result["rank_correlation"])


def _calibration(rows: Sequence[Row], settings: WithinSettings, method: str) -> str:
    """Share of wrong voxels at each level of uncertainty, over all volumes."""
    cells = []
    for name in settings.sets:
        counts = [row.result["errors_by_level"] for row in _where(rows, set=name, method=method)]
        levels = np.sum(counts, axis=0) if counts else []
        cells.append([name, *(f"{100 * wrong / voxels:.1f} %" if voxels else "–" for voxels, wrong in levels)])
    return (
        f"\nShare of wrong voxels by the uncertainty that `{method}` gives them (0 sure, 1 all classes alike), slices "
        "that are not annotated, all experiments together.\n\n" + markdown_table(["", *level_names()], cells)
    )


def _suggestions(rows: Sequence[Row], settings: WithinSettings) -> str:
    """Suggested slices against evenly spaced ones, same volumes and numbers."""
    best = next((method for method in settings.methods if method in OWN), None)
    if best is None or not {INNER, SUGGESTED} <= set(settings.placements):
        return ""
    slices = [k for k in settings.slices if k > 1]
    cells = []
    for name in settings.sets:
        means = [
            [_over_volumes(_where(rows, set=name, method=best, k=k, placement=p), _dice).mean for k in slices]
            for p in (SUGGESTED, INNER)
        ]
        cells.append([name, *(f"{100 * (one - other):+.1f}" for one, other in zip(*means, strict=True))])
    return (
        f"\n## Suggested slices against evenly spaced ones\n\nDice points that `{best}` gains by following the "
        "suggestions instead of `inner`.\n\n" + markdown_table(["k", *map(str, slices)], cells)
    )


def _by_structure(rows: Sequence[Row], settings: WithinSettings) -> str:
    parts = [
        "# A few annotated slices of one volume, by structure\n",
        "Dice, mean ± standard deviation over volumes.\n",
    ]
    for name in settings.sets:
        for placement in settings.placements:
            here = _where(rows, set=name, placement=placement)
            if not here:
                continue
            parts.append(f"## {name}, {placement}\n")
            for structure in here[0].result["structures"]:
                parts += [f"{structure}:\n", _dice_table(here, settings, _dice_of(structure))]
    return "\n".join(parts)


def _dice_of(structure: str) -> Value:
    return lambda row: _number(row.result["structures"][structure]["dice"])


def _lines(rows: Sequence[Row], settings: WithinSettings) -> list[Line]:
    return [
        Line(
            method,
            {k: _over_volumes(_where(rows, method=method, k=k), _dice) for k in settings.slices},
            number,
            dashed=method not in PRODUCT,
        )
        for number, method in enumerate(settings.methods)
    ]


def _where(rows: Iterable[Row], **wanted: object) -> list[Row]:
    return [row for row in rows if all(row.job[key] == value for key, value in wanted.items())]
