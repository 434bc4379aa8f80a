"""Exporting from a panel. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sslseg.errors import SSLSegError
from SSLSegmentLib.export import suggested_name
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
