"""What each widget of the fake panel shows, as plain values for ``panel_preview.py``."""

import slicer

import fake_user
from fake_qt import QObject

COPIED = ("text", "title", "plainText", "checked", "collapsed", "minimum", "maximum", "value", "currentPath")
CURVES = {"loss": "Loss", "dice": "Dice"}


def state_of(panel: QObject) -> dict[str, dict]:
    """The state of every widget that has a name, by that name."""
    return {child.objectName: _state(child) for child in panel.findChildren(QObject) if child.objectName}


def _state(widget: QObject) -> dict:
    state = {"enabled": widget.enabled, "shown": not widget.isHidden()}
    state |= {name: getattr(widget, name) for name in COPIED if hasattr(widget, name)}
    kind = widget.className()
    if kind == "QComboBox":
        state |= {"items": fake_user.entries(widget), "currentIndex": widget.currentIndex}
    elif kind == "qMRMLNodeComboBox":
        node = widget.currentNode()
        state |= {"items": [node.GetName() if node else "None"], "currentIndex": 0}
    elif kind == "qMRMLCheckableNodeComboBox":
        checked = [node.GetName() for node in widget.checkedNodes()]
        state |= {"items": [", ".join(checked) or "None"], "currentIndex": 0}
    elif kind == "QTableWidget":
        state |= {"rows": fake_user.cell_texts(widget), "headers": widget._headers}
    elif kind == "qMRMLSegmentEditorWidget":
        state["segments"] = _segments(widget.segmentationNode())
    elif kind == "qMRMLPlotWidget":
        state["curves"] = _curves(widget.mrmlPlotViewNode())
    return state


def _segments(node: object) -> list[tuple]:
    if node is None:
        return []
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]
    return [(segment.GetName(), segment.GetColor()) for segment in segments]


def _curves(view: object) -> dict[str, list[tuple[float, float]]]:
    chart = view.GetPlotChartNode() if view is not None else None
    curves = {}
    for n in range(chart.GetNumberOfPlotSeriesNodes() if chart else 0):
        series = chart.GetNthPlotSeriesNode(n)
        columns = (series.GetXColumnName(), series.GetYColumnName())
        x, y = (slicer.util.arrayFromTableColumn(series.GetTableNode(), name) for name in columns)
        curves[series.GetName()] = [(float(a), float(b)) for a, b in zip(x, y, strict=True) if b == b]  # noqa: PLR0124
    return curves
