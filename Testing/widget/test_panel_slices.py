"""Where the slice views go, and what the panel says where they cannot; plots after a scene was closed."""

import shutil

import pytest
import slicer

import fake_user
from SSLSegmentLib import wording
from SSLSegmentLib.loop_job import Suggestion
from SSLSegmentLib.result import Result
from SSLSegmentLib.segments import segments_from_node

pytestmark = pytest.mark.data


def view_of(scene, name):
    return next(view for view in scene.GetNodesByClass("vtkMRMLSliceNode") if view.GetName() == name)


def test_a_suggestion_moves_the_views_of_its_own_axis(panel, heart, scene):
    """Another axis was chosen after the training."""
    panel.prepare(heart)
    loop = panel.loop
    index = next(k for k in range(1, len(heart.truth)) if k not in heart.drawn)
    loop.result = Result(heart.truth, heart.truth * 0, segments_from_node(loop.segmentation), 0)
    loop.suggestions = [Suggestion(index, 1.0, "unsure")]
    fake_user.choose(panel.ui.axisComboBox, fake_user.entries(panel.ui.axisComboBox)[3])
    panel.settle()
    assert loop.axis == 2
    axial, sagittal = view_of(scene, "Red"), view_of(scene, "Yellow")
    axial.SetOrientationToAxial()
    sagittal.SetOrientationToSagittal()
    sagittal.SetSliceOffset(3.0)
    panel.click("suggestButton")
    assert sagittal.GetSliceOffset() == 3.0
    spacing = heart.volume.GetSpacing()[2]
    assert axial.GetSliceOffset() == pytest.approx(heart.volume.GetOrigin()[2] + index * spacing)


def test_the_panel_says_where_no_view_can_show_a_slice(panel, heart, scene):
    panel.prepare(heart)
    for view in scene.GetNodesByClass("vtkMRMLSliceNode"):
        view.SetOrientationToSagittal()
    fake_user.click_cell(panel.ui.slicesTable, 0)
    assert panel.ui.suggestionLabel.text == wording.NO_VIEW
    next(iter(scene.GetNodesByClass("vtkMRMLSliceNode"))).SetOrientationToAxial()
    fake_user.click_cell(panel.ui.slicesTable, 0)
    assert not panel.ui.suggestionLabel.visible


@pytest.mark.slow
def test_the_curve_of_a_pretraining_outlives_the_scene(panel, scene, data_dir, tmp_path):
    ui, job = panel.ui, panel.loop.pretraining
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(data_dir / "acdc" / "patient003_ED.nii.gz", scans)
    for section in ("modelCollapsibleButton", "advancedGroupBox", "pretrainCollapsibleButton"):
        panel.unfold(section)
    panel.enter("weightsFolderPath", str(tmp_path / "weights"))
    panel.enter("pretrainFolderPath", str(scans))
    panel.enter("pretrainNameLineEdit", "mine")
    panel.choose("pretrainBackboneComboBox", "Tiny")
    panel.enter("pretrainMinutesSpinBox", 1.0)
    panel.settle()
    panel.click("pretrainButton")
    panel.run_until(lambda: job.chart_node is not None or not job.state.busy)
    scene.Clear(0)
    panel.settle()
    assert job.state.busy, job.last_error
    panel.run_until(lambda: job.chart_node is not None or not job.state.busy)
    panel.settle()
    assert slicer.mrmlScene.IsNodePresent(job.chart_node)
    assert ui.pretrainPlotWidget.visible
    assert ui.pretrainPlotWidget.mrmlPlotViewNode().GetPlotChartNodeID() == job.chart_node.GetID()
