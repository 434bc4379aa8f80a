"""Pretrain a backbone on a folder of unlabelled scans, in a worker of its own, so that annotation goes on. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from SSLSegmentLib.background_job import BackgroundJob
from SSLSegmentLib.loop_state import Availability

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop


class PretrainingJob(BackgroundJob):
    """One run of self-supervised pretraining, as ``settings.pretraining_*`` say.

    The weights go to "NAME.safetensors" in the user's weights folder, beside a folder "NAME.run" with which a run
    that was stopped goes on when it is started again under its name. The time budget is that of the whole run. A
    cancel keeps what was learned. The worker ends with the run.

    Attributes:
        weights: the file of the latest run, once it is finished or cancelled with something learned; None otherwise.
        chart_node: the plot chart node of the loss curve; None before the first report.
    """

    def __init__(self, loop: AnnotationLoop, on_changed: Callable[[], None]) -> None:
        super().__init__(on_changed)
        self._loop = loop
        self.weights: Path | None = None

    @property
    def resumes(self) -> str:
        """A sentence where a run of the chosen name is there and would go on; empty otherwise."""
        raise NotImplementedError

    def availability(self, action: str = "start") -> Availability:
        """What is missing for "start" or "cancel"."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin, or go on with the run of that name.

        Raises:
            InputError: something is missing.
            SSLSegError: the worker cannot be started.
        """
        raise NotImplementedError

    def cancel(self) -> None:
        """End the run with what it has learned; one more call before the worker has answered ends it at once."""
        raise NotImplementedError
