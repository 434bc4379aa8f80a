"""Label maps that several segments share, as arrays: reading and editing them in any thread. No MRML.

``segments.py`` looks at a segmentation node and writes into it what is made here. In between the viewer goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import slicer

from sslseg.annotation import Segment
from sslseg.geometry import Geometry
from SSLSegmentLib.oriented_image import (
    Box,
    bounding_box,
    box_around,
    boxed,
    grown_to_hold,
    image_grid,
    image_lattice,
    moved,
    onto,
    oriented_image,
    voxels,
)

_NOWHERE: Box = (slice(0, 0), slice(0, 0), slice(0, 0))


@dataclass(frozen=True)
class Layer:
    """One label map.

    Attributes:
        values: its voxels (K, J, I), a view of the node's own memory: don't write to it.
        grid: where they lie, in the coordinates of the segmentation node; None while nothing was ever painted.
        lattice: its voxel (0, 0, 0) is what Slicer counts from.
        classes: the class index for each label value that is asked for.
        sharing: the label value of each segment in the layer, asked for or not.
    """

    values: np.ndarray
    grid: Geometry | None
    lattice: Geometry
    classes: dict[int, int]
    sharing: dict[str, int]


class EditedLayer(NamedTuple):
    """A label map that takes the place of another one, and the segments that share it."""

    segment_ids: tuple[str, ...]
    image: slicer.vtkOrientedImageData


def layer_of(image: slicer.vtkOrientedImageData, classes: dict[int, int], sharing: dict[str, int]) -> Layer:
    """The layer that ``image`` holds."""
    lattice = image_lattice(image)
    if image.GetNumberOfPoints() == 0:
        return Layer(np.zeros((0, 0, 0), np.uint8), None, lattice, classes, sharing)
    return Layer(voxels(image), image_grid(image, lattice), lattice, classes, sharing)


def painted_in_box(layers: Sequence[Layer], to_grid: np.ndarray, grid: Geometry) -> tuple[np.ndarray, Box]:
    """Class indices where anything can be painted, which is much faster in a large volume than everywhere.

    Where segments overlap the later one wins.

    Args:
        layers: what is painted.
        to_grid: 4 x 4 (LPS), from the coordinates of the layers to those of ``grid``.
        grid: where labels are wanted.

    Returns:
        uint8 labels in a box of ``grid``, and the box; it is empty where nothing is painted.
    """
    found = []
    for layer in layers:
        place = moved(layer.grid, to_grid) if layer.grid else None
        box = box_around(place, grid) if place else _NOWHERE
        if place and layer.classes and all(part.start < part.stop for part in box):
            found.append((_lookup(layer.classes, np.uint8)[_label_values(layer.values)], place, box))
    box = _union([box for _, _, box in found])
    part = boxed(grid, box)
    labels = np.zeros(part.shape, np.uint8)
    for values, place, _ in found:
        np.maximum(labels, onto(values, place, part), out=labels)
    return labels, box


def edited(layers: Sequence[Layer], edit: np.ndarray, grid: Geometry, segments: Sequence[Segment]) -> list[EditedLayer]:
    """Layers in which each voxel of ``grid`` belongs to what ``edit`` says; all other segments and voxels stay.

    Args:
        layers: those of ``segments``; each keeps its lattice.
        edit: uint8 (K, J, I); 0 leaves the voxel as it is, 1 takes it from ``segments``, c + 1 gives it to
            ``segments[c - 1]``.
        grid: where ``edit`` lies, in the coordinates of the layers.
        segments: the segments concerned. ``edit`` gives nothing to those that have no layer.
    """
    changed = bounding_box(edit)
    if changed is None:
        return []
    here, place = edit[changed], boxed(grid, changed)
    room = boxed(grid, bounding_box(edit > 1) or changed)
    made: list[EditedLayer] = []
    todo = list(layers)
    while todo:
        layer = todo.pop(0)
        image = _with_room(layer, room, grid)
        in_the_way = _paint(image, layer, here, place)
        if in_the_way:
            # Segments that are not listed keep their voxels: one that would be painted over them gets its own layer.
            todo = [*_separated(layer, {segments[index - 1].segment_id for index in in_the_way}), *todo]
        else:
            made.append(EditedLayer(tuple(layer.sharing), image))
    return made


def _separated(layer: Layer, segment_ids: set[str]) -> list[Layer]:
    """The same voxels in several layers: one for each of ``segment_ids``, and one for the rest."""
    groups = [{segment_id} for segment_id in sorted(segment_ids)] + [set(layer.sharing) - segment_ids]
    parts = []
    for group in groups:
        sharing = {segment_id: value for segment_id, value in layer.sharing.items() if segment_id in group}
        kept = dict.fromkeys(sharing.values(), 1)
        values = np.where(_lookup(kept, np.bool_)[_label_values(layer.values)], layer.values, 0)
        classes = {value: index for value, index in layer.classes.items() if value in kept}
        parts.append(replace(layer, values=values.astype(layer.values.dtype), classes=classes, sharing=sharing))
    return parts


def _union(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of ``boxes``."""
    if not boxes:
        return _NOWHERE
    k, j, i = (slice(min(p.start for p in parts), max(p.stop for p in parts)) for parts in zip(*boxes, strict=True))
    return k, j, i


def _label_values(array: np.ndarray) -> np.ndarray:
    """Voxels of a layer, usable as indices of a lookup table."""
    return array if array.dtype == np.uint8 else np.clip(array, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _lookup(pairs: dict[int, int], dtype: type) -> np.ndarray:
    """A table for all values that a layer may hold: 0 but at the keys of ``pairs``."""
    table: np.ndarray = np.zeros(np.iinfo(np.uint16).max + 1, dtype)
    table[list(pairs.keys())] = list(pairs.values())
    return table


def _with_room(layer: Layer, room: Geometry, volume: Geometry) -> slicer.vtkOrientedImageData:
    """A copy of a layer, large enough to paint in ``room``; one that is still empty is put on the volume's lattice."""
    if layer.grid is None:
        return oriented_image(np.zeros(room.shape, np.uint8), room, volume)
    larger = grown_to_hold(layer.grid, room)
    return oriented_image(onto(layer.values, layer.grid, larger), larger, layer.lattice)


def _paint(image: slicer.vtkOrientedImageData, layer: Layer, edit: np.ndarray, grid: Geometry) -> set[int]:
    """Edit a copy of a layer, and tell the classes that were painted over segments that are not to be edited."""
    others = set(layer.sharing.values()) - layer.classes.keys()
    whole = image_grid(image, image_lattice(image))
    box = box_around(grid, whole)
    labels, edit = voxels(image)[box], onto(edit, grid, boxed(whole, box))
    labels[(edit > 0) & _lookup(dict.fromkeys(layer.classes, 1), np.bool_)[_label_values(labels)]] = 0
    painted = _lookup({index + 1: value for value, index in layer.classes.items()}, labels.dtype.type)[edit]
    new = painted > 0
    spoiled = edit[new & _lookup(dict.fromkeys(others, 1), np.bool_)[_label_values(labels)]] if others else edit[:0]
    np.copyto(labels, painted, where=new)
    return {int(index) - 1 for index in np.unique(spoiled)}
