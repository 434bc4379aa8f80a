"""Pictures of the panel and of what it makes, for ``make screenshots``.

The real module is worked with under the fake desktop, on the brain image of the demonstration; its panel is drawn by
Qt, and the views by Slicer's own code.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from panel_driver import Panel
from panel_state import state_of
from slice_picture import slice_picture

from fake_slicer_app import Desktop
from sslseg.demo import SEGMENTS, LabelledBrain, load_brain
from SSLSegmentLib import mrml
from SSLSegmentLib.headless_app import HeadlessApp, boot
from SSLSegmentLib.render import render_surfaces

HERE = Path(__file__).resolve().parent
ON_THE_WAY_S = 3.0
PATIENCE_S = 300.0
SIZE = (480, 540)
SECTIONS = ("data", "slices", "model", "train", "result", "apply", "pretrain", "export")


class Session:
    """A user's work with the panel, a picture after each part.

    Args:
        app: the scene and its logics.
        folder: where the pictures go.
    """

    def __init__(self, app: HeadlessApp, folder: Path) -> None:
        self.app, self.folder = app, folder
        self.desktop = Desktop(app)
        self.brain: LabelledBrain = load_brain()
        self.volume = app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", self.brain.volume.name)
        mrml.fill_volume(self.volume, self.brain.volume.array, self.brain.volume.geometry)
        self.volume.CreateDefaultDisplayNodes()
        self.panel = Panel(self.desktop)
        self.faults: list[str] = []

    def run(self) -> None:
        """Everything, one after the other."""
        self.show("data", "slices", "train")
        self.draw("panel_start")
        self.annotate()
        self.draw("panel_annotated")
        self.show("model")
        self.panel.unfold("advancedGroupBox")
        self.panel.run_until(lambda: self.panel.loop.worker.devices)
        self.panel.settle()
        self.draw("panel_model")
        self.train()
        self.show("slices", "result")
        self.draw("panel_result")
        self.views()
        self.show("apply", "pretrain", "export")
        self.draw("panel_others")
        self.desktop.quit()
        self.panel.run_until(lambda: not self.panel.loop.alive)
        self.desktop.close()

    def show(self, *sections: str) -> None:
        """Unfold these sections and fold all others."""
        for name in SECTIONS:
            getattr(self.panel.ui, f"{name}CollapsibleButton").collapsed = name not in sections
        self.panel.settle()

    def draw(self, name: str) -> None:
        """Let Qt draw the panel as it is now, in a process of its own."""
        state = self.folder / f"{name}.json"
        state.write_text(json.dumps(state_of(self.panel.frame)), encoding="utf-8")
        command = [sys.executable, str(HERE / "panel_preview.py"), str(state), str(self.folder / f"{name}.png")]
        done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
        state.unlink()
        if done.returncode:
            self.faults.append(done.stderr.strip().splitlines()[-1])

    def annotate(self) -> None:
        """The tissues on three slices."""
        self.panel.click("createSegmentationButton")
        segmentation = self.panel.loop.segmentation.GetSegmentation()
        segmentation.RemoveAllSegments()
        for segment in SEGMENTS:
            segmentation.AddEmptySegment(segment.segment_id, segment.name, segment.color)
        labels = self.brain.annotation.labels
        self.panel.paint({segment.segment_id: labels == c for c, segment in enumerate(SEGMENTS, start=1)})
        self.panel.settle()
        inside = np.flatnonzero(self.brain.reference.labels.any(axis=(1, 2)))
        for index in (int(inside[0]) - 1, int(inside[-1]) + 1):
            self.panel.loop.jump_to(index)
            self.panel.click("markEmptyButton")
            self.panel.settle()

    def train(self) -> None:
        """With a picture on the way."""
        self.panel.choose("presetComboBox", "Fast")
        self.show("train")
        self.panel.click("trainButton")
        loop = self.panel.loop
        self.panel.run_until(lambda: not loop.state.busy or loop.progress.stage == "fine-tuning", PATIENCE_S)
        begin = time.monotonic()
        self.panel.run_until(lambda: not loop.state.busy or time.monotonic() - begin > ON_THE_WAY_S, PATIENCE_S)
        self.panel.settle()
        self.draw("panel_training")
        self.panel.run_until(lambda: not loop.state.busy, PATIENCE_S)
        self.panel.settle()
        if loop.last_error:
            raise SystemExit(loop.last_error)

    def views(self) -> None:
        """The slice between two annotated ones, with prediction and uncertainty; the surfaces."""
        loop = self.panel.loop
        first, second = self.brain.annotated[-2:]
        loop.jump_to((first + second) // 2)
        offset = self.desktop.layouts.sliceWidget("Red").mrmlSliceNode().GetSliceOffset()
        with slice_picture(self.app, self.volume, SIZE) as picture:
            picture.save(offset, self.folder / "view_prediction.png")
            loop.overlay.prediction.GetDisplayNode().SetVisibility(False)
            picture.overlay(loop.overlay.uncertainty, 0.6)
            picture.save(offset, self.folder / "view_uncertainty.png")
            loop.overlay.prediction.GetDisplayNode().SetVisibility(True)
        render_surfaces(self.app, loop.overlay.prediction, self.folder / "view_surfaces.png", size=SIZE)


def main(folder: Path) -> None:
    """All pictures into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(boot(), folder)
    session.run()
    sys.stdout.write("".join(f"{path}\n" for path in sorted(folder.glob("*.png"))))
    if session.faults:
        sys.exit("\n".join(session.faults))
