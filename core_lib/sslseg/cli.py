"""The command line, ``sslseg``: segment, finetune, predict, suggest, evaluate, pretrain, info, demo, benchmark, worker.

Only the options are here, so that help comes at once; what the commands do is in :mod:`sslseg.cli_commands`, which
imports torch. Exit codes: 0 done, 1 failed, 2 bad input.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import click

from sslseg import __version__
from sslseg.errors import SSLSegError
from sslseg.pretrain_settings import BACKBONE_NAMES, DEFAULT_EPOCHS, METHODS
from sslseg.settings import AUTO_WEIGHTS, FINETUNE, LINEAR, MODES, NO_WEIGHTS, PRESET_NAMES

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
"""Not checked by click: the readers say better what is wrong with a file."""

IMAGE_HELP = "IMAGE is NRRD, NIfTI, MHA or a folder with one DICOM series."
LABELS_HELP = (
    "LABELS is a label map or a .seg.nrrd on the grid of the image. Annotated is: the slices named by --slices; else "
    "all that is not 255, if the file has any 255; else the slices that hold a label."
)


_LAST_SLICE = 99_999  # no volume has as many; a slip of the finger must not fill the memory


class _Slices(click.ParamType):
    """A list of slices: 3,7-9 is [3, 7, 8, 9]."""

    name = "slices"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        picked: list[int] = []
        for part in str(value).split(","):
            first, dash, last = (text.strip() for text in part.partition("-"))
            last = last if dash else first
            known = first.isdecimal() and last.isdecimal() and int(first) <= int(last) <= _LAST_SLICE
            if not known:
                self.fail(f"'{value}' is not a list of slices such as 3,7,12 or 3,7-9.", param, ctx)
            picked += range(int(first), int(last) + 1)
        return picked


SLICES = _Slices()

_GUESSED = (click.NoSuchOption, getattr(click.exceptions, "NoSuchCommand", click.NoSuchOption))  # one of newer releases


def with_options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order in which help lists them."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


axis_option = click.option(
    "--axis", type=click.Choice(["auto", "0", "1", "2"]), default="auto", show_default=True,
    callback=lambda _ctx, _param, value: None if value == "auto" else int(value),
    help="Array axis of the slices, 0 = K, 1 = J, 2 = I. auto: the coarsest one for slices that are named, else the "
    "one along which the labels were drawn.",
)  # fmt: skip
slices_option = click.option(
    "--slices", type=SLICES, metavar="3,7,12", help="The annotated slices, empty ones included."
)
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
_uncertainty = click.option("--uncertainty", type=FILE, help="Write the uncertainty, 0 to 1, to this image file.")
training_options = with_options(
    click.option(
        "--weights", default=AUTO_WEIGHTS, show_default=True, metavar=f"FILE|{NO_WEIGHTS}|{AUTO_WEIGHTS}",
        help=f"Pretrained weights; {AUTO_WEIGHTS}: the best that ship, {NO_WEIGHTS}: start from random ones.",
    ),
    click.option(
        "--preset", type=click.Choice(PRESET_NAMES), default="balanced", show_default=True,
        help="How long and how large.",
    ),
    click.option(
        "--mode", type=click.Choice(MODES), default=FINETUNE, show_default=True,
        help=f"{FINETUNE}: the head, then all layers; {LINEAR}: the head alone, on frozen pretrained features.",
    ),
    device_option,
    click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same device: same result."),
    click.option("--time-limit", type=float, metavar="SECONDS", help="Stop training then, keeping the best model."),
)  # fmt: skip
common_options = with_options(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text."),
    click.option("--debug", is_flag=True, help="Show warnings, and where an error comes from."),
)


class _InOrder(click.Group):
    """Lists its commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)


@click.group(
    cls=_InOrder,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="sslseg")
def cli() -> None:
    """Segment medical images from a few annotated slices.

    Ctrl-C stops a training and keeps the best model so far; a second Ctrl-C aborts.
    """


def add_command(
    name: str,
    *decorators: Callable[[Any], Any],
    text: str,
    module: str = "sslseg.cli_commands",
    group: click.Group = cli,
) -> None:
    """Add a command whose options go to the function ``run_<name>`` of a module that may be slow to import."""
    function = f"run_{name.replace('-', '_')}"

    def callback(*, as_json: bool, debug: bool, **options: Any) -> None:
        def work(output: Any) -> None:
            getattr(importlib.import_module(module), function)(output, SimpleNamespace(**options))

        run(work, as_json=as_json, debug=debug)

    group.command(name, help=text)(with_options(*decorators, common_options)(callback))


