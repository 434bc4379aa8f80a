"""Pictures of segmentations in 3-D, drawn off-screen by Slicer's own view code on slicer-core.

Desktop Slicer has views of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from sslseg.errors import InputError
from sslseg.files import atomic_path
from SSLSegmentLib.headless_app import HeadlessApp

VIEW_FROM_RAS = (0.45, 1.0, 0.5)
"""Where the camera stands: in front of the patient, above, and to the patient's right."""

_MANAGER = "vtkMRMLSegmentationsDisplayableManager3D"
_MARGIN = 1.08
_OPENGL_LIBRARIES = ("libEGL.so.1", "libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")
_INSTALL = "for pictures in 3-D install the Debian packages libegl1 and libgl1-mesa-dri (or libosmesa6), or their like."
_PROBE = """
import vtk
window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
window.SetOffScreenRendering(1)
window.AddRenderer(renderer)
window.Render()
"""


def rendering_available() -> str | None:
    """Why no picture can be drawn on this machine, and what to do, in a sentence; None where it works.

    A first render without OpenGL ends the process with a segmentation fault, so it is tried in a child process.
    """
    return missing_library() or failed_probe()


def missing_library(platform: str = sys.platform, load: Callable[[str], object] = ctypes.CDLL) -> str | None:
    """On Linux, the sentence if there is no library to draw off-screen with; None elsewhere."""
    if not platform.startswith("linux"):
        return None
    for name in _OPENGL_LIBRARIES:
        with contextlib.suppress(OSError):
            load(name)
            return None
    return f"There is no library to draw off-screen with (libEGL or OSMesa): {_INSTALL}"


@functools.cache
def failed_probe() -> str | None:
    """The sentence if a child process that draws an empty picture fails; None where it succeeds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=60, check=False)
        if child.returncode == 0:
            return None
    return f"Drawing off-screen does not work on this machine: {_INSTALL}"


def render_surfaces(
    app: HeadlessApp,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    path: Path,
    *,
    size: tuple[int, int] = (900, 900),
) -> None:
    """Draw the surfaces of all segments, as seen from the front of the patient, into a PNG file.

    The node is copied, so that it neither gets surfaces nor is shown otherwise than before.

    Args:
        app: the running application.
        segmentation_node: what to draw.
        path: the PNG file.
        size: width and height in pixels.

    Raises:
        InputError: nothing is painted.
        OutputError: the file cannot be written.
    """
    scene = slicer.vtkMRMLScene()
    scene.AddNode(slicer.vtkMRMLInteractionNode())  # the displayable managers look for one
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.GetSegmentation().DeepCopy(segmentation_node.GetSegmentation())
    node.CreateClosedSurfaceRepresentation()
    points = _surface_points(node)
    if not len(points):
        raise InputError(
            f"The segmentation '{segmentation_node.GetName()}' holds nothing to draw: paint something first."
        )
    node.CreateDefaultDisplayNodes()
    with _view(app, scene, size) as (window, renderer):
        _light(renderer)
        _aim(renderer.GetActiveCamera(), points, size)
        renderer.ResetCameraClippingRange()
        window.Render()
        save_picture(window, path)


def off_screen_window(size: tuple[int, int]) -> tuple[vtk.vtkRenderWindow, vtk.vtkRenderer]:
    """A window of ``size`` pixels that is never shown, with the interactor that displayable managers want."""
    warnings_shown, verbosity = vtk.vtkObject.GetGlobalWarningDisplay(), vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkObject.GlobalWarningDisplayOff()  # without a display VTK says so before it takes what works without one
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)
    renderer, window, interactor = vtk.vtkRenderer(), vtk.vtkRenderWindow(), vtk.vtkRenderWindowInteractor()
    vtk.vtkLogger.SetStderrVerbosity(verbosity)
    vtk.vtkObject.SetGlobalWarningDisplay(warnings_shown)
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(8)
    window.SetSize(*size)
    window.AddRenderer(renderer)
    interactor.SetRenderWindow(window)
    return window, renderer


@contextlib.contextmanager
def _view(
    app: HeadlessApp, scene: slicer.vtkMRMLScene, size: tuple[int, int]
) -> Iterator[tuple[vtk.vtkRenderWindow, vtk.vtkRenderer]]:
    """A 3-D view of ``scene`` that draws off-screen."""
    factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(app.logic)
    if not factory.IsDisplayableManagerRegistered(_MANAGER):
        factory.RegisterDisplayableManager(_MANAGER)
    window, renderer = off_screen_window(size)
    logic = slicer.vtkMRMLViewLogic()
    logic.SetMRMLApplicationLogic(app.logic)
    logic.SetMRMLScene(scene)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    group.Initialize(factory, renderer)
    group.SetMRMLDisplayableNode(logic.AddViewNode("1"))
    try:
        yield window, renderer
    finally:  # in this order, else objects outlive what they observe
        group.SetMRMLDisplayableNode(None)
        group.SetRenderer(None)
        logic.SetMRMLScene(None)


def _surface_points(node: slicer.vtkMRMLSegmentationNode) -> np.ndarray:
    """All vertices, (n, 3) in RAS mm."""
    points = [np.zeros((0, 3))]
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        surface = vtk.vtkPolyData()
        node.GetClosedSurfaceRepresentation(segment_id, surface)
        if surface.GetNumberOfPoints():
            points.append(numpy_support.vtk_to_numpy(surface.GetPoints().GetData()))
    return np.concatenate(points)


def _aim(camera: vtk.vtkCamera, points: np.ndarray, size: tuple[int, int]) -> None:
    """Fill the picture with ``points``, seen from :data:`VIEW_FROM_RAS`."""
    towards = np.array(VIEW_FROM_RAS) / np.linalg.norm(VIEW_FROM_RAS)
    right = np.cross((0.0, 0.0, 1.0), towards)
    right /= np.linalg.norm(right)
    axes = np.array([right, np.cross(towards, right), towards])
    low, high = (points @ axes.T).min(axis=0), (points @ axes.T).max(axis=0)
    centre, (width, height, depth) = (low + high) / 2 @ axes, high - low
    camera.ParallelProjectionOn()
    camera.SetParallelScale(_MARGIN / 2 * max(height, width * size[1] / size[0]))
    camera.SetFocalPoint(*centre)
    camera.SetPosition(*(centre + towards * (depth + 1)))
    camera.SetViewUp(0, 0, 1)


def _light(renderer: vtk.vtkRenderer) -> None:
    renderer.SetBackground(0.86, 0.89, 0.93)
    renderer.SetBackground2(1, 1, 1)
    renderer.GradientBackgroundOn()
    lights = vtk.vtkLightKit()
    lights.SetKeyLightIntensity(0.85)
    lights.AddLightsToRenderer(renderer)


def save_picture(window: vtk.vtkRenderWindow, path: Path) -> None:
    """Write what a window shows into a PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    picture = vtk.vtkWindowToImageFilter()
    picture.SetInput(window)
    picture.ReadFrontBufferOff()
    picture.SetInputBufferTypeToRGB()
    writer = vtk.vtkPNGWriter()
    writer.SetInputConnection(picture.GetOutputPort())
    with atomic_path(path) as temporary:
        writer.SetFileName(str(temporary))
        writer.Write()
        if writer.GetErrorCode():
            raise OSError("the picture could not be saved, perhaps because the disk is full")
