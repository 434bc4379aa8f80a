"""The annotation loop without a window: ``python -m SSLSegmentLib.headless VOLUME SEGMENTATION --out-dir DIR``.

What a user does in the panel, in one go: open a volume and a few annotated slices, train, accept every slice, export.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import click

from sslseg.cli import FILE, axis_option, call, common_options, run, slices_option, training_options
from sslseg.console import Output
from sslseg.errors import InputError, SSLSegError
from sslseg.files import check_writable
from sslseg.itk_io import READ_ENDINGS
from sslseg.labelmap_io import LabelsFile, read_labels
from SSLSegmentLib.convert import formats_option, out_dir_option
from SSLSegmentLib.export import check_formats
from SSLSegmentLib.headless_app import boot
from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentLib.loop_state import State
from SSLSegmentLib.mrml import volume_geometry
from SSLSegmentLib.settings import NO_TIME_LIMIT, LoopSettings

POLL_S = 0.02


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("volume", type=FILE)
@click.argument("segmentation", type=FILE)
@out_dir_option
@formats_option
@slices_option
@axis_option
@training_options
@common_options
def command(*, as_json: bool, debug: bool, **options: Any) -> None:
    """Learn from annotated slices, segment the rest, and export it with Slicer's own readers and writers.

    VOLUME is NRRD, NIfTI, MHA or a folder with one DICOM series. SEGMENTATION is a .seg.nrrd or a label map on its
    grid. Annotated is: the slices named by --slices; else all that is not 255, if the file has any 255; else the slices
    that hold a label. The results, named after the volume, hold what was annotated, and the prediction everywhere else.
    """
    run(lambda output: segment(output, SimpleNamespace(**options)), as_json=as_json, debug=debug)


def segment(output: Output, options: Any) -> None:
    """Do the whole work.

    Args:
        output: where progress and results are told.
        options: the options of :func:`command`, as attributes.

    Raises:
        InputError: a file that cannot be read, or does not fit the others.
        SSLSegError: the training or the export failed.
    """
    name = _result_name(options)
    check_writable(options.out_dir / name)
    app = boot()
    volume = app.load_volume(options.volume)
    check_formats(volume, options.formats)
    labels = read_labels(options.segmentation, volume_geometry(volume), slices=options.slices, axis=options.axis)
    output.say(labels.rule)
    loop = AnnotationLoop(app.scene, settings=_settings(options, labels))
    try:
        loop.set_volume(volume)
        segmentation = app.load_segmentation(options.segmentation, volume)
        segmentation.SetName(name)
        loop.set_segmentation(segmentation)
        _train(loop, output)
        if loop.availability("accept_all").allowed:
            _accept(loop)
        files, state = loop.export(options.out_dir, options.formats), loop.state.value
    finally:
        loop.shutdown()
        while loop.alive:
            loop.poll()
            time.sleep(POLL_S)
    for sentence in [*loop.messages, *map(str, files)]:
        output.say(sentence)
    output.result({"files": files, "axis": labels.axis, "state": state, "messages": loop.messages})


def _result_name(options: Any) -> str:
    """What the results are called: never like a file that was read.

    Raises:
        InputError: they would replace the segmentation that was given.
    """
    name = options.volume.absolute().name
    ending = next((ending for ending in READ_ENDINGS if name.lower().endswith(ending)), "")
    name = f"{name[: len(name) - len(ending)]}_segmentation"
    given = options.segmentation.absolute()
    if any(given == (options.out_dir / f"{name}.{ending}").absolute() for ending in options.formats):
        raise InputError(f"{options.segmentation} would be replaced by the result: choose another --out-dir.")
    return name


def _settings(options: Any, labels: LabelsFile) -> LoopSettings:
    """The choices of the command line, and what the label file says of its slices."""
    annotation, axis = labels.annotation, labels.axis
    annotated = annotation.annotated_slices(axis)
    for index in annotated:
        if not annotation.known.take(index, axis).all():
            raise InputError(
                f"{options.segmentation} annotates only a part of slice {index} (255 beside labels), which a Slicer "
                "segmentation cannot say: use 'sslseg segment' for it."
            )
    return LoopSettings(
        preset=options.preset,
        device=options.device,
        seed=options.seed,
        time_limit_s=options.time_limit or NO_TIME_LIMIT,
        weights=options.weights,
        axis=axis,
        empty_slices=annotation.empty_slices(axis),
        excluded_slices=[i for i in range(annotation.labels.shape[axis]) if i not in set(annotated)],
        show_uncertainty=False,
        show_curves=False,
    )


def _train(loop: AnnotationLoop, output: Output) -> None:
    """Train until there is a prediction. Ctrl-C asks for the best model so far, a second one aborts."""
    with output.job() as (show, stop_asked):
        loop.train()
        shown = loop.progress
        while loop.state.busy:
            loop.poll()
            if stop_asked() and loop.state is not State.STOPPING:
                loop.stop()
            if loop.progress is not shown:
                shown = loop.progress
                show(replace(shown, message=""))  # the loop keeps the messages: they are told at the end
            time.sleep(POLL_S)
    if loop.error is not None:
        raise loop.error
    if loop.result is None:
        raise SSLSegError("Stopped before anything was learnt: nothing has been written.")


def _accept(loop: AnnotationLoop) -> None:
    loop.accept_all()
    while loop.accepting:
        loop.poll()
        time.sleep(POLL_S)
    if loop.error is not None:
        raise loop.error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad input.
    """
    return call(command, arguments, "python -m SSLSegmentLib.headless")


if __name__ == "__main__":
    sys.exit(main())
