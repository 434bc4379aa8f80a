"""Whatever happens to the scene, the module or the application, no process is left and nothing else is touched."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import slicer
from panel_driver import Panel

from fake_qt import LOOP
from fake_values import DIALOGS, QSettings
from processes import gone
from SSLSegmentLib import requirements, worker_process
from SSLSegmentLib.loop_state import State

pytestmark = [pytest.mark.data, pytest.mark.usefixtures("no_measurement")]

STUBBORN = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print('{"id": 0, "event": "result", "ready": true, "version": "0", "devices": [{"name": "cpu", "description": "CPU"}]}',
      flush=True)
time.sleep(600)
"""
"""A worker with a child, which answers nothing and does not end when it is asked to."""


@pytest.fixture
def training(monkeypatch, heart):
    """A panel in the middle of a training whose worker has a child."""
    monkeypatch.setattr(worker_process, "worker_command", lambda _folder=None: [sys.executable, "-c", STUBBORN])
    panel = Panel(heart.desktop)
    panel.prepare(heart)
    panel.click("trainButton")
    panel.run_until(lambda: panel.worker().children() and panel.loop.worker._waiting)
    assert panel.loop.state.busy
    return panel


def family(panel: Panel) -> list[int]:
    return [panel.worker().pid, *(child.pid for child in panel.worker().children(recursive=True))]


