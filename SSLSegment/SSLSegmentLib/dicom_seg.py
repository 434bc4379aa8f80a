"""DICOM SEG objects through highdicom, for volumes that came from a DICOM series."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from sslseg import __version__
from sslseg.annotation import Segment
from sslseg.dicom_series import POSITION_TOLERANCE_MM
from sslseg.errors import InputError
from sslseg.geometry import Geometry

PRODUCT = "SSLSegment"
TISSUE = "SCT^85756007^Tissue"
"""Category and type of a segment without terminology, as Slicer has it."""

SERIES_NUMBER = 1000
"""High enough not to be taken for one of the scanner's own series."""

_UTF_8 = "ISO_IR 192"
_LABEL_LENGTH = 64
_COPIED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
"""What a DICOM SEG takes over from its images; empty is allowed, absent is not."""
_DATE_AND_TIME = {"DA": pydicom.valuerep.DA, "TM": pydicom.valuerep.TM}


class SourceSeries:
    """The DICOM images that a volume was made of, without their pixels.

    Args:
        files: the images of one series, in any order.

    Attributes:
        images: in the order of their positions, with the faults mended that real series have.
        geometry: the grid that they form, in LPS.

    Raises:
        InputError: a file that is gone or damaged, a multi-frame file, or no even stack.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        images = [_read_header(file) for file in files]
        normal = np.cross(*_orientation(images[0]))
        self.images = sorted(images, key=lambda image: float(normal @ _position(image)))
        with _without_remarks_on_foreign_data():
            _mend(self.images)
        self.geometry = _geometry_of(self.images)
        expected = [(self.geometry.affine @ (0, 0, k, 1))[:3] for k in range(len(images))]
        if np.abs(np.array(expected) - [_position(image) for image in self.images]).max() > POSITION_TOLERANCE_MM:
            raise InputError(f"The DICOM images beside {files[0]} are not evenly spaced: export as .seg.nrrd.")


def write_segmentation(
    path: Path, series: SourceSeries, masks: Sequence[np.ndarray], segments: Sequence[Segment], description: str
) -> None:
    """Write a binary DICOM SEG that refers to the images of ``series``.

    Args:
        path: the file to write.
        series: the images that were segmented.
        masks: for each segment a bool array (K, J, I) on ``series.geometry``; they may overlap.
        segments: names, colours and terminology of the masks.
        description: of the new series.

    Raises:
        InputError: the images have faults that cannot be mended.
    """
    with _without_remarks_on_foreign_data():
        try:
            segmentation = hd.seg.Segmentation(
                source_images=series.images,
                pixel_array=np.stack(masks, axis=-1).astype(np.uint8),
                segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[_describe(number, segment) for number, segment in enumerate(segments, start=1)],
                series_instance_uid=generate_uid(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer=PRODUCT,
                manufacturer_model_name=PRODUCT,
                software_versions=__version__,
                device_serial_number="0",
                series_description=_long_string(description),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # how highdicom refuses images
            raise InputError(
                f"The DICOM images do not hold what a DICOM SEG takes over ({error}): export as .seg.nrrd."
            ) from error
        segmentation.SpecificCharacterSet = _UTF_8
        segmentation.save_as(path)


def coded_concepts(terminology: str) -> dict[str, CodedConcept]:
    """The codes of Slicer's serialised terminology entry.

    Args:
        terminology: ``context~category~type~type modifier~context~region~region modifier``, where each code is
            ``scheme^value^meaning`` and may be empty.

    Returns:
        Those that are there, under "category", "type", "type_modifier", "region" and "region_modifier". Category and
        type are always there: :data:`TISSUE` where unknown.
    """
    names = ("", "category", "type", "type_modifier", "", "region", "region_modifier")
    found = {}
    for name, entry in zip(names, terminology.split("~"), strict=False):
        parts = entry.split("^")
        if name and len(parts) == 3 and all(parts):
            scheme, value, meaning = parts
            found[name] = CodedConcept(value, scheme, _long_string(meaning))
    if not {"category", "type"} <= found.keys():
        scheme, value, meaning = TISSUE.split("^")
        found["category"] = found["type"] = CodedConcept(value, scheme, meaning)
    return found


def _describe(number: int, segment: Segment) -> hd.seg.SegmentDescription:
    concepts = coded_concepts(segment.terminology)
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=_long_string(segment.name) or f"Segment {number}",
        segmented_property_category=concepts["category"],
        segmented_property_type=concepts["type"],
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=PRODUCT, version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
        anatomic_regions=[concepts["region"]] if "region" in concepts else None,
        display_color=hd.color.CIELabColor.from_rgb(*(round(255 * value) for value in segment.color)),
    )
    if "type_modifier" in concepts:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [concepts["type_modifier"]]
    if "region" in concepts and "region_modifier" in concepts:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [concepts["region_modifier"]]
    return description


def _long_string(text: str) -> str:
    r"""What DICOM takes as one value of kind LO: 64 characters, no line breaks, and no \ (it separates values)."""
    return " ".join(text.replace("\\", "/").split())[:_LABEL_LENGTH].strip()


def _read_header(file: Path) -> pydicom.Dataset:
    with _without_remarks_on_foreign_data():
        try:
            image = pydicom.dcmread(file, stop_before_pixels=True)
            image.decode()  # names are kept in the bytes of the file's character set until then
        except (OSError, pydicom.errors.InvalidDicomError) as error:
            raise InputError(
                f"{file} is needed for a DICOM SEG and cannot be read: bring the images back, or export as .seg.nrrd."
            ) from error
    if not all(name in image for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")):
        raise InputError(
            f"{file} does not say where it lies in the patient (a multi-frame file?): export as .seg.nrrd."
        )
    return image


def _mend(images: Sequence[pydicom.Dataset]) -> None:
    """Repair in memory what highdicom refuses in images that scanners and anonymisers have left like this."""
    for image in images:
        image.SpecificCharacterSet = _UTF_8
        # Scanners round the same orientation differently from image to image.
        image.ImageOrientationPatient = images[0].ImageOrientationPatient
        # Anonymisers give each image a frame of reference of its own; as one volume they have one.
        image.FrameOfReferenceUID = images[0].get("FrameOfReferenceUID") or generate_uid()
        for name in _COPIED:
            if name not in image or not _is_valid(image[name]):
                setattr(image, name, "")


def _is_valid(element: pydicom.DataElement) -> bool:
    """Whether a value can be copied; a birth date of 00000000 cannot."""
    if element.keyword == "PatientSex":
        return element.value in {"M", "F", "O"}
    if element.VR in _DATE_AND_TIME:
        with contextlib.suppress(ValueError):
            _DATE_AND_TIME[element.VR](element.value)
            return True
        return False
    return True


def _geometry_of(images: Sequence[pydicom.Dataset]) -> Geometry:
    first, last = images[0], images[-1]
    row, column = _orientation(first)
    affine = np.eye(4)
    affine[:3, 0] = row * float(first.PixelSpacing[1])
    affine[:3, 1] = column * float(first.PixelSpacing[0])
    affine[:3, 2] = np.cross(row, column) * float(first.get("SliceThickness") or 1.0)
    if len(images) > 1:
        affine[:3, 2] = (_position(last) - _position(first)) / (len(images) - 1)
    affine[:3, 3] = _position(first)
    return Geometry.from_affine((len(images), int(first.Rows), int(first.Columns)), affine)


def _position(image: pydicom.Dataset) -> np.ndarray:
    return np.array(image.ImagePositionPatient, float)


def _orientation(image: pydicom.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Directions in which the column and the row index grow."""
    return tuple(np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3)))


@contextlib.contextmanager
def _without_remarks_on_foreign_data() -> Iterator[None]:
    """The images are as they are: UIDs with leading zeros, names of one part, and so on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
