"""The user's segmentation, or a prediction, as files: .seg.nrrd, label maps, surfaces, DICOM SEG."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk

from sslseg.annotation import Segment
from sslseg.dicom_series import is_dicom
from sslseg.errors import InputError
from sslseg.files import atomic_path, check_writable
from sslseg.labelmap_io import write_labels
from SSLSegmentLib.mrml import class_array, segments_from_node, volume_geometry
from SSLSegmentLib.oriented_image import ras_transform
from SSLSegmentLib.segments import labels_on_grid, transform_between
from SSLSegmentLib.surfaces import surfaces

if TYPE_CHECKING:
    from SSLSegmentLib.dicom_seg import SourceSeries

_NAME_BYTES = 100  # file systems take 255, and a surface has the names of the segmentation and of the segment
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class _Task:
    """What to write, and where.

    Attributes:
        segmentation_node: a copy that is in no scene, in the coordinates of the volume.
        volume_node: a copy of the volume's grid that is in no scene.
        dicom: the DICOM images of the volume; empty where it is not from DICOM.
        base: the path without its ending.
        tell: is told what was left out.
    """

    segmentation_node: slicer.vtkMRMLSegmentationNode
    volume_node: slicer.vtkMRMLScalarVolumeNode
    dicom: list[Path]
    base: Path
    tell: Callable[[str], None]

    @property
    def nodes(self) -> tuple[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLScalarVolumeNode]:
        return self.segmentation_node, self.volume_node

    @property
    def segments(self) -> tuple[Segment, ...]:
        return segments_from_node(self.segmentation_node)

    def path(self, ending: str, part: str = "") -> Path:
        return self.base.with_name(f"{self.base.name}{part}.{ending}")


class Export:
    """A segmentation to be written, on the grid of the volume and in its coordinates.

    Everything is copied off the nodes here, on the main thread; :meth:`write` may run in any thread.

    Args:
        segmentation_node: what to write; it is not changed.
        volume_node: the volume it belongs to.
        folder: made if it is not there.
        formats: keys of :data:`FORMATS`. Surfaces are one file a segment.
        base_name: what the files are called; the node's name if not given. What file systems do not take is replaced.

    Raises:
        InputError: no such format, or a folder that cannot be written to.
    """

    def __init__(
        self,
        segmentation_node: slicer.vtkMRMLSegmentationNode,
        volume_node: slicer.vtkMRMLScalarVolumeNode,
        folder: str | os.PathLike[str],
        *,
        formats: Sequence[str],
        base_name: str = "",
    ) -> None:
        self._writers = [_writer_of(name) for name in formats]
        self._told: list[str] = []
        base = Path(folder) / safe_file_name(base_name or segmentation_node.GetName() or "segmentation")
        self._task = _Task(
            _copy_beside(segmentation_node, volume_node), _grid_of(volume_node),
            dicom_files(volume_node) if "dcm" in formats else [], base, self._told.append,
        )  # fmt: skip
        for name in formats:
            check_writable(self._task.path(name))

    def write(self) -> tuple[list[Path], list[str]]:
        """Write the files; those that exist are replaced, each when the new one is complete.

        Returns:
            The files in the order of the formats, and sentences about what was left out.

        Raises:
            InputError: nothing to write, or a DICOM SEG of a volume that does not come from DICOM.
            OutputError: a file could not be written, for example because the disk is full.
        """
        paths = [path for write in self._writers for path in write(self._task)]
        return paths, list(dict.fromkeys(self._told))  # several formats may leave out the same


def export_segmentation(  # noqa: PLR0913 - two nodes, and what to write where
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    folder: str | os.PathLike[str],
    *,
    formats: Sequence[str],
    base_name: str = "",
    on_message: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write a segmentation, and wait for it: see :class:`Export`.

    Args:
        segmentation_node: see :class:`Export`, as for the arguments that follow.
        volume_node: the volume it belongs to.
        folder: made if it is not there.
        formats: keys of :data:`FORMATS`.
        base_name: what the files are called.
        on_message: is told what was left out, in a sentence.

    Returns:
        The files, in the order of ``formats``.

    Raises:
        InputError: see :class:`Export`.
        OutputError: a file could not be written.
    """
    paths, told = Export(segmentation_node, volume_node, folder, formats=formats, base_name=base_name).write()
    for sentence in told:
        on_message(sentence)
    return paths


