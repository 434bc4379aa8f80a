"""Apply the finished model to other volumes of the scene, or to a folder of images. No Qt.

The worker of the loop does it, which has the model in memory: a second one would fight with it for processor and GPU.
So a training cannot be started meanwhile, nor the other way round; both say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SSLSegmentLib.background_job import BackgroundJob
from SSLSegmentLib.loop_state import Availability

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop

ENDINGS = (".seg.nrrd", ".nii.gz")
"""Formats of the files that a folder's images are segmented into; the settings' ``apply_ending``."""


class ApplyJob(BackgroundJob):
    """Segments one volume or image after the other with the latest model.

    Each volume gets a new segmentation node "NAME prediction", with the names, colours and terminology of the trained
    segments. Each image file gets a file beside it, or at the same place below ``settings.apply_output_folder``:
    "NAME.seg.nrrd" or "NAME_seg.nii.gz". An image that cannot be read, or whose result is there already, is skipped
    with a sentence in ``messages``. A cancel keeps what is finished.

    Attributes:
        total: volumes or images to segment.
        skipped: how many were left out, each with a sentence in ``messages``.
        results: the segmentation nodes that were made.
        written: the files that were written.
    """

    def __init__(self, loop: AnnotationLoop, on_changed: Callable[[], None]) -> None:
        super().__init__(on_changed)
        self._loop = loop
        self.total = 0
        self.skipped = 0
        self.results: list[Any] = []
        self.written: list[Path] = []

    def candidates(self) -> list[Any]:
        """The scalar volumes of the scene but the one that is worked on, label maps and uncertainty."""
        raise NotImplementedError

    def availability(self, action: str = "start") -> Availability:
        """What is missing for "start" (volumes of the scene), "start_folder" or "cancel"."""
        raise NotImplementedError

    def start(self, volumes: Sequence[Any]) -> None:
        """Segment volume nodes of the scene.

        Raises:
            InputError: something is missing, or no volume is given.
            SSLSegError: the worker cannot be started.
        """
        raise NotImplementedError

    def start_folder(self, *, overwrite: bool = False) -> None:
        """Segment all images below ``settings.apply_folder``.

        Args:
            overwrite: replace results that are there already.

        Raises:
            InputError: something is missing.
            SSLSegError: the worker cannot be started.
        """
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop after the slices at work; one more call before the worker has answered ends the worker at once."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """How far it is, or how it ended, in one sentence: "3 of 5 segmented, 1 skipped." Empty before the start."""
        raise NotImplementedError
