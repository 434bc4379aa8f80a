"""The whole loop as a test that needs nothing but the module: the same in Slicer and on slicer-core.

A phantom is loaded from a file, three of its slices are drawn, a network learns from them on the CPU, and what it
found is accepted and exported. Each step raises an AssertionError where something is not as it must be.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels
from sslseg.volume import write_array
from SSLSegmentLib import mrml
from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentLib.loop_state import State
from SSLSegmentLib.requirements import unmet
from SSLSegmentLib.segments import fingerprint
from SSLSegmentLib.settings import LoopSettings

SHAPE = (8, 48, 40)
DIRECTIONS = (0.6, -0.8, 0.0, 0.8, 0.6, 0.0, 0.0, 0.0, 1.0)
GEOMETRY = Geometry(SHAPE, (0.9, 0.9, 4.0), (12.5, -40.0, 7.25), DIRECTIONS)
"""Oblique, with thick slices: what is misplaced shows."""

DRAWN = (1, 4, 6)
HIDDEN = tuple(k for k in range(SHAPE[0]) if k not in DRAWN)
EXPECTED_DICE = 0.8
PATIENCE_S = 240.0
"""Starting Python and torch on a busy machine included."""


def phantom() -> tuple[np.ndarray, np.ndarray]:
    """A noisy image, float32 (K, J, I), of a disc that drifts from slice to slice, and the disc, bool (K, J, I)."""
    k, j, i = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    disc = (j - 18 - k) ** 2 + (i - 16) ** 2 < 90
    noise = np.random.default_rng(0).normal(0, 12, SHAPE)
    return (100 + 200 * disc + noise).astype(np.float32), disc


def load(folder: Path) -> Any:
    """The phantom's volume node, read by Slicer from a file."""
    path = folder / "phantom é.nrrd"
    write_array(phantom()[0], GEOMETRY, path)
    node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), "phantom")
    assert node is not None, f"Slicer cannot read {path}"
    assert GEOMETRY.difference(mrml.volume_geometry(node)) is None
    return node


def annotate(segmentation: Any, volume: Any) -> str:
    """Draw the phantom on three slices, as the Segment Editor does; returns the id of the segment."""
    segment_id = segmentation.GetSegmentation().GetNthSegmentID(0)
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[list(DRAWN)] = phantom()[1][list(DRAWN)]
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentation, segment_id, volume)
    return str(segment_id)


def wait(loop: AnnotationLoop, condition: Callable[[], bool]) -> None:
    """Poll as the panel's timer does, until something is so."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < PATIENCE_S, f"still {loop.state.value} after {PATIENCE_S:.0f} s"
        loop.poll()
        time.sleep(0.01)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks."""
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def train(loop: AnnotationLoop) -> None:
    """Train and predict; the user's drawing stays as it is."""
    before = fingerprint(loop.segmentation)
    assert [entry.index for entry in loop.annotated_slices()] == list(DRAWN)
    loop.train()
    wait(loop, lambda: not loop.state.busy)
    assert loop.state is State.DONE, loop.last_error
    assert loop.result is not None
    score = dice(loop.result.labels[list(HIDDEN)] == 1, phantom()[1][list(HIDDEN)])
    assert score > EXPECTED_DICE, f"Dice {score:.2f} on the slices that were not drawn"
    assert fingerprint(loop.segmentation) == before, "the training has changed the user's segmentation"
    suggestion = loop.suggest_next()
    assert suggestion is not None, "no slice is suggested"
    assert suggestion.index in HIDDEN


def accept(loop: AnnotationLoop, segment_id: str) -> None:
    """Take everything over, back, and over again."""
    drawn = mrml.class_array(loop.segmentation, loop.volume)
    loop.accept_all()
    assert dice(_mask(loop, segment_id), phantom()[1]) > EXPECTED_DICE
    loop.undo()
    assert np.array_equal(mrml.class_array(loop.segmentation, loop.volume), drawn)
    loop.accept_all()


def export(loop: AnnotationLoop, folder: Path, segment_id: str) -> None:
    """Write files and read them back."""
    paths = loop.export(folder, ["seg.nrrd", "nii.gz"])
    assert len(paths) == 2
    for path in paths:
        labels = read_dense_labels(path, GEOMETRY).labels
        assert np.array_equal(labels == 1, _mask(loop, segment_id)), f"{path.name} is not what was accepted"


def _mask(loop: AnnotationLoop, segment_id: str) -> np.ndarray:
    return slicer.util.arrayFromSegmentBinaryLabelmap(loop.segmentation, segment_id, loop.volume) > 0


def run(scene: Any, tell: Callable[[str], object] = lambda _: None) -> None:
    """All steps, one after the other. The scene keeps the nodes; no process and no file is left.

    Args:
        scene: where the nodes go.
        tell: called with the name of each step.

    Raises:
        AssertionError: a step went wrong.
        InputError: a step is not possible.
    """
    assert not unmet(), unmet()[0]
    had_torch = "torch" in sys.modules
    settings = LoopSettings(preset="fast", device="cpu", weights="none", time_limit_s=5.0)
    loop = AnnotationLoop(scene, settings=settings)
    with tempfile.TemporaryDirectory(prefix="sslsegment-test-") as name:
        try:
            tell("Load")
            loop.set_volume(load(Path(name)))
            tell("Annotate")
            segment_id = annotate(loop.create_segmentation(), loop.volume)
            tell("Train")
            train(loop)
            tell("Accept")
            accept(loop, segment_id)
            tell("Export")
            export(loop, Path(name), segment_id)
        finally:
            loop.shutdown()
            wait(loop, lambda: not loop.alive)
    assert ("torch" in sys.modules) == had_torch, "torch was loaded into Slicer's process"
