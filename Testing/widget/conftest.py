"""A desktop without Qt around the real scene, and whatever went wrong in an observer of VTK's."""

import sys

import pytest

from fake_slicer_app import Desktop


@pytest.fixture
def desktop(app, scene, monkeypatch):
    """Slicer with no module loaded. VTK prints what an observer raises and goes on: here it fails the test."""
    faults = []
    monkeypatch.setattr(sys, "excepthook", lambda *fault: faults.append(fault))
    running = Desktop(app)
    yield running
    running.close()
    scene.Clear(0)
    for fault in faults:
        raise fault[1]
