"""A plot inside of the panel, so that the layout of the views stays as the user has it."""

from __future__ import annotations

import itertools
from typing import Any

import slicer

_NUMBERS = itertools.count(1)


class PlotPanel:
    """Shows a chart node in a ``qMRMLPlotWidget``; without one it takes no room.

    Args:
        widget: the plot widget.
        name: of its view node, which no layout has.
    """

    def __init__(self, widget: Any, name: str) -> None:
        self._widget = widget
        self._tag = f"{name}{next(_NUMBERS)}"
        widget.setVisible(False)

    def show(self, chart: Any) -> None:
        """Show another chart, or none."""
        self._widget.setVisible(chart is not None)
        if chart is None:
            return
        view = self._view_node()
        if self._widget.mrmlPlotViewNode() is not view:
            self._widget.setMRMLPlotViewNode(view)
        if view.GetPlotChartNodeID() != chart.GetID():
            view.SetPlotChartNodeID(chart.GetID())

    def close(self) -> None:
        """Take the view node out of the scene."""
        self._widget.setMRMLPlotViewNode(None)
        view = slicer.mrmlScene.GetSingletonNode(self._tag, "vtkMRMLPlotViewNode")
        if view is not None:
            slicer.mrmlScene.RemoveNode(view)

    def _view_node(self) -> Any:
        scene = slicer.mrmlScene
        view = scene.GetSingletonNode(self._tag, "vtkMRMLPlotViewNode")
        if view is None:
            view = slicer.vtkMRMLPlotViewNode()
            view.SetName(self._tag)
            view.SetSingletonTag(self._tag)
            view.SetLayoutName(self._tag)
            view.SetHideFromEditors(True)
            self._set_apart(view)
            view = scene.AddNode(view)
        elif view.GetParentLayoutNode() is None:  # a scene was closed, which resets singletons
            self._set_apart(view)
        return view

    @staticmethod
    def _set_apart(view: Any) -> None:
        """Views that belong to another node than a layout are not managed by Slicer's layout manager."""
        owner = slicer.mrmlScene.GetSingletonNode("SSLSegment", "vtkMRMLScriptedModuleNode")
        view.SetAndObserveParentLayoutNodeID(owner.GetID())
        view.SetSaveWithScene(False)