add_command(
    "segment",
    click.argument("image", type=FILE),
    click.argument("labels", type=FILE),
    slices_option, axis_option, training_options,
    click.option("-o", "--out", type=FILE, required=True, help="A .seg.nrrd, .nrrd, .nii.gz, .nii or .mha file."),
    _uncertainty,
    click.option("--save-model", type=FILE, help="Keep the trained model in this .safetensors file."),
    text="Learn from annotated slices and segment the rest.\n\n" + IMAGE_HELP + "\n\n" + LABELS_HELP,
)  # fmt: skip

add_command(
    "finetune",
    click.option(
        "--case", "cases", type=(FILE, FILE), metavar="IMAGE LABELS", multiple=True, required=True,
        help="An image and its labels; may be repeated.",
    ),
    click.option(
        "--slices", type=SLICES, metavar="3,7,12", multiple=True,
        help="The annotated slices: given once for all cases, or once for each in their order.",
    ),
    axis_option, training_options,
    click.option("-o", "--out", type=FILE, required=True, help="The model: a .safetensors file."),
    text="Learn from annotated slices of images.\n\nThe model is for later use by predict.\n\n"
    + IMAGE_HELP + "\n\n" + LABELS_HELP
    + " All cases need the same segments, by name, or by label value in plain label maps.",
)  # fmt: skip

add_command(
    "predict",
    click.argument("model", type=FILE),
    click.argument("images", type=FILE, nargs=-1, required=True, metavar="IMAGE..."),
    click.option("-o", "--out", type=FILE, required=True, help="A file as in segment, or a folder."),
    click.option("--uncertainty", type=FILE, help="Write the uncertainty, 0 to 1: a file, or a folder."),
    device_option,
    text="Segment images with a model.\n\n"
    "MODEL comes from finetune, or from segment --save-model. In a folder the results are named after their images.\n\n"
    + IMAGE_HELP,
)

add_command(
    "suggest",
    click.argument("model", type=FILE),
    click.argument("image", type=FILE),
    click.argument("labels", type=FILE),
    click.option("-n", "number", type=click.IntRange(min=1), default=3, show_default=True, help="How many slices."),
    slices_option, axis_option, device_option,
    text="Say which slices to annotate next.\n\n" + LABELS_HELP,
)  # fmt: skip

add_command(
    "evaluate",
    click.argument("prediction", type=FILE),
    click.argument("reference", type=FILE),
    click.option("--ignore-slices", type=SLICES, metavar="3,7,12", help="Slices to leave out: those of the training."),
    axis_option,
    text="Compare a segmentation with a reference.\n\n"
    "Dice, 95 % Hausdorff distance in mm and volumes in ml of each structure. Voxels that are 255 in the reference do "
    "not count.",
)  # fmt: skip

add_command(
    "pretrain",
    click.option("--method", type=click.Choice(METHODS), required=True, help="What is learned from the images."),
    click.option(
        "--data", type=FILE, multiple=True, required=True, metavar="FOLDER|MANIFEST",
        help="Where the images are; may be repeated. A manifest (.yaml, .json) lists data sets: name, path, modality, "
        "anatomy, licence.",
    ),
    click.option("-o", "--out", type=FILE, required=True, help="The weights: a .safetensors file."),
    click.option("--backbone", type=click.Choice(BACKBONE_NAMES), default="small", show_default=True),
    click.option("--epochs", type=int, help=f"Passes over all slices; {DEFAULT_EPOCHS} where no limit is given."),
    click.option("--steps", type=int, help="Optimisation steps, instead of epochs."),
    click.option("--time-limit", type=float, metavar="SECONDS", help="End training then."),
    click.option("--batch", type=int, default=16, show_default=True, help="Slices of a step, of all processes."),
    click.option("--patch", type=int, default=128, show_default=True, help="Side of the views in pixels."),
    click.option("--max-pixels", type=int, default=256, show_default=True, help="Limit of the longer side of slices."),
    click.option("--spacing", type=float, metavar="MM", help="Pixel size; by default the finer one of each image."),
    click.option("--rate", type=float, default=1e-3, show_default=True, help="Highest learning rate."),
    click.option(
        "--levels", type=(float, float, float, float), default=(1, 1, 1, 1), show_default=True,
        metavar="IMAGE TASK GROUP PIXEL", help="Weights of the parts of the loss of hssl; 0 leaves one out.",
    ),
    device_option,
    click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same device: same result."),
    click.option("--resume", is_flag=True, help="Go on with the run in the log folder."),
    click.option("--log-dir", type=FILE, help="Folder of checkpoint and curves; OUT without its ending plus .run."),
    click.option("--cache", type=FILE, help="Folder of prepared slices, for several runs; in the log folder."),
    text="Learn from images without annotations.\n\n"
    "Folders are searched for NRRD, NIfTI, MHA and DICOM; files named as label maps are left out. The weights are "
    "for --weights of segment and finetune. Ctrl-C writes what was learned; --resume goes on. Under torchrun all "
    "processes work together.",
    module="sslseg.cli_pretrain",
)  # fmt: skip

