"""What the tests of the core share."""

import importlib
import sys

import pytest
from worker_parent import Parent


@pytest.fixture(autouse=True)
def same_numbers_every_time():
    """Random tensors of a test are the same in every run; torch is not loaded for tests without it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def tiny_training(monkeypatch):
    """The preset "fast" takes a fraction of a second, on the smallest backbone. Gives the preset."""
    # Imported here: most tests of this folder do without torch, which takes seconds to load.
    backbone, presets = (importlib.import_module(f"sslseg.{name}") for name in ("backbone", "presets"))
    tiny = presets.Preset(max_pixels=32, patch=16, batch=2, propagated=1, steps=4, probe_steps=3)
    monkeypatch.setitem(backbone.BACKBONES, "small", backbone.BACKBONES["tiny"])
    monkeypatch.setitem(presets.PRESETS, "fast", tiny)
    return tiny


@pytest.fixture
def folder(tmp_path):
    """With a space and letters that are not ASCII, as users have them."""
    folder = tmp_path / "Müller, Jörg 頭部"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def parent():
    """One worker for all tests of a module that leave it as it was."""
    made = Parent()
    assert made.receive()["ready"] is True
    yield made
    made.close()
