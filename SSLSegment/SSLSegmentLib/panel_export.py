"""Exporting from a panel, and what it says meanwhile and afterwards. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sslseg.errors import SSLSegError
from SSLSegmentLib.export import suggested_name
from SSLSegmentLib.panel_tools import attempt

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop


class ExportWork:
    """Writes the user's segmentation to files.

    Args:
        loop: the work.
        on_said: called with each sentence about the export: that it is under way, how it ended.
    """

    def __init__(self, loop: AnnotationLoop, on_said: Callable[[str], None]) -> None:
        self._loop = loop
        self._tell = on_said

    @property
    def suggested_name(self) -> str:
        """What the files are called unless the user says otherwise; empty where there is nothing to export."""
        loop = self._loop
        both = loop.volume is not None and loop.segmentation is not None
        return suggested_name(loop.segmentation, loop.volume) if both else ""

    def start(self, then: Callable[[list[Path]], None] = lambda _: None) -> None:
        """Write the files as the settings say, and hand them to ``then``."""
        loop = self._loop
        said = len(loop.messages)

        def written(paths: list[Path]) -> None:
            names = ", ".join(path.name for path in paths)
            self._tell("\n".join([f"Written: {names}", *loop.messages[said:]]))
            then(paths)

        def failed(error: SSLSegError) -> None:
            self._tell(str(error))

        self._tell("Writing…")
        self._attempt(lambda: loop.start_export(written, failed))

    def _attempt(self, action: Callable[[], None]) -> None:
        """Say why it cannot begin; what it said itself, if it has ended already, stays."""
        attempt(action, lambda sentence: self._tell(sentence) if sentence else None)
