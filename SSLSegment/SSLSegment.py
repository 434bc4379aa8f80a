"""SSLSegment in 3D Slicer: what the module says of itself, and the shells that Slicer looks for by name.

Nothing here imports torch or installs anything: Slicer loads every module when it starts.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

# Installed, the training core lies beside this file, where Slicer looks anyway. In a source tree, which developers add
# to Slicer's module paths as it is, it has a folder of its own.
_SOURCE_TREE_CORE = Path(__file__).resolve().parents[1] / "core_lib"
if importlib.util.find_spec("sslseg") is None and _SOURCE_TREE_CORE.is_dir():
    sys.path.append(str(_SOURCE_TREE_CORE))

from SSLSegmentLib.settings import LoopSettings  # noqa: E402 - found only now
from SSLSegmentLib.shortcuts import SHORTCUTS  # noqa: E402

_DEFAULTS = LoopSettings()


class SSLSegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SSLSegment")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["SegmentEditor", "Segmentations", "Volumes"]
        parent.contributors = ["The SSLSegment developers"]
        parent.helpText = _(
            "Segments a whole volume from a few annotated slices: a small network learns from them on this computer, "
            "shows where it is unsure and suggests the slice to annotate next. Slices that are not annotated are "
            "never taken for background. For research, not for clinical use."
        )
        keys = "".join(f"<li><b>{key}</b>: {_(action)}</li>" for key, action in SHORTCUTS.items())
        parent.helpText += f"<p>{_('Keys, beside those of the Segment Editor:')}</p><ul>{keys}</ul>"
        parent.acknowledgementText = _(
            "The methods follow Pix2Rep (Seince, Le Folgoc, Facury de Souza, Angelini: Dense Self-Supervised Learning "
            "for Medical Image Segmentation, MIDL 2024) and HSSL (Zheng et al.: Hierarchical Self-Supervised Learning "
            "for Medical Image Segmentation Based on Multi-Domain Data Aggregation, MICCAI 2021). "
            "Built with MONAI, PyTorch and SimpleITK."
        )


@parameterNodeWrapper
class SSLSegmentParameterNode:
    """What the user works on, and every choice of :class:`LoopSettings` that belongs to the scene."""

    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    preset: str = _DEFAULTS.preset
    seed: Annotated[int, WithinRange(0, 2**31 - 1)] = _DEFAULTS.seed
    time_limit_s: Annotated[float, WithinRange(0, 86400)] = _DEFAULTS.time_limit_s
    weights: str = _DEFAULTS.weights
    axis: int = _DEFAULTS.axis
    empty_slices: list[int] = _DEFAULTS.empty_slices
    excluded_slices: list[int] = _DEFAULTS.excluded_slices
    background_segment_id: str = _DEFAULTS.background_segment_id
    show_prediction: bool = _DEFAULTS.show_prediction
    prediction_opacity: Annotated[float, WithinRange(0, 1)] = _DEFAULTS.prediction_opacity
    prediction_style: str = _DEFAULTS.prediction_style
    show_in_3d: bool = _DEFAULTS.show_in_3d
    show_uncertainty: bool = _DEFAULTS.show_uncertainty
    uncertainty_opacity: Annotated[float, WithinRange(0, 1)] = _DEFAULTS.uncertainty_opacity
    show_curves: bool = _DEFAULTS.show_curves
    export_formats: list[str] = _DEFAULTS.export_formats
    export_folder: str = _DEFAULTS.export_folder
    export_name: str = _DEFAULTS.export_name
    export_to_database: bool = _DEFAULTS.export_to_database
    apply_model: str = _DEFAULTS.apply_model
    apply_folder: str = _DEFAULTS.apply_folder
    apply_output_folder: str = _DEFAULTS.apply_output_folder
    apply_ending: str = _DEFAULTS.apply_ending
    pretraining_folder: str = _DEFAULTS.pretraining_folder
    pretraining_method: str = _DEFAULTS.pretraining_method
    pretraining_backbone: str = _DEFAULTS.pretraining_backbone
    pretraining_minutes: Annotated[float, WithinRange(1, 10080)] = _DEFAULTS.pretraining_minutes
    pretraining_name: str = _DEFAULTS.pretraining_name


class SSLSegmentWidget(ScriptedLoadableModuleWidget):
    """The panel's frame: Slicer calls it, the panel acts."""

    def setup(self):
        """Called once, when the module is first opened, and again when it is reloaded."""
        ScriptedLoadableModuleWidget.setup(self)
        from SSLSegmentLib.widget import Panel  # noqa: PLC0415 - not when Slicer starts

        root = slicer.util.loadUI(self.resourcePath("UI/SSLSegment.ui"))
        self.layout.addWidget(root)
        self.logic = SSLSegmentLogic()
        self.panel = Panel(root, self.logic.getParameterNode)
        self.loop = self.panel.loop
        if self.parent.isEntered:
            self.panel.enter()

    def enter(self):
        """Called each time the module is opened."""
        self.panel.enter()

    def exit(self):
        """Called each time another module is opened."""
        self.panel.exit()

    def cleanup(self):
        """Called before the module is reloaded, and when Slicer ends."""
        self.panel.close()


class SSLSegmentLogic(ScriptedLoadableModuleLogic):
    """The module's parameter node; the work itself is done in ``SSLSegmentLib``, which needs no Qt."""

    def getParameterNode(self):
        """The scene's parameter node, with typed values."""
        return SSLSegmentParameterNode(super().getParameterNode())


class SSLSegmentTest(ScriptedLoadableModuleTest):
    """Does the whole loop work in this Slicer? Started from Slicer's Self Tests or by ctest; needs no data."""

    def runTest(self):
        """Load, annotate, train on the CPU, predict, accept, undo, export; raises where something is wrong."""
        from SSLSegmentLib import self_test  # noqa: PLC0415 - not when Slicer starts

        slicer.mrmlScene.Clear(0)
        self_test.run(slicer.mrmlScene, self.delayDisplay)
