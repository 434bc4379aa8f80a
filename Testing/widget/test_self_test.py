"""The module's own test notices what is wrong. (That it passes is tested in ``test_inside_slicer.py``.)"""

import numpy as np
import pytest

from SSLSegmentLib import self_test
from SSLSegmentLib.loop import AnnotationLoop


def test_it_says_what_is_not_installed(scene, monkeypatch):
    monkeypatch.setattr(self_test, "unmet", lambda: ["Install what is missing first: PyTorch."])
    with pytest.raises(AssertionError, match="PyTorch"):
        self_test.run(scene)


def test_it_notices_a_bad_prediction(scene, tmp_path):
    loop = AnnotationLoop(scene)
    loop.set_volume(self_test.load(tmp_path))
    segment_id = self_test.annotate(loop.create_segmentation(), loop.volume)
    assert [entry.index for entry in loop.annotated_slices()] == list(self_test.DRAWN)
    assert self_test.dice(self_test.phantom()[1], np.zeros(self_test.SHAPE, bool)) == 0
    with pytest.raises(AssertionError, match="not what was accepted"):
        self_test.export(_Exporting(loop, scene), tmp_path, segment_id)
    loop.shutdown()


class _Exporting:
    """A loop that writes something else than what is drawn."""

    def __init__(self, loop, scene):
        self.volume, self._loop, self._scene = loop.volume, loop, scene
        self.segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(loop.volume)
        self.segmentation.GetSegmentation().AddEmptySegment(loop.segmentation.GetSegmentation().GetNthSegmentID(0))

    def export(self, folder, formats):
        return self._loop.export(folder, formats)
