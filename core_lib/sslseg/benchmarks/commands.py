"""What ``sslseg benchmark`` does: options to settings, jobs, and a report of all that is known so far."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from sslseg import __version__
from sslseg.benchmarks import fewshot, fewshot_report, within, within_report
from sslseg.benchmarks.datasets import DATA_SETS
from sslseg.benchmarks.fewshot_settings import FewshotSettings
from sslseg.benchmarks.methods import peer_names
from sslseg.benchmarks.own_methods import ABLATIONS, OWN
from sslseg.benchmarks.placements import PLACEMENTS
from sslseg.benchmarks.runs import Job, ResultFile, Row, Work, run_jobs
from sslseg.benchmarks.within_settings import WithinSettings
from sslseg.console import Output
from sslseg.device import resolve_device
from sslseg.errors import InputError, OutputError

ABLATED = "ablations"
"""As ``--methods``: SSLSegment and what is left of it without its parts, on a page of its own."""

QUICK = {
    "sets": "acdc,hippocampus", "volumes": 2, "slices": [2], "placements": "inner", "draws": 1,
    "methods": "fast,propagation,intensities,contours,copy,grow-cut,random-walker,signed-distance",
}  # fmt: skip
"""What ``--quick`` stands for."""


def run_fewshot(output: Output, options: SimpleNamespace) -> None:
    """Few labelled patients or slices, across patients."""
    settings = FewshotSettings(
        data=options.data, protocol=options.protocol, weights=_named_files(options.weights),
        patients=tuple(options.patients), slices=tuple(options.slices), draws=options.draws,
        modes=_among(options.modes, fewshot.MODES, "mode"), steps=options.steps, preset=options.preset,
        device=str(resolve_device(options.device)),
    )  # fmt: skip
    command = [
        "sslseg benchmark fewshot --data DATA", f"--protocol {settings.protocol}",
        *(f"--weights {shlex.quote(f'{name}={path.name}')}" for name, path in settings.weights.items()),
        f"--patients {_listed(settings.patients)}", f"--slices {_listed(settings.slices)}",
        f"--draws {settings.draws}", f"--modes {_listed(settings.modes)}", f"--steps {settings.steps}",
        f"--preset {settings.preset}", f"--device {settings.device}",
    ]  # fmt: skip

    def report(rows: Sequence[Row], page: Path) -> None:
        fewshot_report.write_report(rows, settings, " ".join(command), page)

    benchmark = _Benchmark(f"fewshot-{settings.protocol}", fewshot.plan(settings), fewshot.worker(settings), report)
    _run(output, options, benchmark)


def run_within_volume(output: Output, options: SimpleNamespace) -> None:
    """A few annotated slices within each volume, beside the peers."""
    chosen = {**vars(options), **(QUICK if options.quick else {})}
    settings = WithinSettings(
        data=options.data, sets=_among(chosen["sets"], [*DATA_SETS], "data set"), split=options.split,
        volumes=chosen["volumes"], slices=tuple(chosen["slices"]),
        placements=_among(chosen["placements"], PLACEMENTS, "placement"),
        methods=_methods(chosen["methods"]), draws=chosen["draws"], weights=options.weights,
        device=str(resolve_device(options.device)), tag=options.tag or __version__,
    )  # fmt: skip
    choice = [
        f"--sets {_listed(settings.sets)}", *([f"--volumes {settings.volumes}"] if settings.volumes else []),
        f"--slices {_listed(settings.slices)}", f"--placements {_listed(settings.placements)}",
        f"--methods {_listed(settings.methods)}", f"--draws {settings.draws}",
    ]  # fmt: skip
    command = [
        "sslseg benchmark within-volume --data DATA", *(["--quick"] if options.quick else choice),
        f"--split {settings.split}", f"--weights {shlex.quote(Path(settings.weights).name)}",
        f"--device {settings.device}", f"--tag {shlex.quote(settings.tag)}",
    ]  # fmt: skip

    def report(rows: Sequence[Row], page: Path) -> None:
        within_report.write_report(rows, settings, " ".join(command), page)

    parts = {
        "-training": options.split == "training",
        "-quick": options.quick,
        f"-{ABLATED}": chosen["methods"] == ABLATED,
    }
    name = "within-volume" + "".join(part for part, there in parts.items() if there)
    _run(output, options, _Benchmark(name, within.plan(settings), within.worker(settings), report))


@dataclass(frozen=True)
class _Benchmark:
    """What is run: its name, its jobs, what does one, and what writes the page."""

    name: str
    jobs: Sequence[Job]
    work: Work
    report: Callable[[Sequence[Row], Path], None]


def _run(output: Output, options: SimpleNamespace, benchmark: _Benchmark) -> None:
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {options.out} could not be made: {error.strerror or error}.") from error
    results = ResultFile(options.out / f"{benchmark.name}.jsonl")
    complete = False
    if not options.report_only:
        with output.job() as (on_progress, should_stop):
            complete = run_jobs(
                benchmark.jobs, benchmark.work, results, processes=options.jobs, threads=options.threads,
                on_progress=on_progress, should_stop=should_stop,
            )  # fmt: skip
    rows = results.rows()
    if not rows:
        raise InputError(f"{results.path} holds no results: run the benchmark without --report-only first.")
    page = options.out / f"{benchmark.name}.md"
    benchmark.report(rows, page)
    if not (complete or options.report_only):
        output.say("Stopped before all jobs were done; the same command goes on.")
    output.say(f"Wrote {page}.")
    output.result({"results": results.path, "page": page, "rows": len(rows), "complete": complete})


def _named_files(pairs: Sequence[str]) -> dict[str, Path]:
    """Weights as NAME=FILE."""
    found = {}
    for pair in pairs:
        name, _, file = pair.partition("=")
        if not (name and file):
            raise InputError(f"'{pair}' is not NAME=FILE: say under which name the weights are reported.")
        if name in found:
            raise InputError(f"Two files of weights are named {name}: give each its own name.")
        found[name] = Path(file)
    return found


def _methods(text: str) -> tuple[str, ...]:
    if text == ABLATED:
        return ("fast", "propagation", "intensities", *ABLATIONS)
    known = (*OWN, *peer_names())
    return tuple(name for name in known if name not in ABLATIONS) if text == "all" else _among(text, known, "method")


def _among(text: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    chosen = known if text == "all" else [part.strip() for part in text.split(",")]
    wrong = [name for name in chosen if name not in known]
    if wrong:
        raise InputError(f"There is no {what} '{wrong[0]}': choose among {', '.join(known)}.")
    return tuple(chosen)


def _listed(values: Sequence[object]) -> str:
    return ",".join(map(str, values))
