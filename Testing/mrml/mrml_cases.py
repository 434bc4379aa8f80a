"""Grids, labels and segments that software gets wrong."""

import numpy as np
import slicer
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from sslseg.annotation import Segment
from sslseg.geometry import Geometry

LABELMAP, SURFACE = "Binary labelmap", "Closed surface"
KIDNEY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
    "~SCT^64033007^Kidney~SCT^24028007^Right~Anatomic codes - DICOM master list~^^~^^"
)


def some_labels(shape, n=2, seed=0):
    """Random class indices in a corner block of the grid, so that the extent is cropped."""
    labels = np.zeros(shape, np.uint8)
    block = tuple(slice(s // 4, max(s // 4 + 1, s - s // 3)) for s in shape)
    labels[block] = np.random.default_rng(seed).integers(0, n + 1, labels[block].shape)
    return labels


def masks_of(labels, names=("first", "second", "third")):
    return {names[c - 1]: labels == c for c in range(1, int(labels.max()) + 1)}


def some_segments(n=2):
    return tuple(Segment(f"Größe {i}", (0.1 * (i % 10), 0.5, 0.9), i, f"id{i}", KIDNEY) for i in range(1, n + 1))


def _rotation(axis: int, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    a, b = (n for n in range(3) if n != axis)
    matrix[[a, b], [a, b]] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


def _geometry(shape, directions, spacing, origin=(-31.5, 20.25, 117.0)) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions, float) * np.asarray(spacing)
    affine[:3, 3] = origin
    return Geometry.from_affine(shape, affine)


GEOMETRIES = {
    "isotropic": _geometry((7, 9, 11), np.eye(3), (1.0, 1.0, 1.0)),
    "anisotropic": _geometry((6, 12, 10), np.eye(3), (0.7, 0.85, 8.0)),
    "oblique": _geometry((6, 12, 10), _rotation(2, 33) @ _rotation(0, -21) @ _rotation(1, 7), (0.8, 0.9, 3.0)),
    "flipped": _geometry((6, 12, 10), np.diag([1, 1, -1]), (0.8, 0.9, 3.0)),
    "permuted": _geometry((6, 12, 10), [[0, 0, 1], [1, 0, 0], [0, -1, 0]], (1.2, 0.9, 2.5)),
    "single slice": _geometry((1, 14, 9), _rotation(1, 12), (1.1, 1.3, 5.0)),
}
"""Grids that software gets wrong: none but the first is a stack of RAS or LPS cubes."""


def linear_transform(scene, lps):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(flip @ lps @ flip))
    return node


def write_dicom_series(folder, array, geometry, **changes):
    """A CT series of ``array`` (int16, K, J, I), one file a slice, named in reverse order; as scanners write it."""
    study, series, frame = (generate_uid() for _ in range(3))
    direction = np.reshape(geometry.direction, (3, 3))
    for k, pixels in enumerate(array):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = Dataset()
        data.file_meta = meta
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.Modality, data.Manufacturer, data.PositionReferenceIndicator = "CT", "none", ""
        data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Müller^Ä", "7", "", "O"
        data.SpecificCharacterSet = "ISO_IR 192"
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20260101", "000000", "1", ""
        data.ReferringPhysicianName, data.SeriesNumber, data.InstanceNumber = "", 1, k + 1
        data.Rows, data.Columns = pixels.shape
        i, j, thickness = geometry.spacing
        data.PixelSpacing, data.SliceThickness, data.SpacingBetweenSlices = [j, i], thickness, thickness
        data.ImageOrientationPatient = [float(v) for v in direction[:, :2].T.ravel()]
        data.ImagePositionPatient = [float(v) for v in (geometry.affine @ (0, 0, k, 1))[:3]]
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 1
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.RescaleIntercept, data.RescaleSlope = 15, 0, 1
        data.PixelData = pixels.astype(np.int16).tobytes()
        for name, value in changes.items():
            setattr(data, name, value)
        data.save_as(folder / f"{len(array) - k:03d}.dcm", enforce_file_format=True)


NO_OPENGL = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkXOpenGLRenderWindow", "DISPLAY": ""}
"""With this VTK's first render ends the process on Linux, as it does without libEGL and OSMesa."""
