"""What a training shows in the scene: prediction, uncertainty and curves, in nodes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from sslseg.progress import Progress
from SSLSegmentLib import mrml
from SSLSegmentLib.chart import Chart
from SSLSegmentLib.result import Result
from SSLSegmentLib.settings import LoopSettings


class Overlay:
    """The nodes that show a result; a later result replaces their content.

    Args:
        scene: where the nodes go.
        settings: say what is wanted.
        on_removed: called when somebody else removed the prediction node.

    Attributes:
        prediction: the segmentation node of the prediction, or None.
        uncertainty: the volume node of the uncertainty, or None.
    """

    def __init__(self, scene: Any, settings: LoopSettings, on_removed: Callable[[], None]) -> None:
        self._scene = scene
        self._settings = settings
        self._on_removed = on_removed
        self.prediction: Any = None
        self.uncertainty: Any = None
        self._chart: Chart | None = None
        self._curve: tuple[str, int, int] = ("", 0, 0)
        self._tag = scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._on_node_removed)

    def show(self, volume: Any, result: Result, name: str) -> None:
        """Show a result over its volume, in nodes whose names begin with ``name``.

        Raises:
            InputError: the volume has changed its size since.
        """
        if self._settings.show_prediction:
            self.prediction = mrml.show_prediction(
                self._scene, volume, result.labels, result.segments, node=self.prediction, name=f"{name} prediction"
            )
        if self._settings.show_uncertainty:
            self.uncertainty = mrml.show_uncertainty(
                self._scene, volume, result.uncertainty, node=self.uncertainty, name=f"{name} uncertainty"
            )

    @property
    def chart_node(self) -> Any:
        """The plot chart node of the latest training; None before its first report."""
        return self._chart.node if self._chart else None

    def update_display(self) -> None:
        """Show the nodes as the settings say now."""

    def begin_curves(self) -> None:
        """Start new curves; those of the former training go."""
        if self._chart is not None:
            self._chart.clear()
        self._curve = ("", 0, 0)

    def add_to_curves(self, progress: Progress) -> None:
        """Draw one report. The stages of a training follow one another on one axis."""
        if not self._settings.show_curves or progress.loss is None:
            return
        stage, offset, last = self._curve
        if progress.stage != stage:
            offset += last
        self._curve = (progress.stage, offset, progress.step)
        if self._chart is None:
            self._chart = Chart(self._scene)
        self._chart.add(offset + progress.step, progress.loss, progress.dice)

    def remove(self) -> None:
        """Take the nodes of the result out of the scene, the curves too."""
        nodes, chart = (self.prediction, self.uncertainty), self._chart
        self.forget()
        if chart is not None:
            chart.remove()
        for node in nodes:
            if node is not None and self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)

    def forget(self) -> None:
        """Leave the nodes to the user: the next result gets new ones."""
        self.prediction = self.uncertainty = self._chart = None

    def close(self) -> None:
        """Stop observing."""
        self.forget()
        self._scene.RemoveObserver(self._tag)

    def _on_node_removed(self, *_: Any) -> None:
        if self.uncertainty is not None and not self._scene.IsNodePresent(self.uncertainty):
            self.uncertainty = None
        if self.prediction is not None and not self._scene.IsNodePresent(self.prediction):
            self.prediction = None
            self._on_removed()
