"""What tests share: one torch thread, the folder of labelled images where it is there, and a headless Slicer."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "core"))  # every test folder may use synthetic.py

# Two spinning threads on a busy two-core machine are many times slower than one; children inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with ``acdc``, ``hippocampus``, ``sunnybrook`` and so on."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SSLSEG_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"the labelled images are not there ({folder}); set SSLSEG_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def app():
    """A headless Slicer, booted once."""
    from SSLSegmentLib.headless_app import boot  # noqa: PLC0415 - tests of the core need no Slicer

    running = boot()
    yield running
    running.shutdown()


@pytest.fixture
def scene(app):
    app.scene.Clear(0)
    return app.scene
