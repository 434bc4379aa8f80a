"""The curves of a training as Slicer's plot nodes."""

import numpy as np
import pytest
import slicer

from SSLSegmentLib.chart import Chart


def curves(chart):
    """What Slicer draws: for each series the points that its columns give."""
    found = {}
    for n in range(chart.node.GetNumberOfPlotSeriesNodes()):
        series = chart.node.GetNthPlotSeriesNode(n)
        table = series.GetTableNode()
        columns = [
            slicer.util.arrayFromTableColumn(table, c) for c in (series.GetXColumnName(), series.GetYColumnName())
        ]
        found[series.GetName()] = np.transpose(columns).tolist()
    return found


@pytest.fixture
def chart(scene):
    return Chart(scene)


def test_points_are_added_to_their_curves(chart):
    assert curves(chart) == {"Loss": [], "Dice": []}
    chart.add(1, 0.9)
    chart.add(2, 0.7, 0.25)
    chart.add(5, None, 0.5)
    assert curves(chart) == {"Loss": [[1, 0.9], [2, 0.7]], "Dice": [[2, 0.25], [5, 0.5]]}


def test_views_hear_of_each_point(chart):
    heard = []
    series = chart.node.GetNthPlotSeriesNode(0)
    series.AddObserver(slicer.vtkMRMLPlotSeriesNode.TableModifiedEvent, lambda *_: heard.append(1))
    chart.add(1, 0.9)
    assert heard


def test_clear_keeps_the_nodes_for_the_next_training(scene, chart):
    chart.add(1, 0.9, 0.1)
    before = scene.GetNumberOfNodes()
    chart.clear()
    assert curves(chart) == {"Loss": [], "Dice": []}
    chart.add(3, 0.5)
    assert curves(chart)["Loss"] == [[3, 0.5]]
    assert scene.GetNumberOfNodes() == before


def test_remove_leaves_nothing(scene):
    before = scene.GetNumberOfNodes()
    chart = Chart(scene)
    scene.RemoveNode(chart.node.GetNthPlotSeriesNode(1))  # by the user
    chart.remove()
    chart.remove()
    assert scene.GetNumberOfNodes() == before


def test_curves_survive_a_saved_scene(app, scene, chart, tmp_path):
    chart.add(1, 0.9, 0.1)
    path = tmp_path / "s.mrb"
    app.save_scene(path)
    scene.Clear(0)
    assert scene.ReadFromMRB(str(path), True)
    chart.node = scene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert curves(chart) == {"Loss": [[1, 0.9]], "Dice": [[1, 0.1]]}
