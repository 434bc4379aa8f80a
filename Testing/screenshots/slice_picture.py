"""A slice view drawn off-screen by Slicer's own view code: volume, overlay and segmentations."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import slicer
import vtk

from SSLSegmentLib.headless_app import HeadlessApp
from SSLSegmentLib.render import off_screen_window, save_picture

_MANAGER = "vtkMRMLSegmentationsDisplayableManager2D"


class SlicePicture:
    """An axial view of a volume.

    Args:
        app: the running application.
        volume: what is shown in the background.
        size: width and height in pixels.
    """

    def __init__(self, app: HeadlessApp, volume: object, size: tuple[int, int]) -> None:
        self._window, renderer = off_screen_window(size)
        renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        renderer.AddViewProp(actor)  # before the segmentations, or their fill would hide the image
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(app.logic)
        self._logic.SetMRMLScene(app.scene)
        self._node = self._logic.AddSliceNode("Picture")
        self._node.SetOrientation("Axial")
        self._node.SetMappedInLayout(1)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(app.logic)
        if not factory.IsDisplayableManagerRegistered(_MANAGER):
            factory.RegisterDisplayableManager(_MANAGER)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(renderer)
        self._group.Initialize(factory, renderer)
        self._group.SetMRMLDisplayableNode(self._node)
        self._logic.ResizeSliceNode(*size)
        self._logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        self._logic.FitSliceToBackground()

    def overlay(self, volume: object, opacity: float) -> None:
        """Lay a volume over the background."""
        composite = self._logic.GetSliceCompositeNode()
        composite.SetForegroundVolumeID(volume.GetID() if volume is not None else None)
        composite.SetForegroundOpacity(opacity)

    def save(self, offset: float, path: Path) -> None:
        """Draw the slice at ``offset`` mm into a PNG file."""
        self._logic.SetSliceOffset(offset)
        self._logic.UpdatePipeline()
        self._mapper.SetInputConnection(self._logic.GetImageDataConnection())
        self._window.Render()
        save_picture(self._window, path)

    def close(self) -> None:
        """Let go of the scene."""
        self._group.SetMRMLDisplayableNode(None)
        self._group.SetRenderer(None)
        self._logic.SetMRMLScene(None)


@contextlib.contextmanager
def slice_picture(app: HeadlessApp, volume: object, size: tuple[int, int]) -> Iterator[SlicePicture]:
    """A view for as long as it is needed."""
    picture = SlicePicture(app, volume, size)
    try:
        yield picture
    finally:
        picture.close()
