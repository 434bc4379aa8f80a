"""What tests of the browser's face share. They run in the environment that has trame."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "mrml"))  # loop_driver.py

IN_ITS_ENVIRONMENT = importlib.util.find_spec("trame") is not None
collect_ignore_glob = [] if IN_ITS_ENVIRONMENT else ["test_*.py", "browser"]  # ``make test-web`` runs them


def pytest_collection_modifyitems(items):
    """Browsers come last: once they are started, an event loop runs to the end, and tests cannot run their own."""
    folder = Path(__file__).with_name("browser")
    items.sort(key=lambda item: folder in item.path.parents)


@pytest.fixture
def patient(scene):
    """A volume with a drawing on three slices."""
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    from loop_driver import Patient  # noqa: PLC0415 - needs the application
    from web_panel_driver import add_segmentation, add_volume  # noqa: PLC0415

    return Patient(add_volume, add_segmentation)


@pytest.fixture
def new_web_panel(scene, tmp_path):
    """``new_web_panel(**options)`` makes a loop with a panel in a page."""
    from web_panel_driver import WebPanel  # noqa: PLC0415 - see above

    made = []

    def make(**options):
        made.append(WebPanel(scene, tmp_path / "Ordner für alle", **options))
        return made[-1]

    yield make
    for web in made:
        web.end()


@pytest.fixture
def web(new_web_panel):
    """A panel without data, whose worker listens and does nothing."""
    from SSLSegmentLib.worker_process import WorkerProcess  # noqa: PLC0415 - see above

    def idle(*, folder, **options):
        return WorkerProcess([sys.executable, "-c", "import sys; sys.stdin.read()", str(folder)], **options)

    return new_web_panel(worker_factory=idle)


@pytest.fixture
def views(scene):
    """Three slice views, as the page has them."""
    import slicer  # noqa: PLC0415 - see above
    import vtk  # noqa: PLC0415

    found = []
    for layout, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        view = slicer.vtkMRMLSliceNode()
        view.SetName(layout)
        view.SetLayoutName(layout)
        view = scene.AddNode(view)
        matrix = vtk.vtkMatrix3x3()
        getattr(view, f"Get{orientation}SliceToRASMatrix")(matrix)
        view.AddSliceOrientationPreset(orientation, matrix)
        view.SetOrientation(orientation)
        found.append(view)
    return found
