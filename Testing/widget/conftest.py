"""A desktop without Qt around the real scene, with a stopwatch around every handler."""

import sys

import pytest
from panel_driver import Heart, Panel, processes

from fake_qt import LOOP
from fake_slicer_app import Desktop
from processes import gone

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


def slow_handlers(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """The times above the limit of every handler that needed more too often."""
    found = {}
    for label in set(seconds) - NOT_OURS:
        slow = [round(value, 3) for value in seconds[label] if value > BLOCKING_S]
        if len(slow) > len(seconds[label]) // TOLERATED:
            found[label] = slow
    return found


@pytest.fixture
def heart(desktop, app, data_dir):
    """A real cardiac image in the desktop's scene."""
    return Heart(desktop, app, data_dir)


@pytest.fixture
def panel(heart):
    """The module, opened in a scene with one volume."""
    return Panel(heart.desktop)
