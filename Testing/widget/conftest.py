"""A desktop without Qt around the real scene, with a stopwatch around every handler."""

import sys

import pytest
from panel_driver import Heart, Panel, processes

from fake_qt import LOOP
from fake_slicer_app import Desktop
from main_thread import Ledger
from processes import gone
from SSLSegmentLib.hardware import Hardware

LEDGER = Ledger()


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
    LEDGER.add(LOOP.stopwatch.seconds)
    running.close()
    scene.Clear(0)
    for fault in faults:
        raise fault[1]
    assert all(gone(process.pid) for process in processes() if process.pid not in before)
    assert not LEDGER.too_slow()


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
