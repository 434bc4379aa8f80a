"""The whole loop by clicking, with a real worker on a real image."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
from panel_driver import Heart, Panel, labels_of

import fake_user
from fake_values import DIALOGS
from SSLSegmentLib import shortcuts
from SSLSegmentLib.loop_state import State
from SSLSegmentLib.segments import fingerprint

pytestmark = [pytest.mark.data, pytest.mark.slow]

EXPECTED_DICE = 0.5
"""After two seconds of training; copying the nearest drawn slice reaches about as much."""


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def hidden_dice(heart: Heart, labels: np.ndarray) -> float:
    """Mean over the classes, on the slices between the drawn ones."""
    between = [k for k in range(heart.drawn[0], heart.drawn[-1]) if k not in heart.drawn]
    return float(np.mean([dice(labels[between] == c, heart.truth[between] == c) for c in (1, 2, 3)]))


def test_from_a_volume_to_files(app, heart, scene, data_dir, tmp_path):
    panel = Panel(heart.desktop)
    annotate(panel, heart)
    train(panel, heart)
    accept(panel, heart)
    apply_to(panel, Heart(panel.desktop, app, data_dir, "patient003_ED"))
    export(panel, tmp_path / "Ausgabe für alle")
    panel.run_until(lambda: "expect about" in panel.ui.hardwareLabel.text)
    reopen_and_go_on(panel, scene, tmp_path / "scène.mrb")


def annotate(panel: Panel, heart: Heart) -> None:
    """Volume, segmentation, drawing, choices: until Train can be pressed."""
    ui = panel.ui
    assert ui.volumeSelector.currentNode() is heart.volume, "the only volume is chosen by itself"
    assert not ui.trainButton.enabled
    assert "segmentation" in ui.trainButton.toolTip
    panel.click("createSegmentationButton")
    panel.settle()
    assert ui.segmentEditorWidget.segmentationNode() is ui.segmentationSelector.currentNode() is not None
    assert ui.segmentEditorWidget.sourceVolumeNode() is heart.volume
    assert "slice" in ui.trainButton.toolTip.lower()
    panel.paint(heart.masks())
    panel.settle()
    assert len(panel.texts()) == len(heart.drawn)
    panel.choose_training()
    panel.settle()
    assert ui.trainButton.enabled, ui.trainButton.toolTip


def train(panel: Panel, heart: Heart) -> None:
    """Train, and look at what came of it."""
    ui, segmentation = panel.ui, panel.loop.segmentation
    drawn = fingerprint(segmentation)
    panel.train()
    panel.settle()
    assert panel.loop.state is State.DONE, panel.describe()
    assert ui.trainButton.text == "Train"
    assert ui.plotWidget.visible
    assert not ui.trainProgressBar.visible
    assert fingerprint(segmentation) == drawn, "the training has changed the user's segmentation"
    assert not ui.resultCollapsibleButton.collapsed
    assert ui.volumesTable.rowCount == len(heart.IDS)
    prediction = panel.loop.overlay.prediction
    assert prediction is not segmentation
    assert hidden_dice(heart, labels_of(prediction, heart.volume)) > EXPECTED_DICE


def accept(panel: Panel, heart: Heart) -> None:
    """Suggest, accept the slice in view, undo, accept all."""
    drawn = fingerprint(panel.loop.segmentation)
    panel.click("suggestButton")
    assert panel.ui.suggestionLabel.text
    suggested = panel.loop.suggest_next().index
    panel.click("acceptSliceButton")
    panel.settle()
    assert suggested in [entry.index for entry in panel.loop.annotated_slices()], "the slice in view is accepted"
    panel.click("undoAcceptButton")
    assert fingerprint(panel.loop.segmentation) == drawn
    panel.settle()
    panel.click("acceptAllButton")
    panel.settle()
    accepted = labels_of(panel.loop.segmentation, heart.volume)
    assert hidden_dice(heart, accepted) > EXPECTED_DICE
    np.testing.assert_array_equal(accepted[heart.drawn], heart.truth[heart.drawn])


def apply_to(panel: Panel, other: Heart) -> None:
    """The trained model on another volume of the scene."""
    ui = panel.ui
    panel.unfold("applyCollapsibleButton")
    panel.settle()
    assert ui.volumeSelector.currentNode() is not other.volume
    ui.applyVolumesSelector.setCheckState(other.volume, 2)
    panel.settle()
    known = set(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
    panel.click("applyButton")
    assert ui.applyButton.text == "Cancel", ui.applyLabel.text
    panel.run_until(lambda: not panel.loop.apply.state.busy)
    panel.settle()
    (made,) = set(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) - known
    assert made.GetSegmentation().GetNumberOfSegments() == len(other.IDS), ui.applyLabel.text
    assert other.volume.GetName() in made.GetName()
    slicer.mrmlScene.RemoveNode(made)
    slicer.mrmlScene.RemoveNode(other.volume)
    panel.settle()


def export(panel: Panel, folder: Path) -> None:
    """Two formats into a folder that is yet to be made."""
    panel.unfold("exportCollapsibleButton")
    panel.enter("exportFolderPath", str(folder))
    panel.click("exportNiiGzCheckBox")
    panel.settle()
    panel.click("exportButton")
    endings = sorted(path.name.partition(".")[2] for path in folder.iterdir())
    assert endings == ["nii.gz", "seg.nrrd"], panel.ui.exportLabel.text
    assert panel.ui.exportLabel.text.startswith("Written: ")


def reopen_and_go_on(panel: Panel, scene: object, path: Path) -> None:
    """Save the scene, close it, open it again: every choice is back, and the work goes on."""
    panel.enter("seedSpinBox", 7)
    chosen = {name: getattr(panel.loop.settings, name) for name in vars(panel.loop.settings)}
    labels = labels_of(panel.loop.segmentation, panel.loop.volume)
    assert scene.WriteToMRB(str(path))
    scene.Clear(0)
    panel.settle()
    ui = panel.ui
    assert panel.loop.volume is None
    assert ui.volumeSelector.currentNode() is None
    assert not panel.texts()
    assert not ui.trainButton.enabled
    assert scene.ReadFromMRB(str(path))
    panel.settle()
    assert panel.loop.volume is not None
    assert ui.volumeSelector.currentNode() is panel.loop.volume
    assert ui.segmentationSelector.currentNode() is panel.loop.segmentation
    assert ui.segmentEditorWidget.segmentationNode() is panel.loop.segmentation
    assert {name: getattr(panel.loop.settings, name) for name in chosen} == chosen
    np.testing.assert_array_equal(labels_of(panel.loop.segmentation, panel.loop.volume), labels)
    panel.train()
    assert panel.loop.state is State.DONE, panel.describe()


def test_the_list_of_slices_follows_the_drawing(panel, heart):
    panel.settle()
    panel.click("createSegmentationButton")
    first, second, third = heart.drawn
    for drawn in ([first], [first, second]):
        panel.paint(heart.masks(drawn))
        panel.settle()
        assert [entry.index for entry in panel.loop.annotated_slices()] == drawn
        assert len(panel.texts()) == len(drawn)
    fake_user.click_cell(panel.ui.slicesTable, 1)
    panel.click("removeSliceButton")
    panel.settle()
    assert "excluded" in " ".join(panel.texts()[1])
    panel.click("removeSliceButton")
    panel.settle()
    assert "excluded" not in " ".join(panel.texts()[1])
    panel.loop.jump_to(third)
    panel.click("markEmptyButton")
    panel.settle()
    assert "empty" in " ".join(panel.texts()[2]).lower()


def test_a_stop_keeps_the_best_model(panel, heart):
    panel.prepare(heart)
    panel.enter("timeLimitSpinBox", 0.0)
    panel.begin_training()
    panel.click("trainButton")
    seconds = panel.run_until(lambda: not panel.loop.state.busy)
    panel.settle()
    assert panel.loop.state is State.CANCELLED
    assert panel.ui.trainButton.text == "Train"
    assert panel.loop.result is not None
    assert seconds < 20


def test_a_double_click_on_stop_starts_nothing(panel, heart):
    panel.prepare(heart)
    panel.click("trainButton")
    panel.click("trainButton")  # before the worker was asked: it is over at once
    assert not panel.loop.state.busy
    panel.click("trainButton")
    assert not panel.loop.state.busy
    time.sleep(0.6)
    panel.click("trainButton")
    assert panel.loop.state.busy
    panel.click("trainButton")


def test_a_failure_shows_the_last_error_line(panel, heart):
    panel.prepare(heart)
    panel.enter("timeLimitSpinBox", 0.0)
    panel.begin_training()
    panel.worker().kill()
    panel.run_until(lambda: not panel.loop.state.busy)
    panel.settle()
    assert panel.loop.state is State.FAILED
    assert panel.ui.errorLabel.visible
    assert "\n" not in panel.ui.errorLabel.text
    assert panel.ui.errorLabel.text.strip()
    assert panel.ui.trainButton.enabled, "one may try again"
    panel.click("trainButton")
    panel.settle()
    assert not panel.ui.errorLabel.visible


def test_keys_do_what_the_buttons_do(panel, heart):
    window = slicer.util.mainWindow()
    panel.prepare(heart)
    fake_user.press(shortcuts.TRAIN, window)
    assert panel.loop.state.busy
    panel.run_until(lambda: not panel.loop.state.busy)
    panel.settle()
    fake_user.press(shortcuts.SUGGEST, window)
    assert panel.ui.suggestionLabel.text
    fake_user.press(shortcuts.ACCEPT_SLICE, window)
    panel.settle()
    assert len(panel.loop.annotated_slices()) == len(heart.drawn) + 1
    panel.frame.exit()
    assert not fake_user.shortcuts(window), "the keys are the user's again in other modules"
    panel.frame.enter()
    assert len(fake_user.shortcuts(window)) == len(shortcuts.SHORTCUTS)
    assert all(keys in panel.module.helpText for keys in shortcuts.SHORTCUTS)
    assert not DIALOGS.asked


def test_pretraining_by_clicking(panel, data_dir, tmp_path):
    """Weights of one's own from a folder of scans, in a process of their own; they can be chosen at once."""
    ui = panel.ui
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("patient003_ED", "patient004_ED"):
        shutil.copy(data_dir / "acdc" / f"{name}.nii.gz", scans)
    panel.unfold("modelCollapsibleButton")
    panel.unfold("advancedGroupBox")
    panel.enter("weightsFolderPath", str(tmp_path / "weights"))
    panel.unfold("pretrainCollapsibleButton")
    panel.settle()
    assert not ui.pretrainButton.enabled
    assert "folder" in ui.pretrainButton.toolTip
    panel.enter("pretrainFolderPath", str(scans))
    panel.enter("pretrainNameLineEdit", "mine")
    panel.settle()
    panel.click("pretrainButton")
    panel.run_until(lambda: panel.loop.pretraining.progress.loss is not None or not panel.loop.pretraining.state.busy)
    panel.settle()
    assert ui.pretrainButton.text == "Stop pretraining", ui.pretrainLabel.text
    assert ui.pretrainPlotWidget.visible
    panel.click("pretrainButton")
    panel.run_until(lambda: not panel.loop.pretraining.state.busy)
    panel.settle()
    assert any("mine" in text for text in fake_user.entries(ui.weightsComboBox)), ui.pretrainLabel.text
