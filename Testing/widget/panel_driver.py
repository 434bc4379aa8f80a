"""Opens the module's panel under the fake desktop and works with it as a user does."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import slicer

import fake_user
from fake_qt import LOOP, QObject
from fake_slicer_app import Desktop
from sslseg.volume import read_volume
from SSLSegmentLib import mrml

PATIENCE_S = 60.0
UPDATE_S = 0.2
"""The panel waits less than this before it shows what has changed."""
NO_WEIGHTS = "None (random start)"


class Panel:
    """A module that is open.

    Attributes:
        ui: every widget by its name.
        widget: the module's ``SSLSegmentWidget``.
    """

    def __init__(self, desktop: Desktop, module: QObject | None = None) -> None:
        self.desktop = desktop
        self.module = module or desktop.load()
        self.frame = self.module.widgetRepresentation()
        self.frame.enter()

    @property
    def ui(self):
        return slicer.util.childWidgetVariables(self.frame)

    @property
    def widget(self):
        return self.frame.self()

    @property
    def loop(self):
        return self.widget.panel.loop

    def click(self, name: str) -> None:
        fake_user.click(getattr(self.ui, name))

    def enter(self, name: str, value: object) -> None:
        fake_user.enter(getattr(self.ui, name), value)

    def choose(self, name: str, data: str) -> None:
        """Choose the entry of a list that stands for a value, by the text that it has in the panel."""
        fake_user.choose(getattr(self.ui, name), data)

    def choose_training(self, seconds: float = 2.0) -> None:
        """A short training from random weights, chosen in the panel."""
        self.unfold("modelCollapsibleButton")
        self.unfold("advancedGroupBox")
        self.choose("presetComboBox", "Fast")
        self.choose("weightsComboBox", NO_WEIGHTS)
        self.enter("timeLimitSpinBox", seconds)

    def unfold(self, name: str) -> None:
        """Open a section, where it is closed."""
        if getattr(self.ui, name).collapsed:
            fake_user.toggle(getattr(self.ui, name))

    def run_until(self, condition: Callable[[], object], seconds: float = PATIENCE_S) -> float:
        """Let timers fire until something is so; returns how long it took."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < seconds, self.describe()
            LOOP.process()
            time.sleep(0.005)
        return time.monotonic() - begin

    def describe(self) -> str:
        """What the panel says, for a test that waits in vain."""
        return f"{self.ui.statusLabel.text!r} {self.ui.errorLabel.text!r}"

    def begin_training(self) -> None:
        """Press Train and wait until the network learns."""
        self.click("trainButton")
        self.run_until(lambda: self.loop.progress.loss is not None or not self.loop.state.busy)
        assert self.loop.state.busy, self.describe()

    def worker(self) -> psutil.Process:
        """The process that trains."""
        return psutil.Process(self.loop.worker.pid)

    def train(self) -> None:
        """Press Train and wait for the end."""
        self.click("trainButton")
        assert self.ui.trainButton.text == "Stop"
        self.run_until(lambda: not self.loop.state.busy)

    def paint(self, masks: dict[str, np.ndarray]) -> None:
        """Paint masks (K, J, I) into the segments of the chosen segmentation, as the editor does."""
        node, volume = self.loop.segmentation, self.loop.volume
        for segment_id, mask in masks.items():
            if node.GetSegmentation().GetSegment(segment_id) is None:
                node.GetSegmentation().AddEmptySegment(segment_id, segment_id)
            write = slicer.util.updateSegmentBinaryLabelmapFromArray
            LOOP.stopwatch.run("paint", write, mask.astype(np.uint8), node, segment_id, volume)

    def settle(self) -> None:
        """Let what is read and written beside the panel come to its end, and the panel show what has changed."""
        LOOP.advance(0.2)
        self.run_until(lambda: not self.loop.worker.working)
        LOOP.advance(0.2)

    def prepare(self, heart: "Heart") -> None:
        """Make a segmentation, draw on it, and choose a short training."""
        self.settle()
        self.click("createSegmentationButton")
        self.paint(heart.masks())
        self.choose_training()
        self.settle()

    def texts(self) -> list[list[str]]:
        """What the list of annotated slices shows."""
        return fake_user.cell_texts(self.ui.slicesTable)


def processes() -> list[psutil.Process]:
    """What this process has started and what those have, alive now."""
    return [each for each in psutil.Process().children(recursive=True) if each.status() != psutil.STATUS_ZOMBIE]


class Heart:
    """A cardiac image with its labels from the folder of data, loaded into the scene.

    Attributes:
        volume: the node.
        truth: uint8 (K, J, I): 1 right ventricle, 2 myocardium, 3 left ventricle.
    """

    IDS = ("Segment_1", "Myocardium", "LV")

    def __init__(self, desktop: Desktop, app: object, data_dir: Path, patient: str = "patient002_ED") -> None:
        folder = data_dir / "acdc"
        self.desktop = desktop
        self.volume = app.load_volume(folder / f"{patient}.nii.gz")
        self.volume.SetName(patient)
        self.truth = read_volume(folder / f"{patient}_gt.nii.gz").array.astype(np.uint8)
        inside = np.flatnonzero((self.truth > 0).any(axis=(1, 2)))
        picks = np.linspace(inside[0], inside[-1], 5).round().astype(int)[1:-1]
        self.drawn = sorted({int(k) for k in picks})

    def masks(self, slices: list[int] | None = None) -> dict[str, np.ndarray]:
        """What the user paints on ``slices``."""
        on = np.zeros(self.truth.shape, bool)
        on[self.drawn if slices is None else slices] = True
        return {name: on & (self.truth == c) for c, name in enumerate(self.IDS, start=1)}


def labels_of(node: object, volume: object) -> np.ndarray:
    """The class indices (K, J, I) of a segmentation node."""
    return mrml.class_array(node, volume)
