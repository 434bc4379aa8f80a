"""Runs inside Slicer, started by ctest: the whole loop through the panel, button by button."""

import tempfile
import time
import unittest
from pathlib import Path

import slicer

from SSLSegmentLib import self_test
from SSLSegmentLib.segments import fingerprint


class SSLSegmentPanelTest(unittest.TestCase):
    """The panel in this Slicer, with a real worker."""

    def setUp(self):
        """An empty scene and an open panel."""
        slicer.mrmlScene.Clear(0)
        self.frame = slicer.modules.sslsegment.widgetRepresentation()
        self.ui = slicer.util.childWidgetVariables(self.frame)
        self.frame.enter()

    def tearDown(self):
        """Another module is opened."""
        self.frame.exit()

    def wait(self, condition, what):
        """Let Slicer do its work until something is so."""
        begin = time.monotonic()
        while not condition():
            said = f"{self.ui.statusLabel.text} {self.ui.errorLabel.text}"
            self.assertLess(time.monotonic() - begin, self_test.PATIENCE_S, f"{what} in vain: {said}")
            slicer.app.processEvents()
            time.sleep(0.01)

    def click(self, name):
        """Wait until a button may be pressed, and press it."""
        button = getattr(self.ui, name)
        self.wait(lambda: button.enabled, f"{name} was waited for")
        button.click()

    def test_panel_is_complete(self):
        """Eight sections, a segment editor, and a button that says why it cannot be pressed yet."""
        sections = [name for name in vars(self.ui) if name.endswith("CollapsibleButton")]
        self.assertEqual(len(sections), 8)
        self.assertIsNotNone(self.ui.segmentEditorWidget.mrmlSegmentEditorNode())
        self.assertFalse(self.ui.trainButton.enabled)
        self.assertIn("volume", self.ui.trainButton.toolTip)

    def test_loop_by_clicking(self):
        """Load, annotate, train `fast` on the CPU, predict, suggest, accept, undo, export."""
        loop = self.frame.self().panel.loop
        with tempfile.TemporaryDirectory() as name:
            volume = self_test.load(Path(name))
            self.wait(lambda: self.ui.volumeSelector.currentNode() is volume, "the volume was to be chosen")
            self.click("createSegmentationButton")
            segment_id = self_test.annotate(loop.segmentation, volume)
            parameters = self.frame.self().logic.getParameterNode()
            parameters.preset, parameters.weights, parameters.time_limit_s = "fast", "none", 5.0
            parameters.export_folder = name
            drawn = fingerprint(loop.segmentation)
            self.click("trainButton")
            self.assertTrue(loop.state.busy)
            self.wait(lambda: not loop.state.busy, "the training was to end")
            self.assertEqual(loop.state.value, "done", loop.last_error)
            self.assertEqual(fingerprint(loop.segmentation), drawn)
            self.click("suggestButton")
            self.assertTrue(self.ui.suggestionLabel.text)
            self.click("acceptAllButton")
            self.assertNotEqual(fingerprint(loop.segmentation), drawn)
            self.click("undoAcceptButton")
            self.assertEqual(fingerprint(loop.segmentation), drawn)
            self.click("acceptAllButton")
            self.click("exportButton")
            self.assertEqual(len(list(Path(name).glob("*.seg.nrrd"))), 1, self.ui.exportLabel.text)
            labels = slicer.util.arrayFromSegmentBinaryLabelmap(loop.segmentation, segment_id, volume)
            self.assertGreater(self_test.dice(labels > 0, self_test.phantom()[1]), self_test.EXPECTED_DICE)
