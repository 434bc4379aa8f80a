"""The slice views of a scene: where they stand, and what lies in front of their image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import slicer
import vtk

from sslseg.annotation import check_slices
from sslseg.errors import InputError
from SSLSegmentLib.mrml import volume_geometry
from SSLSegmentLib.oriented_image import lps_affine

PARALLEL = 0.95
"""A view shows slices along an axis if the cosine between its normal and the axis is larger."""

_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


def jump_to_slice(scene: Any, volume: Any, axis: int, index: int) -> int:
    """Move every slice view that shows slices along an array axis of ``volume`` to one of them.

    Only offsets change: a view that shows another orientation stays, and so do zoom, centre and layers.

    Args:
        scene: its slice nodes are moved.
        volume: the volume node.
        axis: array axis of the slice, 0 (K), 1 (J) or 2 (I).
        index: of the slice along ``axis``.

    Returns:
        How many views show the slice now.

    Raises:
        InputError: there is no volume, or no such slice.
    """
    if volume is None:
        raise InputError("There is no volume: choose one before jumping to a slice.")
    check_slices([index], volume_geometry(volume).shape, axis)
    position = _centre(volume, _voxel_to_world(volume), axis, index)
    views = [view for view in scene.GetNodesByClass("vtkMRMLSliceNode") if shows_axis(view, volume, axis)]
    for view in views:
        view.JumpSliceByOffsetting(*position)
    return len(views)


def slice_in_view(scene: Any, volume: Any, axis: int) -> int | None:
    """The slice along an array axis that a view of the present layout shows.

    Args:
        scene: its slice views are looked at.
        volume: the volume node.
        axis: array axis of the slices, 0 (K), 1 (J) or 2 (I).

    Returns:
        The index along ``axis``; None where no view shows such slices, or none of the volume's.
    """
    try:
        shape = volume_geometry(volume).shape if volume is not None else (0, 0, 0)
    except InputError:
        return None
    views = list(scene.GetNodesByClass("vtkMRMLSliceNode"))
    shown = [view for view in views if view.IsMappedInLayout()]  # outside of the desktop nothing is ever mapped
    for view in shown or views:
        index = index_in_view(view, volume, axis) if volume is not None else None
        if index is not None and 0 <= index < shape[axis]:
            return index
    return None


def index_in_view(view: Any, volume: Any, axis: int) -> int | None:
    """The slice along an array axis that one view shows, beyond the volume also; None if it shows no such slices.

    Args:
        view: the slice node.
        volume: the volume node.
        axis: array axis of the slices, 0 (K), 1 (J) or 2 (I).
    """
    if not shows_axis(view, volume, axis):
        return None
    to_world, plane = _voxel_to_world(volume), lps_affine(view.GetSliceToRAS())
    first = _centre(volume, to_world, axis, 0) * (-1, -1, 1)
    normal, step = plane[:3, 2], to_world[:3, 2 - axis]
    return round(float(normal @ (plane[:3, 3] - first) / (normal @ step)))  # where it cuts the line of centres


def slice_offsets(volume: Any, axis: int, indices: Iterable[int]) -> list[str]:
    """Where slices lie along their axis, as the slider of an upright slice view says: "S 12.5 mm"."""
    to_world = _voxel_to_world(volume)
    step = to_world[:3, 2 - axis] * (-1, -1, 1)
    along = int(np.abs(step).argmax())
    normal = np.sign(step[along]) * step / np.linalg.norm(step)
    first, per_slice = normal @ _centre(volume, to_world, axis, 0), normal @ step
    offsets = [round(float(first + index * per_slice), 1) for index in indices]
    return [f"{_LETTERS[along][offset >= 0]} {abs(offset):.1f} mm" for offset in offsets]


def _centre(volume: Any, to_world: np.ndarray, axis: int, index: int) -> np.ndarray:
    """The centre of a slice, RAS mm, as the views show it."""
    voxel = [(n - 1) / 2 for n in reversed(volume_geometry(volume).shape)]
    voxel[2 - axis] = index
    return (to_world @ (*voxel, 1.0))[:3] * (-1, -1, 1)


class _Layer(NamedTuple):
    """What a view had in front before."""

    volume_id: str | None
    opacity: float


class ForegroundLayer:
    """A volume laid over another one in all slice views that show it; what was there before comes back.

    A view whose foreground the user changes meanwhile is the user's again.

    Args:
        scene: its slice views are used.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._shown_id: str | None = None
        self._before: dict[str, _Layer] = {}

    def show(self, volume: Any, over: Any, opacity: float) -> None:
        """Lay ``volume`` over ``over`` wherever that is the background, with an opacity from 0 to 1."""
        if self._shown_id not in (None, volume.GetID()):
            self.hide()
        self._shown_id = volume.GetID()
        for view in self._scene.GetNodesByClass("vtkMRMLSliceCompositeNode"):
            front = view.GetForegroundVolumeID()
            if view.GetBackgroundVolumeID() != over.GetID():
                continue
            if front != self._shown_id:
                if view.GetID() in self._before:
                    continue
                self._before[view.GetID()] = _Layer(front, view.GetForegroundOpacity())
            _put(view, _Layer(self._shown_id, opacity))

    def hide(self) -> None:
        """Give every view its former foreground and opacity back."""
        is_gone = self._shown_id is not None and self._scene.GetNodeByID(self._shown_id) is None
        for view_id, before in self._before.items():
            view = self._scene.GetNodeByID(view_id)
            if view is None:
                continue
            front = view.GetForegroundVolumeID()
            if front == self._shown_id or (is_gone and not front):
                known = before.volume_id and self._scene.GetNodeByID(before.volume_id)
                _put(view, before if known else _Layer(None, before.opacity))
        self._shown_id, self._before = None, {}


def _put(view: Any, layer: _Layer) -> None:
    was_modifying = view.StartModify()  # one redraw
    view.SetForegroundVolumeID(layer.volume_id)
    view.SetForegroundOpacity(layer.opacity)
    view.EndModify(was_modifying)


def shows_axis(view: Any, volume: Any, axis: int) -> bool:
    """Whether a view shows slices along an array axis of a volume."""
    normal = lps_affine(view.GetSliceToRAS())[:3, 2]
    step = _voxel_to_world(volume)[:3, 2 - axis]
    return bool(abs(normal @ step) > PARALLEL * np.linalg.norm(normal) * np.linalg.norm(step))


def _voxel_to_world(volume: Any) -> np.ndarray:
    """From (i, j, k, 1) to the LPS position at which views show a voxel, transforms of the volume included."""
    matrix, to_world = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    vtk.vtkMatrix4x4.Multiply4x4(to_world, matrix, matrix)
    return lps_affine(matrix)
