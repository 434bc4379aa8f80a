"""SSLSegment in 3D Slicer: what the module says of itself, and the shells that Slicer looks for by name.

Nothing here imports torch or installs anything: Slicer loads every module when it starts.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

import qt
from slicer.i18n import tr as _
from slicer.i18n import translate
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


class SSLSegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SSLSegment")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["The SSLSegment developers"]
        parent.helpText = _(
            "Segments a whole volume from a few annotated slices: a small network learns from them on this computer, "
            "shows where it is unsure and suggests the slice to annotate next. Slices that are not annotated are "
            "never taken for background. For research, not for clinical use."
        )
        parent.acknowledgementText = _(
            "The methods follow Pix2Rep (Seince, Le Folgoc, Facury de Souza, Angelini: Dense Self-Supervised Learning "
            "for Medical Image Segmentation, MIDL 2024) and HSSL (Zheng et al.: Hierarchical Self-Supervised Learning "
            "for Medical Image Segmentation Based on Multi-Domain Data Aggregation, MICCAI 2021). "
            "Built with MONAI, PyTorch and SimpleITK."
        )


class SSLSegmentWidget(ScriptedLoadableModuleWidget):
    """Says what works today; the panel is not there yet."""

    def setup(self):
        """Called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        label = qt.QLabel(
            _(
                "<p><b>SSLSegment has no panel yet.</b> It works from a terminal today:</p>"
                "<p><code>sslseg segment IMAGE LABELS -o OUT</code><br>"
                "segments an image file from its annotated slices.</p>"
                "<p><code>python -m SSLSegmentLib.headless VOLUME SEGMENTATION --out-dir DIR</code><br>"
                "does the same through Slicer's own data model, without a window, and exports the result.</p>"
                "<p>The README of the extension explains both.</p>"
            )
        )
        label.wordWrap = True
        self.layout.addWidget(label)
        self.layout.addStretch(1)


class SSLSegmentLogic(ScriptedLoadableModuleLogic):
    """The module's parameter node; the work itself is done in ``SSLSegmentLib``, which needs no Qt."""


class SSLSegmentTest(ScriptedLoadableModuleTest):
    """Is the module whole? Started from Slicer's Self Tests or by ctest."""

    def runTest(self):
        """Called by Slicer; raises where something is missing."""
        self.test_libraries_are_found()

    def test_libraries_are_found(self):
        """Both packages can be imported, and neither brings torch into Slicer's process."""
        had_torch = "torch" in sys.modules
        for name in ("SSLSegmentLib", "sslseg.volume", "sslseg.annotation", "sslseg.protocol"):
            importlib.import_module(name)
        self.assertEqual("torch" in sys.modules, had_torch)
