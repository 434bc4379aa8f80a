"""What a training shows in the scene: prediction, uncertainty and curves, in nodes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from sslseg.errors import SSLSegError
from sslseg.progress import Progress
from SSLSegmentLib import mrml
from SSLSegmentLib.chart import Chart
from SSLSegmentLib.loop_session import Submit
from SSLSegmentLib.result import Outputs, Result
from SSLSegmentLib.settings import STYLES, LoopSettings
from SSLSegmentLib.slice_views import ForegroundLayer
from SSLSegmentLib.surfaces import surfaces

FILL_BESIDE_OUTLINE = 0.2
FILL_ALONE = 0.5


class Overlay:
    """The nodes that show a result; a later result replaces their content.

    How they are shown follows the settings when one of these changes; what the user has changed otherwise stays.

    Args:
        scene: where the nodes go.
        settings: say what is wanted.
        on_removed: called when somebody else removed the prediction node.
        on_failed: called with why something could not be shown.
        submit: runs what takes a while, see :meth:`SSLSegmentLib.loop_session.WorkerSession.submit`.

    Attributes:
        prediction: the segmentation node of the prediction, or None.
        uncertainty: the volume node of the uncertainty, or None.
    """

    def __init__(
        self,
        scene: Any,
        settings: LoopSettings,
        on_removed: Callable[[], None],
        on_failed: Callable[[SSLSegError], None],
        submit: Submit,
    ) -> None:
        self._scene = scene
        self._settings = settings
        self._on_removed = on_removed
        self._on_failed = on_failed
        self._submit = submit
        self._layer = ForegroundLayer(scene)
        self._chart: Chart | None = None
        self._curve: tuple[str, int, int] = ("", 0, 0)
        self._clear()
        self._tag = scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._on_node_removed)

    def _clear(self) -> None:
        self.prediction: Any = None
        self.uncertainty: Any = None
        self._volume: Any = None
        self._result: Result | None = None
        self._shown: dict[str, Any] = {}

    def show(self, volume: Any, outputs: Outputs, name: str) -> None:
        """Show a result over its volume, in nodes whose names begin with ``name``.

        Raises:
            InputError: the volume has changed its size since.
        """
        result = outputs.result
        self.prediction = mrml.show_prediction(
            self._scene,
            volume,
            result.labels,
            result.segments,
            node=self.prediction,
            name=f"{name} prediction",
            image=outputs.image,
        )
        self.uncertainty = mrml.show_uncertainty(
            self._scene, volume, result.uncertainty, node=self.uncertainty, name=f"{name} uncertainty"
        )
        self._volume, self._result = volume, result
        if outputs.surfaces is not None:
            mrml.show_surfaces(self.prediction, outputs.surfaces)
        self.update_display()

    def update_display(self) -> None:
        """Show the nodes as the settings say now."""
        if self.prediction is not None:
            self._update_prediction(self.prediction.GetDisplayNode())
        if self.uncertainty is not None and self._settings.show_uncertainty:
            self._layer.show(self.uncertainty, self._volume, self._settings.uncertainty_opacity)
        else:
            self._layer.hide()

    @property
    def chart_node(self) -> Any:
        """The plot chart node of the latest training; None before its first report, and where somebody removed it."""
        return self._chart.node if self._chart is not None and self._chart.present else None

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Step and value of each point of "Loss" or "Dice" of the latest training; empty where there is no chart."""
        return self._chart.points(name) if self._chart is not None and self._chart.present else []

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
        if self._chart is None or not self._chart.present:
            self._chart = Chart(self._scene)
        self._chart.add(offset + progress.step, progress.loss, progress.dice)

    def remove(self) -> None:
        """Take the nodes of the result out of the scene, the curves too."""
        nodes, chart = (self.prediction, self.uncertainty), self._chart
        self.forget()
        if chart is not None:
            chart.remove()
        if nodes[0] is not None:
            mrml.empty_segments(nodes[0], nodes[0].GetSegmentation().GetSegmentIDs())
        for node in nodes:
            if node is not None and self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)

    def forget(self) -> None:
        """Leave the nodes to the user, and the views as they were: the next result gets new nodes."""
        self._layer.hide()
        self._chart = None
        self._clear()

    def close(self) -> None:
        """Stop observing."""
        self.forget()
        self._scene.RemoveObserver(self._tag)

    def _update_prediction(self, display: Any) -> None:
        settings = self._settings
        wanted = {
            "visible": settings.show_prediction,
            "opacity": settings.prediction_opacity,
            "style": settings.prediction_style,
            "3d": settings.show_in_3d,
        }
        changed = {name for name, value in wanted.items() if self._shown.get(name) != value}
        self._shown = wanted
        was_modifying = display.StartModify()
        if "visible" in changed:
            display.SetVisibility(settings.show_prediction)
        if "opacity" in changed:
            display.SetOpacity(settings.prediction_opacity)
        if "style" in changed:
            both, outline, _ = STYLES
            display.SetVisibility2DOutline(settings.prediction_style in (both, outline))
            display.SetVisibility2DFill(settings.prediction_style != outline)
            display.SetOpacity2DFill(FILL_BESIDE_OUTLINE if settings.prediction_style == both else FILL_ALONE)
        if "3d" in changed:
            display.SetVisibility3D(settings.show_in_3d)
        display.EndModify(was_modifying)
        if settings.show_in_3d:
            self._make_surfaces()

    def _make_surfaces(self) -> None:
        """Where the prediction was made while 3-D views did not show it."""
        node, result = self.prediction, self._result
        if result is None or node.GetSegmentation().ContainsRepresentation(mrml.CLOSED_SURFACE):
            return
        geometry = mrml.volume_geometry(self._volume)

        def made(found: list[Any]) -> None:
            if self.prediction is node and self._result is result:
                mrml.show_surfaces(node, found)

        n = len(result.segments)
        self._submit(lambda: surfaces(result.labels, geometry, n), made, self._on_failed, voxels=result.labels.size)

    def _on_node_removed(self, *_: Any) -> None:
        if self.uncertainty is not None and not self._scene.IsNodePresent(self.uncertainty):
            self._layer.hide()
            self.uncertainty = None
        if self.prediction is not None and not self._scene.IsNodePresent(self.prediction):
            self.prediction = None
            self._on_removed()
