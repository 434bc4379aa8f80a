"""Exporting from a panel. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sslseg.errors import SSLSegError
from SSLSegmentLib.export import NOT_FROM_DICOM, dicom_files, suggested_name
from SSLSegmentLib.panel_tools import attempt

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop

WRITING = "Writing…"


def start_export(
    loop: AnnotationLoop, then: Callable[[list[Path], list[str]], None], tell: Callable[[str], None]
) -> None:
    """Write the user's segmentation to files as the settings say.

    Args:
        loop: the work.
        then: is given the files once they are complete, and sentences about what was left out.
        tell: is told in a sentence that it goes on, and why it did not succeed.
    """
    said = len(loop.messages)

    def failed(error: SSLSegError) -> None:
        tell(str(error))

    tell(WRITING)
    attempt(
        lambda: loop.start_export(lambda paths: then(paths, loop.messages[said:]), failed),
        lambda sentence: tell(sentence) if sentence else None,  # a small volume is written already
    )


def default_name(loop: AnnotationLoop) -> str:
    """What files are called unless the user says otherwise; empty where there is nothing to export."""
    both = loop.volume is not None and loop.segmentation is not None
    return suggested_name(loop.segmentation, loop.volume) if both else ""


def format_problem(loop: AnnotationLoop, name: str) -> str:
    """Why the chosen volume's segmentation cannot be written in a format, as far as no file is read; may be empty."""
    volume = loop.volume
    is_known = volume is None or name != "dcm" or dicom_files(volume)
    return "" if is_known else NOT_FROM_DICOM.format(volume.GetName())
