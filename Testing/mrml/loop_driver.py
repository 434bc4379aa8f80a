"""Drives an ``AnnotationLoop`` as a viewer does, with a stopwatch around everything on the viewer's main thread."""

import operator
import time
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import psutil
import slicer

from main_thread import Ledger
from sslseg.geometry import Geometry
from SSLSegmentLib import mrml, wording
from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentLib.loop_job import Suggestion
from SSLSegmentLib.loop_state import ACTIONS, State
from SSLSegmentLib.result import Result
from SSLSegmentLib.settings import LoopSettings

SHAPE = (8, 48, 40)
GEOMETRY = Geometry(SHAPE, spacing=(1.0, 1.2, 4.0), origin=(3.0, -4.0, 5.0))
ANNOTATED = (1, 4, 6)
HIDDEN = tuple(k for k in range(SHAPE[0]) if k not in ANNOTATED)


def fast_settings(**changes) -> LoopSettings:
    """A training of one second."""
    return LoopSettings(**{"preset": "fast", "device": "cpu", "weights": "none", "time_limit_s": 1.0, **changes})


def truth_of(seed: int = 0) -> np.ndarray:
    """Two discs that drift from slice to slice; another seed puts them elsewhere."""
    k, j, i = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    if seed:
        j, i = SHAPE[1] - 1 - j, SHAPE[2] - 1 - i
    truth = np.zeros(SHAPE, np.uint8)
    truth[(j - 16 - k) ** 2 + (i - 14) ** 2 < 70] = 1
    truth[(j - 30) ** 2 + (i - 24 - k) ** 2 < 40] = 2
    return truth


def image_of(truth: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 12, truth.shape)
    return (300 + 200 * (truth == 1) - 200 * (truth == 2) + noise).astype(np.int16)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks; 1 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


class Driver:
    """A loop and its stopwatch.

    Attributes:
        loop: what is driven.
        states: each state that was entered, in order.
        changes: how often the loop said that something has changed.
    """

    ledger: ClassVar[Ledger] = Ledger()

    def __init__(self, scene: slicer.vtkMRMLScene, settings: LoopSettings | None = None, **options) -> None:
        self.states: list[State] = []
        self.changes = 0
        self.loop = AnnotationLoop(scene, settings=settings or fast_settings(), on_changed=self._on_changed, **options)

    def _on_changed(self) -> None:
        """Redraw everything, as a panel does, whatever state the loop is in."""
        if not hasattr(self, "loop"):
            return
        self.changes += 1
        for action in ACTIONS:
            assert all(reason.endswith(".") for reason in self.loop.availability(action).reasons)
            assert wording.tooltip(self.loop, action)
        rows = wording.slice_rows(self.loop)
        assert not rows or len(rows) == len(self.loop.annotated_slices())
        assert wording.status_line(self.loop).endswith((".", "…"))
        if not self.states or self.states[-1] is not self.loop.state:
            self.states.append(self.loop.state)

    def do(self, name: str, *arguments, **options):
        """Call a method of the loop, or of one of its jobs ("apply.start"), by its name, with the stopwatch."""
        return self.ledger.call(name, operator.attrgetter(name)(self.loop), *arguments, **options)

    def poll_until(self, condition: Callable[[], object], seconds: float = 90.0) -> float:
        """Poll as a timer would; returns how long it took."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < seconds, (self.loop.state, self.loop.progress, self.loop.last_error)
            self.do("poll")
            time.sleep(0.005)
        return time.monotonic() - begin

    def begin_training(self) -> None:
        """Train without a time limit, and return as soon as the network learns."""
        limit, self.loop.settings.time_limit_s = self.loop.settings.time_limit_s, 0.0
        self.do("train")
        self.loop.settings.time_limit_s = limit
        self.poll_until(lambda: self.loop.progress.loss is not None or not self.loop.state.busy)
        assert self.loop.state is State.TRAINING, self.loop.last_error

    def train(self) -> None:
        """Train to the end."""
        self.do("train")
        self.poll_until(lambda: not self.loop.state.busy)

    def end(self) -> None:
        """Shut the loop down, and see that no process and no file is left, and nothing blocked the viewer so far."""
        pid, folder = self.loop.worker.pid, self.loop.worker.folder
        self.do("shutdown")
        self.poll_until(lambda: not self.loop.alive and not folder.exists(), seconds=20)
        assert pid is None or not psutil.pid_exists(pid)
        assert not self.ledger.too_slow()


class Patient:
    """A volume node and what the user has drawn on it."""

    def __init__(self, add_volume: Callable, add_segmentation: Callable, *, seed: int = 0, name: str = "heart") -> None:
        self.truth = truth_of(seed)
        self.volume = add_volume(image_of(self.truth), GEOMETRY, name)
        drawn = np.zeros(SHAPE, bool)
        drawn[list(ANNOTATED)] = True
        masks = {f"segment{c}": drawn & (self.truth == c) for c in (1, 2)}
        self.segmentation = add_segmentation(self.volume, masks, name=f"{name} drawn")
        self.fingerprint = mrml.fingerprint(self.segmentation)

    def is_untouched(self) -> bool:
        """Whether the segmentation is as the user drew it."""
        return mrml.fingerprint(self.segmentation) == self.fingerprint

    def open_in(self, driver: Driver) -> None:
        """Choose both nodes in a loop."""
        driver.do("set_volume", self.volume)
        driver.do("set_segmentation", self.segmentation)


def with_result(loop: AnnotationLoop, patient: Patient) -> None:
    """As after a training that predicted the truth."""
    uncertainty = np.zeros(SHAPE, np.uint8)
    loop.result = Result(patient.truth, uncertainty, mrml.segments_from_node(patient.segmentation), 0)
    loop.suggestions = [Suggestion(3, 1.0, "unsure"), Suggestion(0, 0.5, "far")]
