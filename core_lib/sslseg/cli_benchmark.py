"""The options of ``sslseg benchmark``; what its commands do is in :mod:`sslseg.benchmarks.commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sslseg.cli import FILE, add_command, device_option, with_options
from sslseg.settings import AUTO_WEIGHTS, PRESET_NAMES

MODULE = "sslseg.benchmarks.commands"


class _Numbers(click.ParamType):
    """A list of positive numbers: 1,3,7."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        parts = [part.strip() for part in str(value).split(",")] if value else []
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"'{value}' is not a list of numbers such as 1,3,7.", param, ctx)
        return [int(part) for part in parts]


NUMBERS = _Numbers()

run_options = with_options(
    click.option(
        "--data", type=FILE, required=True, metavar="DIR", help="Folder with acdc, hippocampus and so on."
    ),
    click.option(
        "-o", "--out", type=FILE, default=Path("out/benchmarks"), show_default=True,
        help="Folder of results, page and plot. Results that are there already are not computed again.",
    ),
    click.option("--draws", type=click.IntRange(min=1), default=5, show_default=True, help="Random repetitions."),
    click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of each process."),
    click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes at a time."),
    click.option("--report-only", is_flag=True, help="Compute nothing; write the page of what is known."),
)  # fmt: skip


@click.group(
    "benchmark",
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
def benchmark() -> None:
    """Measure accuracy with few annotations.

    A run may be stopped by Ctrl-C at any time; the same command goes on where it was.
    """


add_command(
    "fewshot",
    run_options,
    click.option("--protocol", type=click.Choice(["acdc", "hippocampus"]), required=True, help="The data set."),
    click.option(
        "--weights", multiple=True, metavar="NAME=FILE", help="Pretrained weights to compare; may be repeated."
    ),
    click.option("--patients", type=NUMBERS, default="1,3,7", show_default=True, help="Labelled patients."),
    click.option("--slices", type=NUMBERS, default="1,2,5,10", show_default=True, help="Single annotated slices."),
    click.option(
        "--modes", default="all", show_default=True, metavar="scratch,linear,finetune,propagate",
        help="What is done with the weights.",
    ),
    click.option("--steps", type=click.IntRange(min=1), default=300, show_default=True, help="Of each training."),
    click.option("--preset", type=click.Choice(PRESET_NAMES), default="balanced", show_default=True, help="Sizes."),
    device_option,
    text="Segment other patients after training on a few labelled patients or slices.",
    module=MODULE,
    group=benchmark,
)  # fmt: skip

add_command(
    "within-volume",
    run_options,
    click.option(
        "--sets", default="all", show_default=True, metavar="acdc,hippocampus,...", help="The data sets."
    ),
    click.option(
        "--split", type=click.Choice(["test", "training"]), default="test", show_default=True,
        help="training: while a method is developed.",
    ),
    click.option("--volumes", type=click.IntRange(min=1), help="The most of each data set; all by default."),
    click.option("--slices", type=NUMBERS, default="1,2,3,5", show_default=True, help="Annotated slices."),
    click.option(
        "--placements", default="all", show_default=True, metavar="inner,ends,suggested", help="Where they are."
    ),
    click.option("--methods", default="all", show_default=True, metavar="balanced,contours,...|ablations",
        help="What competes; ablations: SSLSegment with parts left out, on a page of its own."),
    click.option("--weights", default=AUTO_WEIGHTS, show_default=True, help="Of SSLSegment."),
    click.option("--tag", help="Names the state of SSLSegment; results of another one are computed anew."),
    click.option("--quick", is_flag=True, help="A small choice of all this, to find out whether anything got worse."),
    device_option,
    text="Complete volumes from a few annotated slices, beside the free tools that are installed.",
    module=MODULE,
    group=benchmark,
)  # fmt: skip
