"""A desktop without Qt around the real scene, with a stopwatch around every handler."""

import sys
from collections import Counter, defaultdict

import pytest
from panel_driver import Heart, Panel, processes

from fake_qt import LOOP
from fake_slicer_app import Desktop
from processes import gone
from SSLSegmentLib.hardware import Hardware

BLOCKING_S = 0.1
TOLERATED = 200  # one call in so many may be slow, because the whole machine stood still
NOT_OURS = {"setup", "paint"}
"""Loading files when the module is first opened, and Slicer's own painting."""


@pytest.fixture
def desktop(app, scene, monkeypatch):
    """Slicer with no module loaded. At its end nothing may run, and nothing may have held up the main thread.

    VTK prints what an observer raises and goes on: here it fails the test.
    """
    faults = []
    monkeypatch.setattr(sys, "excepthook", lambda *fault: faults.append(fault))
    before = {process.pid for process in processes()}
    running = Desktop(app)
    yield running
    running.quit()
    slow = slow_handlers(LOOP.stopwatch.seconds)
    running.close()
    scene.Clear(0)
    for fault in faults:
        raise fault[1]
    assert all(gone(process.pid) for process in processes() if process.pid not in before)
    assert not slow


CALLS: Counter[str] = Counter()
SLOW: dict[str, list[float]] = defaultdict(list)


def slow_handlers(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """Every handler that has needed too long too often, in all tests so far."""
    for label in set(seconds) - NOT_OURS:
        CALLS[label] += len(seconds[label])
        SLOW[label] += [round(value, 3) for value in seconds[label] if value > BLOCKING_S]
    return {label: slow for label, slow in SLOW.items() if len(slow) > max(1, CALLS[label] // TOLERATED)}


@pytest.fixture
def no_measurement(monkeypatch):
    """The panel does not measure how fast this computer is, which takes a worker's start in each test."""
    monkeypatch.setattr(Hardware, "start", lambda _self: None)


@pytest.fixture
def heart(desktop, app, data_dir):
    """A real cardiac image in the desktop's scene."""
    return Heart(desktop, app, data_dir)


@pytest.fixture
def panel(heart, no_measurement):  # noqa: ARG001 - fixtures cannot ask for others by a mark
    """The module, opened in a scene with one volume."""
    return Panel(heart.desktop)
