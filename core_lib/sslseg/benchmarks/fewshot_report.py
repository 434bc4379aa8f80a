"""The few-shot results as a page and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sslseg.benchmarks.datasets import PROTOCOLS
from sslseg.benchmarks.fewshot import PROPAGATE, SCRATCH
from sslseg.benchmarks.fewshot_plan import BUDGETS
from sslseg.benchmarks.fewshot_settings import FewshotSettings
from sslseg.benchmarks.report import Line, Summary, draws_text, markdown_table, plot_panels, provenance, write_text
from sslseg.benchmarks.runs import Row

_MODE_NAMES = {"scratch": "from scratch", "linear": "linear probe", "finetune": "fine-tuned"}
_COUNTED = {"patients": "labelled patients", "slices": "single annotated slices"}
_PROTOCOL_TEXT = {
    "acdc": "ACDC: learned from patients of the usual training split, tested on its 10 validation patients "
    "(ED and ES each). Draw 0 of the patients is the published one (099, 038, 050, 100, 058, 021, 049).",
    "hippocampus": "Hippocampus of the Medical Segmentation Decathlon: tested on 30 cases that are drawn once and for "
    "all. A patient is one case here.",
}

_PROPAGATION_TEXT = (
    "The middle slice of the labelled extent of each test volume is annotated; its labels travel to all other slices, "
    "which are scored. Features of the network alone, and beside intensities as the product uses them.\n"
)

Key = tuple[str, str]
"""(weights, mode) of a row of the tables."""


def write_report(rows: Sequence[Row], settings: FewshotSettings, command: str, page: Path) -> None:
    """Write ``page`` (Markdown) and, for several numbers of annotations, a plot beside it with the ending .png.

    Args:
        rows: all results there are; those of other settings or of older weights are left out.
        settings: of the run.
        command: that repeats it.
        page: a .md file.
    """
    rows = _of_these_settings(rows, settings)
    trained = [row for row in rows if row.job["mode"] != PROPAGATE]
    plot = page.with_suffix(".png")
    parts = [f"# Few-shot segmentation: {settings.protocol}\n", f"`{command}`\n", _introduction(settings)]
    for budget in BUDGETS:
        table = _table([row for row in trained if row.job["budget"] == budget])
        if table:
            parts += [f"## By the number of {_COUNTED[budget]}\n", table]
    carried = [row for row in rows if row.job["mode"] == PROPAGATE]
    if carried:
        parts += ["## Label propagation, nothing trained\n", _PROPAGATION_TEXT, _propagation_table(carried)]
    if max(len(settings.patients), len(settings.slices)) > 1 and trained:  # a line needs more than a point
        plot_panels({f"{settings.protocol}: {_COUNTED[b]}": (_COUNTED[b], _lines(trained, b)) for b in BUDGETS}, plot)
        parts.append(f"![Dice against the number of annotations]({plot.name})\n")
    parts += ["## Measured on\n", provenance(rows)]
    write_text(page, "\n".join(parts))


def _introduction(settings: FewshotSettings) -> str:
    n_test = len(PROTOCOLS[settings.protocol](settings.data).test)
    return (
        f"{_PROTOCOL_TEXT[settings.protocol]} {n_test} test volumes: all slices, the whole field of view, hard labels, "
        "no annotation of the test volume. The number is the mean over the test volumes of the Dice per volume, "
        "averaged over the structures, background excluded; then mean ± standard deviation over "
        f"{draws_text(settings.draws)}, whose number is also the seed of the training. Every network was trained for "
        f"{settings.steps} steps with the sizes of the preset {settings.preset}, on the annotated slices alone.\n"
    )


def _of_these_settings(rows: Sequence[Row], settings: FewshotSettings) -> list[Row]:
    checksum = {row.job["weights"]: row.job["sha256"] for row in rows if row.job["protocol"] == settings.protocol}
    wanted = {
        "protocol": settings.protocol, "steps": settings.steps, "preset": settings.preset, "device": settings.device
    }  # fmt: skip
    return [
        row
        for row in rows
        if all(row.job.get(key, value) == value for key, value in wanted.items())
        and row.job["sha256"] == checksum[row.job["weights"]]
        and row.job["draw"] < settings.draws
    ]


def _summaries(rows: Sequence[Row]) -> dict[Key, dict[int, Summary]]:
    """By weights and mode, then by number of annotations; scratch first."""
    values: dict[Key, dict[int, list[float]]] = {}
    for row in sorted(rows, key=lambda row: row.job["mode"] != SCRATCH):
        by_number = values.setdefault((row.job["weights"], row.job["mode"]), {})
        by_number.setdefault(row.job["n"], []).append(row.result["dice"])
    return {key: {n: Summary.of(dice) for n, dice in by_number.items()} for key, by_number in values.items()}


def _name(key: Key) -> str:
    weights, mode = key
    return _MODE_NAMES[mode] if mode == SCRATCH else f"{weights}, {_MODE_NAMES[mode]}"


def _table(rows: Sequence[Row]) -> str:
    summaries = _summaries(rows)
    numbers = sorted({n for by_number in summaries.values() for n in by_number})
    cells: list[list[str]] = [
        [_name(key), *(by_number[n].text() if n in by_number else "–" for n in numbers)]
        for key, by_number in summaries.items()
    ]
    return markdown_table(["", *map(str, numbers)], cells) + _gains(summaries, numbers) if rows else ""


def _gains(summaries: Mapping[Key, Mapping[int, Summary]], numbers: Sequence[int]) -> str:
    """The best fine-tuning against scratch."""
    scratch = next((by_number for (_, mode), by_number in summaries.items() if mode == SCRATCH), {})
    texts = []
    for n in numbers:
        tuned = {key: by_number[n] for key, by_number in summaries.items() if key[1] == "finetune" and n in by_number}
        if n in scratch and tuned:
            best = max(tuned, key=lambda key: tuned[key].mean)
            texts.append(f"{n}: {100 * (tuned[best].mean - scratch[n].mean):+.1f} ({best[0]})")
    return f"\nBest fine-tuning against scratch, in Dice points: {', '.join(texts)}.\n" if texts else ""


def _propagation_table(rows: Sequence[Row]) -> str:
    dice: dict[str, dict[bool, list[float]]] = {}
    for row in rows:
        by_kind = dice.setdefault(row.job["weights"], {})
        by_kind.setdefault(row.job["with_intensities"], []).append(row.result["dice"])
    cells = [
        [name, *(Summary.of(by_kind.get(beside, [])).text() for beside in (False, True))]
        for name, by_kind in dice.items()
    ]
    return markdown_table(["features", "alone", "with intensities"], cells)


def _lines(rows: Sequence[Row], budget: str) -> list[Line]:
    summaries = _summaries([row for row in rows if row.job["budget"] == budget])
    weights = sorted({row.job["weights"] for row in rows}, key=lambda name: (name != "none", name))
    return [
        Line(_name(key), by_number, weights.index(key[0]), dashed=key[1] == "linear")
        for key, by_number in summaries.items()
    ]