def suggested_name(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> str:
    """What files are called unless the user says otherwise: the study, where there is one, and the segmentation.

    Slicer sorts volumes from DICOM below patient and study. The patient's name is left out of file names.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume_node.GetScene())
    item = hierarchy.GetItemByDataNode(volume_node)
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy()
    study = hierarchy.GetItemAncestorAtLevel(item, level) if item else 0
    names = [hierarchy.GetItemName(study) if study else "", segmentation_node.GetName()]
    return safe_file_name(" ".join(filter(None, names)) or "segmentation")


def add_to_database(paths: Sequence[Path]) -> bool:
    """Copy DICOM files into Slicer's DICOM database; whether there is one that is open."""
    database = getattr(slicer, "dicomDatabase", None)
    if database is None or not database.isOpen:
        return False
    for path in paths:
        database.insert(str(path))
    return True


def check_formats(volume_node: slicer.vtkMRMLScalarVolumeNode, formats: Sequence[str]) -> None:
    """Raise :class:`InputError` now rather than after minutes of work if a format cannot be written later."""
    for name in formats:
        _writer_of(name)
    if "dcm" in formats:
        _source_series(volume_node, dicom_files(volume_node))


def safe_file_name(name: str) -> str:
    """``name`` as a file name that Linux, Windows and macOS take; letters of all languages stay."""
    cleaned = _NOT_IN_NAMES.sub("_", unicodedata.normalize("NFC", name))
    cleaned = cleaned.encode("utf-8")[:_NAME_BYTES].decode("utf-8", "ignore").strip(" .")
    return f"_{cleaned}" if not cleaned or _RESERVED_ON_WINDOWS.fullmatch(cleaned) else cleaned


def dicom_files(volume_node: slicer.vtkMRMLScalarVolumeNode) -> list[Path]:
    """The DICOM images that a volume was loaded from; empty where it was not.

    Desktop Slicer notes the images' UIDs on the node and knows their files in its database; otherwise the storage node
    lists the files.
    """
    uids = (volume_node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    found = [database.fileForInstance(uid) for uid in uids] if database else []
    if found and all(found):
        return [Path(file) for file in found]
    storage = volume_node.GetStorageNode()
    if storage is None:
        return []
    listed = [storage.GetNthFileName(n) for n in range(storage.GetNumberOfFileNames())] or [storage.GetFileName()]
    files = [Path(file) for file in listed if file]
    return files if files and is_dicom(files[0]) else []


def _write_segmentation(task: _Task) -> list[Path]:
    storage = slicer.vtkMRMLSegmentationStorageNode()
    path = task.path("seg.nrrd")
    with atomic_path(path) as temporary:
        storage.SetFileName(str(temporary))
        _require(storage.WriteData(task.segmentation_node) and temporary.stat().st_size)
    return [path]


def _write_label_map(task: _Task, ending: str) -> list[Path]:
    path = task.path(ending)
    labels = class_array(task.segmentation_node, task.volume_node)
    write_labels(labels, volume_geometry(task.volume_node), task.segments, path)
    return [path]


def _write_surfaces(task: _Task, ending: str, write: Callable[[Path, vtk.vtkPolyData, Segment], object]) -> list[Path]:
    paths = []
    for part, segment, surface in _surfaces(task):
        paths.append(task.path(ending, part))
        with atomic_path(paths[-1]) as temporary:
            _require(write(temporary, surface, segment))
    return paths


def _write_dicom(task: _Task) -> list[Path]:
    series = _source_series(task.volume_node, task.dicom)
    from SSLSegmentLib import dicom_seg  # noqa: PLC0415 - it can be imported, as the line above has found out

    masks = {segment: labels_on_grid(*task.nodes, series.geometry, [segment]) > 0 for segment in task.segments}
    painted = _painted(task, {segment: bool(mask.any()) for segment, mask in masks.items()})
    path = task.path("dcm")
    with atomic_path(path) as temporary:
        dicom_seg.write_segmentation(
            temporary, series, [masks[s] for s in painted], painted, task.segmentation_node.GetName()
        )
    return [path]


def _source_series(volume_node: slicer.vtkMRMLScalarVolumeNode, files: list[Path]) -> SourceSeries:
    """The DICOM series of a volume, for a DICOM SEG to refer to."""
    try:
        from SSLSegmentLib import dicom_seg  # noqa: PLC0415 - highdicom is an extra, and slow to import
    except ImportError as error:
        raise InputError(
            f"A DICOM SEG needs the Python package {error.name}: install sslsegment[dicom], or export as .seg.nrrd."
        ) from error
    if not files:
        raise InputError(NOT_FROM_DICOM.format(volume_node.GetName()))
    series = dicom_seg.SourceSeries(files)
    if series.geometry.voxel_map(volume_geometry(volume_node)) is None:
        raise InputError(
            f"The volume '{volume_node.GetName()}' does not lie on the grid of its DICOM images any more "
            "(resampled?): export as .seg.nrrd."
        )
    return series


def _surfaces(task: _Task) -> Iterator[tuple[str, Segment, vtk.vtkPolyData]]:
    """For each painted segment an ending for the file name, and its surface in LPS, as Slicer writes surfaces."""
    grid = volume_geometry(task.volume_node)
    found = {
        # Not by Slicer's own conversion, which holds the viewer up, whatever thread it runs in.
        segment: surfaces(labels_on_grid(*task.nodes, grid, [segment]), grid, 1, None)[0]
        for segment in task.segments
    }
    to_lps = vtk.vtkTransform()
    to_lps.Scale(-1.0, -1.0, 1.0)
    used: set[str] = set()
    for segment in _painted(task, {s: surface.GetNumberOfCells() > 0 for s, surface in found.items()}):
        part = safe_file_name(segment.name)
        if part.casefold() in used:
            part = f"{part}_{segment.label_value}"
        used.add(part.casefold())
        move = vtk.vtkTransformPolyDataFilter()
        move.SetTransform(to_lps)
        move.SetInputData(found[segment])
        move.Update()
        yield f"_{part}", segment, move.GetOutput()


def _painted(task: _Task, has_voxels: dict[Segment, bool]) -> list[Segment]:
    """The segments that hold something; the user is told about the others."""
    empty = [f"'{segment.name}'" for segment, painted in has_voxels.items() if not painted]
    if len(empty) == len(has_voxels):
        raise InputError(
            f"The segmentation '{task.segmentation_node.GetName()}' holds nothing on the volume "
            f"'{task.volume_node.GetName()}': paint or predict something first."
        )
    if empty:
        task.tell(f"Nothing is painted in {', '.join(empty)}: left out of surfaces and DICOM SEG.")
    return [segment for segment, painted in has_voxels.items() if painted]


def _copy_beside(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode:
    """A copy that is in no scene, in the volume's coordinates, so that the user's node is not even converted."""
    segmentation = slicer.vtkSegmentation()
    segmentation.DeepCopy(segmentation_node.GetSegmentation())
    to_volume = transform_between(segmentation_node, volume_node)
    if not np.array_equal(to_volume, np.eye(4)):
        move = vtk.vtkTransform()
        move.SetMatrix(ras_transform(to_volume))
        segmentation.ApplyLinearTransform(move)
        converter, grid = slicer.vtkSegmentationConverter, vtk.vtkMatrix4x4()
        volume_node.GetIJKToRASMatrix(grid)
        segmentation.SetConversionParameter(
            converter.GetReferenceImageGeometryParameterName(),
            converter.SerializeImageGeometry(grid, volume_node.GetImageData()),
        )
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(segmentation_node.GetName())
    node.SetAndObserveSegmentation(segmentation)
    return node


def _grid_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume node in no scene with the name and the grid of another one, without its voxels."""
    node, grid, image = slicer.vtkMRMLScalarVolumeNode(), vtk.vtkMatrix4x4(), vtk.vtkImageData()
    volume_node.GetIJKToRASMatrix(grid)
    image.SetExtent(volume_node.GetImageData().GetExtent())
    node.SetName(volume_node.GetName())
    node.SetIJKToRASMatrix(grid)
    node.SetAndObserveImageData(image)
    return node


def _require(done: object) -> None:
    if not done:
        raise OSError("Slicer could not write it, perhaps because the disk is full")


def _write_stl(path: Path, surface: vtk.vtkPolyData, _: Segment) -> bool:
    writer = vtk.vtkSTLWriter()
    writer.SetFileTypeToBinary()
    writer.SetHeader("3D Slicer output. SPACE=LPS")  # by which Slicer knows how to read it
    writer.SetInputData(surface)
    writer.SetFileName(str(path))
    return bool(writer.Write()) and not writer.GetErrorCode()


def _write_obj(path: Path, surface: vtk.vtkPolyData, _: Segment) -> bool:
    writer = vtk.vtkOBJWriter()
    writer.SetInputData(surface)
    writer.SetFileName(str(path))
    writer.Write()
    written = path.read_bytes()  # this writer does not notice a full disk
    return written.endswith(b"\n") and written.count(b"\nf ") == surface.GetNumberOfCells()


def _write_ply(path: Path, surface: vtk.vtkPolyData, segment: Segment) -> bool:
    writer = vtk.vtkPLYWriter()
    writer.SetFileTypeToBinary()
    writer.AddComment("SPACE=LPS")
    writer.SetColorModeToUniformColor()
    writer.SetColor(*(round(255 * value) for value in segment.color))
    writer.SetInputData(surface)
    writer.SetFileName(str(path))
    writer.Write()
    written = path.read_bytes()  # nor does this one
    header = written[: written.find(b"end_header\n") + len(b"end_header\n")]
    sizes = {b"float": 4, b"uchar": 1, b"list": 1 + 3 * 4}  # all faces are triangles: a count and three indices
    counts = surface.GetNumberOfPoints(), surface.GetNumberOfCells()
    elements = header.split(b"element ")[1:]
    expected = [
        n * sum(sizes[line.split()[1]] for line in element.splitlines() if line.startswith(b"property"))
        for n, element in zip(counts, elements, strict=False)
    ]
    return len(written) == len(header) + sum(expected)


def _writer_of(name: str) -> Callable[[_Task], list[Path]]:
    if name not in FORMATS:
        raise InputError(f"There is no export format '{name}': choose from {', '.join(FORMATS)}.")
    return FORMATS[name]


NOT_FROM_DICOM = (
    "The volume '{}' was not loaded from DICOM, which a DICOM SEG refers to: "
    "load the DICOM series, or export as .seg.nrrd."
)

FORMATS: dict[str, Callable[[_Task], list[Path]]] = {
    "seg.nrrd": _write_segmentation,
    "nii.gz": lambda task: _write_label_map(task, "nii.gz"),
    "nrrd": lambda task: _write_label_map(task, "nrrd"),
    "stl": lambda task: _write_surfaces(task, "stl", _write_stl),
    "obj": lambda task: _write_surfaces(task, "obj", _write_obj),
    "ply": lambda task: _write_surfaces(task, "ply", _write_ply),
    "dcm": _write_dicom,
}
"""What can be written: the ending of the files, without the leading dot."""
