"""Runs inside Slicer, started by ctest: the module is loaded, says what it is, and gets on with this Slicer's MRML."""

import unittest

import numpy as np
import slicer

from sslseg.annotation import Segment
from sslseg.geometry import Geometry
from SSLSegmentLib import mrml


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

    def test_labels_come_back_as_they_were_written(self):
        """Through a segmentation node, on an oblique volume with thick slices."""
        directions = (0.6, -0.8, 0.0, 0.8, 0.6, 0.0, 0.0, 0.0, 1.0)
        geometry = Geometry((5, 12, 10), (0.7, 0.8, 6.0), (12.5, -40.0, 7.25), directions)
        labels = np.zeros(geometry.shape, np.uint8)
        labels[1:4, 2:9, 3:8] = 1
        labels[2, 5:11, 1:5] = 2
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
        mrml.fill_volume(volume, labels.astype(np.float32), geometry)
        segments = (Segment("first", (1.0, 0.0, 0.0), 1, "a"), Segment("second", (0.0, 0.0, 1.0), 2, "b"))
        node = mrml.show_prediction(slicer.mrmlScene, volume, labels, segments)
        self.assertIsNone(geometry.difference(mrml.volume_geometry(volume)))
        self.assertTrue(np.array_equal(mrml.class_array(node, volume), labels))

    def test_self_test_is_offered(self):
        """Users can start it from Self Tests; ctest runs it by itself."""
        self.assertIn("SSLSegment", slicer.selfTests)