ENDINGS = {
    "reload": lambda _: slicer.util.reloadScriptedModule("SSLSegment"),
    "application exit": lambda panel: panel.desktop.quit(),
    "second stop": lambda panel: (panel.click("trainButton"), panel.click("trainButton")),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_no_process_is_left(training, how):
    pids = family(training)
    assert len(pids) == 2
    ENDINGS[how](training)
    training.run_until(lambda: not any(map(psutil.pid_exists, pids)) or all(gone(pid, 0.01) for pid in pids), 10)
    assert all(gone(pid) for pid in pids)


def test_a_reloaded_module_works(training, heart):
    training.settle()
    slicer.util.reloadScriptedModule("SSLSegment")
    panel = Panel(training.desktop, training.module)
    panel.settle()
    assert panel.loop.state is State.IDLE
    assert panel.ui.volumeSelector.currentNode() is heart.volume, "the parameter node is still there"
    assert panel.ui.trainButton.enabled
    assert panel.ui.presetComboBox.currentText == "Fast"


REMOVALS = {
    "volume": lambda scene, panel: scene.RemoveNode(panel.loop.volume),
    "segmentation": lambda scene, panel: scene.RemoveNode(panel.loop.segmentation),
    "scene": lambda scene, _: scene.Clear(0),
    "parameter node": lambda scene, _: scene.RemoveNode(scene.GetSingletonNode("SSLSegment", PARAMETER_CLASS)),
}
PARAMETER_CLASS = "vtkMRMLScriptedModuleNode"


@pytest.mark.parametrize("what", REMOVALS)
def test_what_is_removed_during_a_training(training, scene, what):
    pids = family(training)
    REMOVALS[what](scene, training)
    training.settle()
    if what != "parameter node":
        assert training.loop.state is State.IDLE
        assert not training.ui.trainButton.enabled
        assert training.ui.trainButton.text == "Train"
    training.frame.exit()
    training.frame.enter()
    training.desktop.quit()
    assert all(gone(pid) for pid in pids)


def test_two_panels_do_not_mix(desktop, heart):
    """Both look at one scene; what one of them finds is its own."""
    panel = Panel(desktop)
    panel.prepare(heart)
    other = slicer.util.getNewModuleWidget("SSLSegment")
    other.enter()
    LOOP.advance(0.2)
    panel.train()
    panel.settle()
    assert panel.loop.state is State.DONE, panel.describe()
    assert other.panel.loop.state is State.IDLE
    assert other.panel.loop.result is None
    assert other.panel.loop.overlay.prediction is None
    other.cleanup()
    LOOP.advance(0.2)
    assert panel.loop.result is not None


def test_the_views_stay_as_they_were(desktop, heart, scene):
    """Opening the module, training and leaving it move no view and change no layout; only the suggestion does."""
    layout = desktop.layouts
    layout.layout = 3
    theirs = slicer.vtkMRMLSegmentEditorNode()
    theirs.SetSingletonTag("SegmentEditor")
    theirs = scene.AddNode(theirs)
    theirs.SetActiveEffectName("Paint")
    for name in layout.sliceViewNames():
        layout.sliceWidget(name).sliceLogic().SetSliceOffset(33.0)
    before = views(scene), theirs.GetActiveEffectName(), theirs.GetSegmentationNode()
    panel = Panel(desktop)
    panel.prepare(heart)
    panel.train()
    panel.settle()
    panel.frame.exit()
    assert (views(scene), theirs.GetActiveEffectName(), theirs.GetSegmentationNode()) == before
    assert layout.layout == 3
    own = panel.ui.segmentEditorWidget
    assert own.mrmlSegmentEditorNode() is not theirs
    assert not own.__dict__["_shortcuts"]
    panel.frame.enter()
    assert own.__dict__["_shortcuts"]
    panel.settle()
    panel.click("suggestButton")
    assert [offset for _, offset, *_ in views(scene)[:3]] != [33.0] * 3, "the suggested slice comes into view"


def views(scene) -> list[tuple]:
    """Where each slice view stands, and what it shows behind the overlay."""
    found = []
    for node in scene.GetNodesByClass("vtkMRMLSliceNode"):
        matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        found.append((node.GetName(), node.GetSliceOffset(), node.GetFieldOfView(), matrix.tolist()))
    background = [node.GetBackgroundVolumeID() for node in scene.GetNodesByClass("vtkMRMLSliceCompositeNode")]
    return [*found, *background]


def test_closing_the_module_leaves_the_scene_to_the_user(panel, heart, scene):
    panel.prepare(heart)
    panel.desktop.quit()
    LOOP.advance(0.2)
    left = {scene.GetNthNode(n).GetName() for n in range(scene.GetNumberOfNodes())}
    assert not {name for name in left if name and name.startswith(("SSLSegmentEditor", "SSLSegmentCurves"))}
    assert heart.volume.GetName() in left


def test_settings_of_the_user_are_not_in_the_scene(panel, tmp_path, scene):
    panel.unfold("modelCollapsibleButton")
    panel.unfold("advancedGroupBox")
    panel.enter("weightsFolderPath", str(tmp_path))
    assert str(tmp_path) in map(str, QSettings._store.values())
    scene.Clear(0)
    panel.settle()
    assert panel.ui.weightsFolderPath.currentPath == str(tmp_path)


@pytest.fixture
def packaging(monkeypatch):
    """A Slicer in which nothing but PyTorch is installed."""
    fake = FakePackaging()
    monkeypatch.setitem(sys.modules, "slicer.packaging", fake)
    monkeypatch.setattr(requirements, "_is_there", lambda need: need.name in fake.installed)
    requirements.look_again()
    yield fake
    monkeypatch.undo()
    requirements.look_again()


def test_without_its_packages_the_panel_says_what_to_do_first(packaging, heart):
    asked = packaging.asked
    panel = Panel(heart.desktop)
    panel.settle()
    ui = panel.ui
    assert ui.firstStepFrame.visible
    assert "MONAI" in ui.firstStepLabel.text
    assert not ui.trainButton.enabled
    assert "Install" in ui.trainButton.toolTip
    assert not asked
    no, yes = panel.desktop.qt.QMessageBox.No, panel.desktop.qt.QMessageBox.Yes
    DIALOGS.answers[:] = [no]
    panel.click("installButton")
    assert not asked
    assert "MB" in DIALOGS.asked[-1], "the question says how large it is"
    DIALOGS.answers[:] = [yes]
    panel.click("installButton")
    panel.settle()
    assert asked
    assert not ui.firstStepFrame.visible


class FakePackaging:
    """``slicer.packaging`` with a pip that always succeeds."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.installed = {"torch"}

    @staticmethod
    def load_requirements(path: str) -> list[str]:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line and not line.startswith(("#", "-"))]

    def pip_ensure(self, needs: list[str], *, prompt_install: bool = True, requester: str | None = None) -> None:
        assert requester == "SSLSegment"
        assert not prompt_install, "the module has asked already"
        self.asked.extend(needs)
        self.installed |= {need.partition(">")[0].partition("<")[0].partition("=")[0].strip() for need in needs}


@pytest.mark.slow
def test_an_exit_without_a_word_leaves_no_process(data_dir):
    """The interpreter ends in the middle of a training, as Slicer does when the user closes it."""
    here = Path(__file__).resolve().parent
    code = f"""
import sys
sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]
from pathlib import Path
from fake_slicer_app import Desktop
from panel_driver import Heart, Panel
from SSLSegmentLib.headless_app import boot
app = boot()
desktop = Desktop(app)
heart = Heart(desktop, app, Path({str(data_dir)!r}))
panel = Panel(desktop)
panel.prepare(heart)
panel.enter("timeLimitSpinBox", 0.0)
panel.begin_training()
print(panel.worker().pid, panel.loop.worker.folder, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    pid, folder = done.stdout.split(maxsplit=1)
    assert gone(int(pid))
    assert not Path(folder.strip()).exists()
