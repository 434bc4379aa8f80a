"""Just enough of Slicer's application on slicer-core, where there is neither Qt nor a main window.

Desktop Slicer makes the scene, its logics and its readers itself: this module is not used there.
"""

from __future__ import annotations

import gc
import os
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
import vtk

from sslseg.errors import InputError, OutputError
from sslseg.files import atomic_path
from sslseg.labelmap_io import read_dense_labels
from sslseg.volume import read_volume
from SSLSegmentLib.loading import add_segmentation, add_volume
from SSLSegmentLib.mrml import volume_geometry


class HeadlessApp:
    """A scene, and what MRML needs to read, show and save volumes and segmentations.

    Use :func:`boot`: Slicer's C++ side knows only one application in a process.

    Attributes:
        scene: the scene; also ``slicer.mrmlScene``.
        logic: the application logic, on which views are built.
    """

    def __init__(self) -> None:
        _print_messages_to_stderr()
        self._temporary = tempfile.TemporaryDirectory(prefix="sslsegment-")
        self.scene = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetMRMLScene(self.scene)
        self.logic.SetTemporaryPath(self._temporary.name)
        self._connect_data_io()
        colors = self.logic.GetColorLogic()
        colors.SetMRMLScene(self.scene)
        colors.AddDefaultColorNodes()
        self.logic.SetModuleLogic("Colors", colors)
        volumes = self._connect("Volumes", slicer.vtkSlicerVolumesLogic())
        self._segmentations = self._connect("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic())
        # Where the functions of slicer.util look for the scene and the logics.
        slicer.mrmlScene = self.scene
        slicer.modules = types.SimpleNamespace(
            volumes=types.SimpleNamespace(logic=lambda: volumes),
            segmentations=types.SimpleNamespace(logic=lambda: self._segmentations),
        )

    def load_volume(self, path: str | os.PathLike[str]) -> slicer.vtkMRMLScalarVolumeNode:
        """A volume node from NRRD, NIfTI, MetaImage, or a DICOM series (a folder, or one of its files).

        Voxels are float32. The files of a DICOM series are kept in the storage node, for DICOM export.

        Raises:
            InputError: see :func:`sslseg.volume.read_volume`.
        """
        return add_volume(self.scene, read_volume(path), path)

    def load_segmentation(
        self, path: str | os.PathLike[str], volume_node: slicer.vtkMRMLScalarVolumeNode
    ) -> slicer.vtkMRMLSegmentationNode:
        """A segmentation node from a .seg.nrrd, layers, names, colours and terminology kept, or from a label map.

        A label map gets a segment for each value; 255 (not annotated) is left unpainted.

        Raises:
            InputError: see :func:`sslseg.labelmap_io.read_dense_labels`.
        """
        annotation = read_dense_labels(path, volume_geometry(volume_node))
        return add_segmentation(self._segmentations, annotation, path, volume_node)

    def save_scene(self, path: str | os.PathLike[str]) -> None:
        """Write everything into one .mrb file, which desktop Slicer opens.

        Raises:
            InputError: another ending.
            OutputError: it cannot be written. An older file stays until the new one is complete.
        """
        if Path(path).suffix.lower() != ".mrb":
            raise InputError(f"{path} is no Slicer scene: give a file name that ends in .mrb.")
        with atomic_path(path) as temporary:
            if not self.scene.WriteToMRB(str(temporary)):
                raise OutputError(f"{path} could not be written: look for the reason in the messages above.")

    def shutdown(self) -> None:
        """Let go of the scene and all that observes it; :func:`boot` then starts anew."""
        self.scene.Clear(1)
        self.logic.SetMRMLScene(None)
        slicer.mrmlScene = slicer.modules = None
        _running.clear()
        self._temporary.cleanup()
        gc.collect()

    def _connect(self, name: str, logic: Any) -> Any:
        logic.SetMRMLScene(self.scene)
        logic.SetMRMLApplicationLogic(self.logic)
        self.logic.SetModuleLogic(name, logic)
        return logic

    def _connect_data_io(self) -> None:
        """What the scene asks for a cache folder, without which it cannot unpack .mrb files."""
        self._remote_io = slicer.vtkMRMLRemoteIOLogic()
        self._remote_io.GetCacheManager().SetRemoteCacheDirectory(self._temporary.name)
        self._data_io = slicer.vtkDataIOManagerLogic()
        self._data_io.SetMRMLApplicationLogic(self.logic)
        self._data_io.SetAndObserveDataIOManager(self._remote_io.GetDataIOManager())
        self.logic.SetMRMLSceneDataIO(self.scene, self._remote_io, self._data_io)


_running: list[HeadlessApp] = []


def boot() -> HeadlessApp:
    """The application of this process, started at the first call."""
    if not _running:
        _running.append(HeadlessApp())
    return _running[0]


def _print_messages_to_stderr() -> None:
    """VTK's errors and warnings: where they go by default is a window on Windows."""
    window = vtk.vtkOutputWindow()
    window.SetDisplayModeToAlwaysStdErr()
    vtk.vtkOutputWindow.SetInstance(window)
