"""How long a training takes on this machine: a few steps of it, timed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from sslseg.annotation import IGNORE, Annotation, default_segments
from sslseg.finetune import Case, finetune
from sslseg.geometry import Geometry
from sslseg.presets import PRESETS
from sslseg.progress import OnProgress, Progress, ShouldStop, ignore_progress, never_stop
from sslseg.settings import Settings
from sslseg.volume import Volume

_STEPS = 4  # of each stage; the first one is not counted, for it finds out how to compute
_SLICES = 6
_ANNOTATED = 2


@dataclass(frozen=True)
class Measurement:
    """What a training would take.

    Attributes:
        seconds: of all steps of the preset, without the volume's own preparation and prediction; None after a stop.
        device: where it was measured.
        stopped: "schedule" or "request".
    """

    seconds: float | None
    device: str
    stopped: str


def measure_training(
    settings: Settings, *, on_progress: OnProgress = ignore_progress, should_stop: ShouldStop = never_stop
) -> Measurement:
    """Time steps of a training with these settings, on noise.

    Patches, batch and network are those of the real training, whatever the volume, so that the rest can be counted.

    Raises:
        InputError: the weights or the device are not there.
    """
    preset = PRESETS[settings.preset]
    ends: dict[str, list[float]] = {}

    def watch(progress: Progress) -> None:
        if progress.step:
            ends.setdefault(progress.stage, []).append(time.perf_counter())
        on_progress(replace(progress, stage="measuring"))

    short = replace(preset, steps=_STEPS, probe_steps=_STEPS)
    settings = replace(settings, time_limit_s=None)
    result = finetune([_noise(preset.max_pixels)], settings, preset=short, on_progress=watch, should_stop=should_stop)
    seconds = None
    if result.stopped != "request":
        steps = preset.stages(settings.mode, pretrained=True)  # without weights there is no probe among the ends
        seconds = sum(steps[stage] * (times[-1] - times[0]) / (len(times) - 1) for stage, times in ends.items())
    return Measurement(seconds, result.device, result.stopped)


def _noise(pixels: int) -> Case:
    """A volume that fills the network's slices, with two of them annotated."""
    rng = np.random.default_rng(0)
    geometry = Geometry((_SLICES, pixels, pixels))
    labels = np.full(geometry.shape, IGNORE, np.uint8)
    labels[:_ANNOTATED] = 0
    labels[:_ANNOTATED, pixels // 4 : pixels // 2, pixels // 4 : pixels // 2] = 1
    image = rng.normal(size=geometry.shape).astype(np.float32)
    return Case(Volume(image, geometry), Annotation(labels, geometry, default_segments([1])), 0)