add_command(
    "info",
    click.argument("file", type=FILE),
    click.option("--image", type=FILE, help="Draw what the weights or the model see in this image."),
    click.option("--png", type=FILE, help="The picture of that: like pixels have like colours."),
    text="Say what a file holds.\n\nFILE is a model, pretrained weights, an image or a label file.",
    module="sslseg.cli_info",
)

add_command(
    "demo",
    click.option("-o", "--out", type=FILE, default=Path("out/demo"), show_default=True, help="Folder for the results."),
    click.option("--preset", type=click.Choice(PRESET_NAMES), default="fast", show_default=True),
    device_option,
    click.option("--time-limit", type=float, default=60, show_default=True, metavar="SECONDS", help="Of the training."),
    text="Try it all on a brain MRI.\n\nThe image comes with the package nilearn; nothing is downloaded.",
    module="sslseg.demo",
)  # fmt: skip


_arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
_PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@cli.command(context_settings=_PASS_ON, add_help_option=False)
@_arguments
def benchmark(arguments: tuple[str, ...]) -> int | None:
    """Measure accuracy with few annotations, beside other tools."""
    group = importlib.import_module("sslseg.cli_benchmark").benchmark
    return group.main(arguments, prog_name="sslseg benchmark", standalone_mode=False)


@cli.command(context_settings=_PASS_ON, add_help_option=False)
@_arguments
def worker(arguments: tuple[str, ...]) -> None:
    """Serve a viewer: JSON lines on stdin and stdout."""
    importlib.import_module("sslseg.worker").main(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the entry point of ``sslseg``.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad input.
    """
    return call(cli, arguments, "sslseg")


def call(command: click.Command, arguments: Sequence[str] | None, program: str) -> int:
    """Run a click command with this project's exit codes and one-sentence errors; see :func:`main`."""
    # Read when torch is imported. Threads that spin while they wait for each other are many times slower than sleeping
    # ones where other programs want the processor too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        return command.main(arguments, prog_name=program, standalone_mode=False) or 0
    except click.ClickException as error:
        where = f" (see '{error.ctx.command_path} --help')" if isinstance(error, click.UsageError) and error.ctx else ""
        # What click adds to an unknown option or command, a guess, would be a second sentence.
        message = error.message if isinstance(error, _GUESSED) else error.format_message()
        _fault(f"{message.rstrip('.')}{where}.", type(error).__name__, arguments)
        return error.exit_code
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        _fault("Aborted: what was not complete has not been written.", "Aborted", arguments)
        return 1


def _fault(message: str, kind: str, arguments: Sequence[str] | None) -> None:
    """Tell what ended a command before or outside of its work, as JSON too where that was asked for."""
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    importlib.import_module("sslseg.console").Output(as_json=as_json).fault(message, kind)


def run(work: Callable[[Any], None], *, as_json: bool, debug: bool) -> None:
    """Call ``work`` with a :class:`sslseg.console.Output`; its errors become one sentence and an exit code."""
    with contextlib.ExitStack() as stack:
        output = importlib.import_module("sslseg.console").Output(as_json=as_json)
        if as_json:  # whatever libraries print must not mix with the one object
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if not debug:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        try:
            work(output)
        except Exception as error:
            known = isinstance(error, SSLSegError)
            message = str(error) if known else f"internal error: {type(error).__name__}: {error}".splitlines()[0]
            output.fault(message, type(error).__name__)
            if debug:
                traceback.print_exc()
            raise click.exceptions.Exit(error.exit_code if isinstance(error, SSLSegError) else 1) from error


if __name__ == "__main__":
    sys.exit(main())
