"""What is open: volumes and their segmentations, of which one each is worked on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import slicer

from sslseg.errors import InputError
from sslseg.itk_io import WRITE_ENDINGS
from sslseg.labelmap_io import read_dense_labels
from sslseg.volume import read_volume
from SSLSegmentLib.loading import add_segmentation, add_volume
from SSLSegmentLib.loop import AnnotationLoop
from SSLSegmentLib.mrml import volume_geometry
from SSLSegmentLib.segments import LABELMAP, drawn_state
from SSLSegmentWeb.editor import Editor
from SSLSegmentWeb.safe_image import check_fits_memory, check_self_contained
from SSLSegmentWeb.views import Views

REFERENCE = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()


class Scene:
    """Opens files, and lets loop, editor and views work on the same nodes.

    A drawing is never thrown away: what another volume or segmentation takes the place of stays, and can be chosen
    again. Only what nobody has drawn on is closed.

    Args:
        app: trame-slicer's; owns the MRML scene.
        loop: works on the nodes.
        editor: edits the segmentation.
        views: show the volume.
    """

    def __init__(self, app: Any, loop: AnnotationLoop, editor: Editor, views: Views) -> None:
        self._app = app
        self.loop = loop
        self._editor = editor
        self._views = views
        self._opening = asyncio.Lock()
        self._saved: dict[str, Any] = {}

    def volumes(self) -> list[Any]:
        """The volumes that are open."""
        nodes = self._app.scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
        return [node for node in nodes if node.GetStorageNode() is not None]

    def segmentations(self) -> list[Any]:
        """The segmentations of the volume that is worked on."""
        nodes = self._app.scene.GetNodesByClass("vtkMRMLSegmentationNode")
        predicted = self.loop.overlay.prediction
        volume = self.loop.volume
        return [node for node in nodes if node is not predicted and node.GetNodeReference(REFERENCE) is volume]

    @property
    def unsaved(self) -> bool:
        """Whether there is a drawing that was not exported since it changed, on whatever volume."""
        predicted = self.loop.overlay.prediction
        nodes = self._app.scene.GetNodesByClass("vtkMRMLSegmentationNode")
        return any(self._saved.get(node.GetID()) != drawn_state(node) for node in nodes if node is not predicted)

    def exported(self, node_id: str, state: tuple[Any, ...]) -> None:
        """What was drawn in a segmentation when its state was ``state`` is in files."""
        self._saved[node_id] = state

    def _note_as_opened(self) -> None:
        """What the segmentation shows is what its file has."""
        node = self.loop.segmentation
        self.exported(node.GetID(), drawn_state(node))

    async def open(self, kind: str, path: Path) -> None:
        """Open a file as a volume, or as a segmentation of the volume that is worked on.

        Raises:
            InputError: it cannot be read, does not fit, or a training goes on.
        """
        async with self._opening:
            self._require_rest()
            await asyncio.to_thread(check_self_contained, path)
            await asyncio.to_thread(check_fits_memory, path)
            if kind == "volume":
                volume = await asyncio.to_thread(read_volume, path)
                self._require_rest()
                node = add_volume(self._app.scene, volume, path)
                node.SetName(_without_ending(path.name))
                self._use_volume(node)
                return
            reference = self.loop.volume
            if reference is None:
                raise InputError("Open the volume first: a segmentation lies on its voxels.")
            annotation = await asyncio.to_thread(read_dense_labels, path, volume_geometry(reference))
            self._require_rest()
            if self.loop.volume is not reference:
                raise InputError(f"Another volume was chosen while {path} was read: open it again.")
            node = add_segmentation(self._app.segmentations_logic, annotation, path, reference)
            node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
            self._use_segmentation(node)
            self._note_as_opened()

    def choose(self, kind: str, node_id: str) -> None:
        """Work on another volume or segmentation that is open.

        Raises:
            InputError: it is not open any more, or a training goes on.
        """
        self._require_rest()
        known = self.volumes() if kind == "volume" else self.segmentations()
        node = next((node for node in known if node.GetID() == node_id), None)
        if node is None:
            raise InputError(f"This {kind} is not open any more: choose another one.")
        if kind == "volume":
            self._use_volume(node)
        else:
            self._use_segmentation(node)

    def new_segmentation(self) -> None:
        """Begin another segmentation of the volume; the present one stays.

        Raises:
            InputError: there is no volume, or a training goes on.
        """
        self._require_rest()
        self._use_segmentation(None)

    def _use_volume(self, volume: Any) -> None:
        former, drawn = self.loop.volume, self._leave_segmentation()
        self.loop.set_volume(volume)
        if former is not None and former is not volume and not drawn:
            self._remove(former)
        self._views.show(volume)
        known = self.segmentations()
        self._begin(known[-1] if known else None)

    def _use_segmentation(self, node: Any) -> None:
        self._leave_segmentation()
        self._begin(node)

    def _leave_segmentation(self) -> bool:
        """Let go of the segmentation; whether it stays because something is drawn on it, here or in one left before."""
        loop, node = self.loop, self.loop.segmentation
        if loop.result is not None:
            loop.discard()
        others = [other for other in self.segmentations() if other is not node]
        self._editor.edit(None, None)
        loop.set_segmentation(None)
        if node is None:
            return bool(others)
        if _is_empty(node):
            self._app.scene.RemoveNode(node)
            return bool(others)
        node.SetDisplayVisibility(False)
        return True

    def _begin(self, node: Any) -> None:
        if node is None:
            self.loop.create_segmentation()
            self._note_as_opened()
        else:
            self.loop.set_segmentation(node)
        self.loop.segmentation.SetDisplayVisibility(True)
        self._editor.edit(self.loop.segmentation, self.loop.volume)

    def _remove(self, volume: Any) -> None:
        for node in (volume.GetStorageNode(), volume.GetDisplayNode(), volume):
            if node is not None:
                self._app.scene.RemoveNode(node)

    def _require_rest(self) -> None:
        if self.loop.state.busy or self.loop.accepting:
            raise InputError("A training is under way: stop it first, or wait for its end.")


def _without_ending(name: str) -> str:
    return next((name[: -len(ending)] for ending in WRITE_ENDINGS if name.lower().endswith(ending)), name)


def _is_empty(node: Any) -> bool:
    """Whether no segment has a voxel. Its label map may be there and empty."""
    segmentation = node.GetSegmentation()
    box = [0] * 6
    for segment_id in segmentation.GetSegmentIDs():
        image = segmentation.GetSegment(segment_id).GetRepresentation(LABELMAP)
        if image is not None and slicer.vtkOrientedImageDataResample.CalculateEffectiveExtent(image, box):
            return False
    return True
