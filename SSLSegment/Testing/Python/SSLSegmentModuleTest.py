"""Runs inside Slicer, started by ctest: the module is loaded, says what it is and shows its panel."""

import unittest

import slicer


class SSLSegmentModuleTest(unittest.TestCase):
    """What Slicer sees of the module."""

    def setUp(self):
        """Every test starts with an empty scene."""
        slicer.mrmlScene.Clear()

    def test_module_is_listed_under_segmentation(self):
        """The module selector offers it where users look for segmentation tools."""
        module = slicer.modules.sslsegment
        self.assertEqual(module.title, "SSLSegment")
        self.assertIn("Segmentation", module.categories)

    def test_methods_are_acknowledged(self):
        """Help and acknowledgement name the work that the module rests on."""
        for name in ("Pix2Rep", "HSSL", "MONAI"):
            self.assertIn(name, slicer.modules.sslsegment.acknowledgementText)

    def test_panel_opens(self):
        """Opening the module shows something, and leaves the scene as it was."""
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        widget = slicer.modules.sslsegment.widgetRepresentation()
        self.assertGreater(widget.layout().count(), 0)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    def test_self_test_passes(self):
        """What users can start from Self Tests."""
        slicer.selfTests["SSLSegment"]()
