"""What there is to compute with, and how long a training will take there: measured by the worker, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from SSLSegmentLib.background_job import BackgroundJob
from SSLSegmentLib.loop_state import Availability

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop


@dataclass(frozen=True)
class DeviceChoice:
    """One entry of the list of devices.

    Attributes:
        value: for :attr:`SSLSegmentLib.settings.LoopSettings.device`: "auto", "cuda:0", "mps" or "cpu".
        title: for the list, for example "Automatic", "CUDA: NVIDIA RTX 4000" or "CPU".
        tooltip: one sentence.
    """

    value: str
    title: str
    tooltip: str


class Hardware(BackgroundJob):
    """Finds the devices and measures the chosen preset on the CPU, when nothing else runs.

    ``start`` is called once, by a panel that opens. The measurement is repeated by itself for another preset or
    weights, and given up when a training begins; ``state`` is ``RUNNING`` while it goes on. What was measured is kept
    in the user's store.
    """

    def __init__(self, loop: AnnotationLoop, on_changed: Callable[[], None]) -> None:
        super().__init__(on_changed)
        self._loop = loop

    def choices(self) -> list[DeviceChoice]:
        """The devices: "auto" first, those that were found, and the present choice even if it is not there."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """What the chosen device is: "CUDA: NAME", "CPU only: expect about 40 s", "CPU only: measuring…" and so on."""
        raise NotImplementedError

    def availability(self, action: str = "start") -> Availability:
        """What is missing for "start" or "cancel"."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the worker, look for devices, and measure from now on whenever that is needed and possible.

        Raises:
            InputError: packages are missing.
            SSLSegError: the worker cannot be started.
        """
        raise NotImplementedError

    def cancel(self) -> None:
        """Give up the measurement at work, and measure no more until the next start."""
        raise NotImplementedError
