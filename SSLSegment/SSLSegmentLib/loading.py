"""Nodes out of files, where there is no desktop to load them: reading in any thread, nodes on the main thread."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from sslseg.annotation import Annotation
from sslseg.dicom_series import files_of_series, is_dicom
from sslseg.errors import InputError
from sslseg.labelmap_io import SEGMENTATION_ENDING
from sslseg.volume import Volume
from SSLSegmentLib.mrml import fill_segmentation, fill_volume


def add_volume(scene: Any, volume: Volume, path: str | os.PathLike[str]) -> slicer.vtkMRMLScalarVolumeNode:
    """A node of a volume that :func:`sslseg.volume.read_volume` has read from ``path``.

    Voxels are float32. The files of a DICOM series are kept in the storage node, for DICOM export.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", volume.name)
    fill_volume(node, volume.array, volume.geometry)
    node.CreateDefaultDisplayNodes()
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    if is_dicom(Path(path)):
        storage.ResetFileNameList()
        for file in files_of_series(Path(path)):
            storage.AddFileName(str(file))
    node.SetAndObserveStorageNodeID(storage.GetID())
    return node


def add_segmentation(
    segmentations_logic: Any,
    annotation: Annotation,
    path: str | os.PathLike[str],
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkMRMLSegmentationNode:
    """A node of what :func:`sslseg.labelmap_io.read_dense_labels` has read from ``path``, on the grid of a volume.

    A .seg.nrrd keeps layers, names, colours and terminology. Another label map gets a segment for each value; 255
    (not annotated) is left unpainted.

    Args:
        segmentations_logic: Slicer's ``vtkSlicerSegmentationsModuleLogic``, which knows the scene.
        annotation: what was read. On a damaged file Slicer's own reader ends the process: it is never the first.
        path: where from.
        volume_node: the volume.

    Raises:
        InputError: Slicer cannot read it.
    """
    name = Path(path).name
    if name.lower().endswith(SEGMENTATION_ENDING):
        node = segmentations_logic.LoadSegmentationFromFile(str(path), True, name[: -len(SEGMENTATION_ENDING)])
        if node is None:
            raise InputError(f"{path} is no segmentation that Slicer reads: export it again from where it was made.")
        return node
    scene = segmentations_logic.GetMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name.split(".")[0])
    node.CreateDefaultDisplayNodes()
    labels = np.where(annotation.known, annotation.labels, 0).astype(np.uint8)
    fill_segmentation(node, volume_node, labels, annotation.segments)
    return node
