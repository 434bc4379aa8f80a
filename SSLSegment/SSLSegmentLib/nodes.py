"""Nodes that a panel chooses or makes for the user."""

from __future__ import annotations

from typing import Any

from sslseg.errors import InputError

FIRST_SEGMENT = "Segment_1"
FIRST_COLOR = (0.5, 0.68, 0.5)


def only_volume(scene: Any) -> Any:
    """The scalar volume of a scene that has exactly one, else None.

    Label maps, and nodes that their makers hide from editors, do not count.
    """
    found = [
        node
        for node in scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
    ]
    return found[0] if len(found) == 1 else None


def create_segmentation(scene: Any, volume: Any) -> Any:
    """Make a segmentation node on the grid of ``volume``, with one segment to begin with.

    Raises:
        InputError: there is no volume.
    """
    if volume is None:
        raise InputError("Choose a volume first: a segmentation lies on its voxels.")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.GetSegmentation().AddEmptySegment(FIRST_SEGMENT, FIRST_SEGMENT, FIRST_COLOR)
    return node
