"""What there is to compute with, and how long a training will take there: measured by the worker, never guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sslseg import __version__
from sslseg.errors import CheckpointError, InputError, SSLSegError
from sslseg.shipped import resolve_weights
from SSLSegmentLib.background_job import BackgroundJob, JobState
from SSLSegmentLib.loop_state import Availability
from SSLSegmentLib.requirements import unmet
from SSLSegmentLib.weights import cached_header
from SSLSegmentLib.wording import duration

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop

_KEY = "SSLSegment/TrainingSeconds"
_AUTO = "auto"
_NOT_YET = {False: "Not looked for yet.", True: "Looking for devices…"}


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
        self._wanted = False
        self._asked: dict[str, Any] = {}
        self._key = ""
        self._failed: set[str] = set()

    def choices(self) -> list[DeviceChoice]:
        """The devices: "auto" first, those that were found, and the present choice even if it is not there."""
        choices = [DeviceChoice(_AUTO, "Automatic", "The fastest device that is there.")]
        for device in self._loop.worker.devices:
            sentence = f"Compute on {device['name']}: {device['description']}."
            choices.append(DeviceChoice(device["name"], device["description"], sentence))
        chosen = self._loop.settings.device
        if chosen not in {choice.value for choice in choices}:
            tooltip = "It was not found on this computer." if self._loop.worker.devices else "Not looked for yet."
            choices.append(DeviceChoice(chosen, chosen, tooltip))
        return choices

    @property
    def text(self) -> str:
        """What the chosen device is: "CUDA: NAME", "CPU only: expect about 40 s", "CPU only: measuring…" and so on."""
        devices = self._loop.worker.devices
        if not devices:
            return unmet()[0] if unmet() else _NOT_YET[self._loop.worker.alive]
        device = self._device()
        if device is None:
            return self.problem
        if device["name"] != "cpu":
            return device["description"]
        name = "CPU only" if len(devices) == 1 else "CPU"
        return f"{name}: {self._expectation()}"

    @property
    def problem(self) -> str:
        """Why the chosen device cannot be used, as a sentence; empty where it can, and while that is not known."""
        if not self._loop.worker.devices or self._device() is not None:
            return ""
        return f"Device '{self._loop.settings.device}' is not there: choose another one."

    def availability(self, action: str = "start") -> Availability:
        """What is missing for "start" or "cancel"."""
        return self._for_cancel("Nothing is being measured.") if action == "cancel" else Availability(tuple(unmet()))

    def start(self) -> None:
        """Start the worker, look for devices, and measure from now on whenever that is needed and possible.

        Raises:
            InputError: packages are missing.
            SSLSegError: the worker cannot be started.
        """
        self._require(self.availability())
        self._loop.worker.start()
        self._wanted = True
        self._failed.clear()

    def cancel(self) -> None:
        """Give up the measurement at work, and measure no more until the next start."""
        self._wanted = False
        super().cancel()

    def give_way(self) -> None:
        """Give up the measurement at work, which would take the processor from something else; it is made later."""
        super().cancel()

    def poll(self) -> None:
        """Measure, where that is wanted and the worker has nothing else to do."""
        if self.state.busy and self._asked is not self._loop.worker.ready:  # that worker has ended
            self._end(JobState.IDLE)
        if not self._wanted or self.state.busy or not self._loop.worker.ready or self._others_are_busy():
            return
        key = self._measurable()
        if key and key not in self._failed and self._seconds(key) is None:
            self._measure(key)

    def close(self) -> None:
        """Measure no more."""
        self._wanted = False
        self._end(JobState.IDLE)

    def fail(self, error: SSLSegError) -> None:
        """End with an error; the same is not measured again until the next start."""
        self._failed.add(self._key)
        super().fail(error)

    def _measure(self, key: str) -> None:
        self._key = key
        self._asked = self._loop.worker.ready
        self._begin("measuring")
        settings = {**self._loop.settings.training().as_dict(), "device": "cpu"}
        self._ask(self._loop.worker, {"do": "measure", "settings": settings}, self._measured)

    def _measured(self, reply: dict[str, Any]) -> None:
        if reply.get("seconds") is None:
            self._end(JobState.IDLE)
            return
        self._loop.store.setValue(self._key, f"{reply['seconds']:.3g}")
        self._end(JobState.DONE)

    def _expectation(self) -> str:
        key = self._measurable()
        seconds = self._seconds(key) if key else None
        if seconds is not None:
            return f"expect about {duration(seconds)}"
        if not key:
            return "no estimate for these settings"
        if key in self._failed:
            return "could not be measured"
        return "measuring…" if self._wanted and not self._others_are_busy() else "not measured yet"

    def _seconds(self, key: str) -> float | None:
        """What was measured under ``key``."""
        with contextlib.suppress(ValueError):
            return float(str(self._loop.store.value(key, "") or ""))
        return None

    def _measurable(self) -> str:
        """What the time depends on, as a key of the store; empty where there is nothing to measure."""
        device = self._device()
        if device is None or device["name"] != "cpu":
            return ""
        try:
            settings = self._loop.settings.training()
            path = resolve_weights(settings.weights)
            network = cached_header(path)["backbone"] if path is not None else "scratch"
        except (InputError, CheckpointError):
            return ""
        shape = "-".join(map(str, network["widths"])) if isinstance(network, dict) else network
        return "/".join((_KEY, __version__, device["description"], settings.preset, shape))

    def _device(self) -> dict[str, str] | None:
        """The device that a training would use; None where it is not there."""
        chosen, devices = self._loop.settings.device, self._loop.worker.devices
        if chosen == _AUTO:
            return devices[0] if devices else None
        found = "cuda:0" if chosen == "cuda" else chosen
        return next((device for device in devices if device["name"] == found), None)

    def _others_are_busy(self) -> bool:
        loop = self._loop
        return loop.state.busy or loop.apply.state.busy or loop.pretraining.state.busy
