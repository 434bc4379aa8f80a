"""A segmentation in other formats and as a picture: ``python -m SSLSegmentLib.convert VOLUME SEGMENTATION``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import click

from sslseg.cli import FILE, call, common_options, run
from sslseg.console import Output
from SSLSegmentLib.export import FORMATS, export_segmentation
from SSLSegmentLib.headless_app import boot
from SSLSegmentLib.render import render_surfaces, rendering_available


class _Formats(click.ParamType):
    """A list of file formats: seg.nrrd,stl."""

    name = "formats"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        names = [name.strip().lstrip(".") for name in str(value).split(",")]
        unknown = [name for name in names if name not in FORMATS]
        if unknown:
            self.fail(f"'{unknown[0]}' is no export format: choose from {', '.join(FORMATS)}.", param, ctx)
        return names


out_dir_option = click.option(
    "--out-dir", type=FILE, required=True, help="Folder for the results; made if it is not there."
)
formats_option = click.option(
    "--formats", type=_Formats(), default="seg.nrrd", show_default=True, help=f"Any of {', '.join(FORMATS)}."
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("volume", type=FILE)
@click.argument("segmentation", type=FILE)
@out_dir_option
@formats_option
@click.option("--picture", type=FILE, help="Draw the surfaces in 3-D into this PNG file.")
@common_options
def command(*, as_json: bool, debug: bool, **options: Any) -> None:
    """Write a segmentation in other formats, with Slicer's own readers and writers.

    VOLUME is NRRD, NIfTI, MHA or a folder with one DICOM series. SEGMENTATION is a .seg.nrrd or a label map on its
    grid. Surfaces (stl, obj, ply) are one file a segment; dcm is a DICOM SEG of a volume that comes from DICOM.
    """
    run(lambda output: convert(output, SimpleNamespace(**options)), as_json=as_json, debug=debug)


def convert(output: Output, options: Any) -> None:
    """Do the work.

    Args:
        output: where results are told.
        options: the options of :func:`command`, as attributes.

    Raises:
        InputError: a file that cannot be read, or does not fit the other.
        OutputError: a file could not be written.
    """
    app = boot()
    volume = app.load_volume(options.volume)
    segmentation = app.load_segmentation(options.segmentation, volume)
    files = export_segmentation(segmentation, volume, options.out_dir, formats=options.formats, on_message=output.say)
    if options.picture:
        reason = rendering_available()
        if reason:
            output.say(reason)
        else:
            render_surfaces(app, segmentation, options.picture)
            files.append(options.picture)
    app.shutdown()
    for file in files:
        output.say(f"Wrote {file}.")
    output.result({"files": files})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0 done (also where nothing can be drawn), 1 failed, 2 bad input.
    """
    return call(command, arguments, "python -m SSLSegmentLib.convert")


if __name__ == "__main__":
    sys.exit(main())
