"""Loss and Dice of a training as a plot that Slicer's plot view shows."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

NAME = "SSLSegment training"
_COLORS = {"Loss": (0.85, 0.33, 0.10), "Dice": (0.00, 0.45, 0.74)}


class Chart:
    """The curves of one training: for each a table and a series node, and a chart node that shows them together.

    Args:
        scene: where the nodes go.
        name: of the nodes.
        title: over the plot.
        curves: "Loss", or "Loss" and "Dice".

    Attributes:
        node: the ``vtkMRMLPlotChartNode``, for a layout to show.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        name: str = NAME,
        title: str = "Training",
        curves: Sequence[str] = tuple(_COLORS),
    ) -> None:
        self._scene = scene
        self.node = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
        self.node.SetTitle(title)
        self.node.SetXAxisTitle("Step")
        self.node.SetYAxisTitle(", ".join(curves))
        self._tables = {curve: self._add_curve(curve) for curve in curves}

    @property
    def present(self) -> bool:
        """Whether the chart is still in the scene: the user may remove it, or close the scene."""
        return bool(self._scene.IsNodePresent(self.node))

    def add(self, step: int, loss: float | None, dice: float | None = None) -> None:
        """Add a point to each curve.

        Args:
            step: training step.
            loss: training loss; None adds none.
            dice: mean foreground Dice on the annotated slices, 0 to 1; None adds none.
        """
        for curve, value in (("Loss", loss), ("Dice", dice)):
            table = self._tables.get(curve)
            if table is not None and value is not None:
                row = table.GetTable().InsertNextBlankRow()
                table.GetTable().SetValue(row, 0, vtk.vtkVariant(float(step)))
                table.GetTable().SetValue(row, 1, vtk.vtkVariant(float(value)))
                table.Modified()

    def points(self, curve: str) -> list[tuple[float, float]]:
        """Step and value of each point of a curve."""
        table = self._tables[curve].GetTable()
        steps, values = (table.GetColumn(n) for n in range(2))
        return [(steps.GetValue(row), values.GetValue(row)) for row in range(table.GetNumberOfRows())]

    def clear(self) -> None:
        """Empty the curves."""
        for table in self._tables.values():
            table.GetTable().SetNumberOfRows(0)
            table.Modified()

    def remove(self) -> None:
        """Take all nodes out of the scene. Those that the user has removed already are passed over."""
        series = [self.node.GetNthPlotSeriesNode(n) for n in range(self.node.GetNumberOfPlotSeriesNodes())]
        for node in (self.node, *series, *self._tables.values()):
            if self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)

    def _add_curve(self, name: str) -> slicer.vtkMRMLTableNode:
        # A table for each: curves with gaps, as Dice has that is not measured at each step, are not drawn by VTK.
        table = self._scene.AddNewNodeByClass("vtkMRMLTableNode", f"{self.node.GetName()}: {name}")
        for column in ("Step", name):
            table.AddColumn(vtk.vtkDoubleArray()).SetName(column)
        series = self._scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName("Step")
        series.SetYColumnName(name)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetColor(*_COLORS[name])
        self.node.AddAndObservePlotSeriesNodeID(series.GetID())
        return table
