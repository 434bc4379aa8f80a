"""What a user can choose from, in words: the entries of the lists of a panel. No Qt, plain English."""

from __future__ import annotations

from typing import Any, NamedTuple

from sslseg.errors import InputError
from sslseg.geometry import AXIS_NAMES
from SSLSegmentLib.apply_job import ENDINGS
from SSLSegmentLib.mrml import volume_geometry
from SSLSegmentLib.settings import AUTO_AXIS, STYLES

_PLANES = ("sagittal", "coronal", "axial")


class Choice(NamedTuple):
    """One entry of a list.

    Attributes:
        value: for the setting.
        title: for the list.
        tooltip: one sentence; may be empty.
    """

    value: Any
    title: str
    tooltip: str = ""


PRESETS = (
    Choice("fast", "Fast", "A small network and few steps: a first impression, also without a GPU."),
    Choice("balanced", "Balanced", "The usual choice."),
    Choice("accurate", "Accurate", "A larger network and more steps: for the final result, best with a GPU."),
)

STYLE_CHOICES = tuple(Choice(style, style.capitalize()) for style in STYLES)

ENDING_CHOICES = (
    Choice(ENDINGS[0], f"Segmentation ({ENDINGS[0]})", "Slicer's own format, with names, colours and codes."),
    Choice(ENDINGS[1], f"Labels ({ENDINGS[1]})", "One number for each segment, for most research programs."),
)

EXPORT_CHOICES = (
    Choice("seg.nrrd", "Slicer (.seg.nrrd)", "Slicer's own format, with names, colours and codes."),
    Choice("dcm", "DICOM SEG (.dcm)", "For archives and other workstations. The volume must come from DICOM."),
    Choice("nii.gz", "Labels (.nii.gz)", "One number for each segment, for most research programs."),
    Choice("nrrd", "Labels (.nrrd)", "One number for each segment."),
    Choice("stl", "Surface (.stl)", "A surface for each segment, for printing."),
    Choice("obj", "Surface (.obj)", "A surface for each segment."),
    Choice("ply", "Surface (.ply)", "A surface for each segment, with its colour."),
)

METHODS = (
    Choice("pix2rep", "Pix2Rep", "Learns to find the same place again in two views of a slice, by contrast."),
    Choice("pix2rep-v2", "Pix2Rep-v2", "The same with Barlow Twins: needs no other places to compare with."),
    Choice("hssl", "HSSL-style", "For several data sets at once: also tells them apart, image by image."),
)

BACKBONES = (
    Choice("tiny", "Tiny", "For a quick try."),
    Choice("small", "Small", "The usual choice, also without a GPU."),
    Choice("base", "Base", "For many scans and a GPU."),
    Choice("large", "Large", "For very many scans and a large GPU."),
)


def axis_choices(volume: Any) -> list[Choice]:
    """Along which axis slices are drawn: automatic, then each array axis by the plane that its slices lie in."""
    entries = [Choice(AUTO_AXIS, "Automatic", "Follows the drawing.")]
    try:
        planes = _planes_of(volume)
    except InputError:
        planes = None
    for axis, name in enumerate(AXIS_NAMES):
        title = f"{planes[axis].capitalize()} slices ({name})" if planes else f"Slices along {name}"
        entries.append(Choice(axis, title, f"Every {name} slice that is drawn on counts as annotated."))
    return entries


def segment_choices(segmentation: Any) -> list[Choice]:
    """Which segment stands for background: none, or one of the user's."""
    entries = [Choice("", "None", "A slice with a drawing is fully annotated.")]
    if segmentation is None:
        return entries
    ids = segmentation.GetSegmentation().GetSegmentIDs()
    names = [segmentation.GetSegmentation().GetSegment(segment_id).GetName() for segment_id in ids]
    return entries + [Choice(segment_id, name) for segment_id, name in zip(ids, names, strict=True)]


def _planes_of(volume: Any) -> tuple[str, ...] | None:
    """The anatomical plane of the slices along each array axis; None where there is no volume."""
    if volume is None:
        return None
    affine = volume_geometry(volume).affine
    directions = [abs(affine[:3, 2 - axis]) for axis in range(3)]
    return tuple(_PLANES[int(direction.argmax())] for direction in directions)
