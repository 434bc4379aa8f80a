"""DICOM folders: read where they are one even stack, refused in a sentence where they are not."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedSRStorage, ExplicitVRLittleEndian, generate_uid
from synthetic import GEOMETRIES, assert_same_grid, make_geometry, make_labels, make_volume

from sslseg.dicom_series import files_of_series, is_dicom
from sslseg.errors import InputError
from sslseg.volume import read_volume

GRID = GEOMETRIES["oblique"]
IMAGE = np.rint(make_volume(make_labels(GRID), GRID).array).astype(np.int16)
LEFT_HANDED = {name for name, grid in GEOMETRIES.items() if np.linalg.det(grid.affine) < 0}


def write_slice(path, geometry, image, k, **fields):
    """Slice ``k`` of a series; ``fields`` overrides or, with None, removes DICOM attributes."""
    affine = geometry.affine
    directions = np.reshape(geometry.direction, (3, 3))
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = fields.pop("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality, dataset.SeriesNumber, dataset.SeriesDescription = "CT", 4, "Thorax"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.ImagePositionPatient = [float(f"{v:.6f}") for v in (affine @ (0, 0, k, 1))[:3]]
    dataset.ImageOrientationPatient = [float(f"{v:.9f}") for v in directions[:, :2].T.ravel()]
    dataset.PixelSpacing = [geometry.spacing[1], geometry.spacing[0]]
    dataset.InstanceNumber = k + 1
    dataset.Rows, dataset.Columns = image.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = image[k].tobytes()
    for name, value in fields.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)


def write_series(folder, geometry=GRID, image=IMAGE, *, prefix="", skip=(), **fields):
    folder.mkdir(exist_ok=True)
    order = np.random.default_rng(0).permutation(len(image))  # file names say nothing about the order
    for k in range(len(image)):
        if k not in skip:
            write_slice(folder / f"{prefix}{order[k]:03}.dcm", geometry, image, k, **fields)
    return [f"{prefix}{order[k]:03}.dcm" for k in range(len(image))]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "Müller, Jörg 頭部"


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(set(GEOMETRIES) - LEFT_HANDED - {"single slice"}))
def test_series_is_read_whatever_its_geometry(folder, name):
    geometry = GEOMETRIES[name]
    image = np.arange(np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape)
    write_series(folder, geometry, image)
    volume = read_volume(folder)
    assert_same_grid(volume.geometry, geometry)
    assert np.array_equal(volume.array, image)
    assert volume.name == folder.name


@pytest.mark.parametrize("name", sorted(LEFT_HANDED))
def test_stack_against_the_normal_is_turned_round(folder, name):
    """DICOM has no left-handed grids: the slices come in the order of the normal, at the same places."""
    geometry = GEOMETRIES[name]
    image = np.rint(make_volume(make_labels(geometry), geometry).array).astype(np.int16)
    write_series(folder, geometry, image)
    volume = read_volume(folder)
    assert np.array_equal(volume.array, image[::-1])
    assert geometry.voxel_map(volume.geometry)[2].tolist() == [0, 0, -1, len(image) - 1]


def test_hounsfield_units(folder):
    write_series(folder, RescaleSlope=2, RescaleIntercept=-1024)
    assert np.array_equal(read_volume(folder).array, IMAGE * 2.0 - 1024)


def test_single_slice(folder):
    write_series(folder, skip=range(1, len(IMAGE)))
    assert np.array_equal(read_volume(folder).array, IMAGE[:1])


@pytest.mark.parametrize("rename", [None, "IM_0001", "image.ima"])
def test_file_stands_for_its_series(folder, rename):
    names = write_series(folder)
    write_series(folder, prefix="other", SeriesInstanceUID="1.2.3.5", image=IMAGE[:3])
    chosen = folder / names[2]
    if rename:
        chosen = chosen.rename(folder / rename)
    assert np.array_equal(read_volume(chosen).array, IMAGE)


def test_other_files_do_no_harm(folder):
    names = write_series(folder)
    (folder / "notes.txt").write_text("Befund", encoding="utf-8")
    (folder / "LICENSE").write_bytes(b"")
    (folder / "sub folder").mkdir()
    write_slice(
        folder / "report.dcm", GRID, IMAGE, 0,
        SOPClassUID=EnhancedSRStorage, SeriesInstanceUID="1.2.3.6", Modality="SR", PixelData=None, Rows=None,
    )  # fmt: skip
    assert [file.name for file in files_of_series(folder)] == names


def test_no_images(folder):
    folder.mkdir()
    write_series(folder / "deeper")
    assert refusal(folder).startswith(f"{folder} holds no DICOM images: give the folder")
    assert "sub-folders are not searched" in refusal(folder)


def test_folder_that_does_not_exist(folder):
    assert refusal(folder / "missing.dcm") == f"{folder / 'missing.dcm'} does not exist: check the path."


def test_two_series(folder):
    write_series(folder)
    write_series(
        folder, prefix="t2_", image=IMAGE[:5], SeriesInstanceUID="1.2.3.5", SeriesDescription="Schädel axial",
        SpecificCharacterSet="ISO_IR 100", Modality="MR",
    )  # fmt: skip
    message = refusal(folder)
    assert message.startswith(f"{folder} holds 2 DICOM series (")
    assert "'Thorax', CT, 8 images" in message
    assert "'Schädel axial', MR, 5 images, for example t2_" in message
    assert "give a file of the one to use" in message


def test_series_without_a_description(folder):
    write_series(folder)
    write_series(folder, prefix="b", SeriesInstanceUID="1.2.3.5", SeriesDescription="", SeriesNumber=7)
    assert "'series 7', CT, 8 images" in refusal(folder)


@pytest.mark.parametrize("missing", [[3], [3, 4], [2, 5]])
def test_missing_slices(folder, missing):
    names = write_series(folder, skip=missing)
    message = refusal(folder)
    assert message.startswith(f"The slice positions in {folder} are uneven: ")
    assert "instead of 3 mm, so add the missing images" in message
    for k in missing:
        for neighbour in {k - 1, k + 1} - set(missing):
            assert names[neighbour] in message


def test_gap_is_named_with_its_positions(folder):
    """Along K the slices lie at 0, 3, 6, 9, 15, ... mm."""
    geometry = make_geometry(GRID.shape, spacing=(1, 1, 3), origin=(0, 0, 0))
    names = write_series(folder, geometry, skip=[4])
    assert f"6 mm between {names[3]} and {names[5]} (9 and 15 mm) instead of 3 mm" in refusal(folder)


def test_many_gaps_are_not_all_listed(folder):
    image = np.random.default_rng(0).integers(0, 99, (30, 8, 8)).astype(np.int16)
    write_series(folder, make_geometry(image.shape, spacing=(1, 1, 3)), image, skip=[3, 8, 13, 18, 23])
    assert refusal(folder).count("6 mm between") == 3
    assert "; 2 more instead of 3 mm" in refusal(folder)


def test_rounded_positions_are_even(folder):
    """Scanners that write one digit."""
    geometry = make_geometry((9, 20, 18), spacing=(1, 1, 1.25), origin=(0, 0, 0))
    image = np.arange(9 * 20 * 18, dtype=np.int16).reshape(9, 20, 18)
    folder.mkdir()
    for k in range(9):
        write_slice(folder / f"{k}.dcm", geometry, image, k, ImagePositionPatient=[0, 0, round(1.25 * k, 1)])
    assert np.array_equal(read_volume(folder).array, image)


def test_micro_ct_is_held_to_its_own_scale(folder):
    geometry = make_geometry(GRID.shape, spacing=(0.03, 0.03, 0.05), origin=(0, 0, 0))
    names = write_series(folder, geometry)
    assert np.array_equal(read_volume(folder).array, IMAGE)
    (folder / names[3]).unlink()
    assert "instead of 0.05 mm" in refusal(folder)


@pytest.mark.parametrize("copies", [1, 8])
def test_two_images_at_one_position(folder, copies):
    """Time points or echoes in one series: one extra image, or all of them twice."""
    write_series(folder)
    for k in range(copies):
        write_slice(folder / f"again{k}.dcm", GRID, IMAGE, k)
    message = refusal(folder)
    assert f"are uneven: {8 + copies} images lie at 8 positions" in message
    assert "again0.dcm" in message
    assert "keep one time point or echo" in message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"Rows": 10, "PixelData": bytes(10 * 18 * 2)}, "differ in size"),
        ({"PixelSpacing": [1.5, 0.8]}, "differ in pixel spacing"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, "differ in orientation"),
    ],
)
def test_images_that_are_not_one_stack(folder, fields, words):
    """A scout in the series of the scan, for example."""
    write_series(folder)
    write_slice(folder / "scout.dcm", GRID, IMAGE, 0, **fields)
    message = refusal(folder)
    assert message.startswith(f"The DICOM images in {folder} are not one stack: ")
    assert "scout.dcm" in message
    assert words in message


def test_tilted_gantry(folder):
    folder.mkdir()
    for k in range(8):
        write_slice(folder / f"{k}.dcm", GRID, IMAGE, k, ImagePositionPatient=[0, 0.8 * k, 3 * k],
                    ImageOrientationPatient=[1, 0, 0, 0, 1, 0])  # fmt: skip
    assert f"The slices in {folder} are shifted sideways by up to 5.6 mm (tilted gantry): resample" in refusal(folder)


def test_multi_frame(folder):
    folder.mkdir()
    write_slice(folder / "a.dcm", GRID, IMAGE, 0, NumberOfFrames=8, PixelData=IMAGE.tobytes())
    assert refusal(folder).startswith(f"{folder / 'a.dcm'} is a multi-frame DICOM file: save it as NRRD or NIfTI")


def test_colour(folder):
    folder.mkdir()
    write_slice(
        folder / "a.dcm", GRID, IMAGE, 0, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, PixelData=bytes(20 * 18 * 3),
    )  # fmt: skip
    assert f"{folder / 'a.dcm'} is a colour image" in refusal(folder)


@pytest.mark.parametrize("field", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_no_position(folder, field):
    write_series(folder, **{field: None})
    assert "does not say where it lies in the patient" in refusal(folder)


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.99])
@pytest.mark.parametrize("k", [0, 4, 7])
def test_truncated_slice(folder, share, k):
    """GDCM passes over it: at the end of the stack that would be a shorter volume, without a word."""
    names = write_series(folder)
    content = (folder / names[k]).read_bytes()
    (folder / names[k]).write_bytes(content[: int(len(content) * share)])
    assert refusal(folder) == f"{folder / names[k]} is a damaged DICOM image: copy or export it again."


def test_truncated_slice_without_ending(folder):
    names = write_series(folder)
    for name in names:
        (folder / name).rename(folder / name.removesuffix(".dcm"))
    last = folder / names[7].removesuffix(".dcm")
    last.write_bytes(last.read_bytes()[:-200])
    assert refusal(folder) == f"{last} is a damaged DICOM image: copy or export it again."
    assert refusal(last).startswith(f"{last} is ")


@pytest.mark.parametrize(
    ("name", "dicom"),
    [("a.dcm", True), ("a.IMA", True), ("a", True), ("a.nrrd", False), ("a.nii.gz", False), ("notes.txt", False)],
)
def test_what_is_read_as_dicom(tmp_path, name, dicom):
    (tmp_path / name).write_bytes(bytes(128) + b"DICM" if dicom else b"something else" * 20)
    assert is_dicom(tmp_path / name) == dicom
    assert is_dicom(tmp_path)
    assert not is_dicom(tmp_path / "missing.nrrd")


@pytest.mark.data
def test_real_series(data_dir, capfd):
    """Its UIDs break the rules of DICOM in places; that must not spoil the terminal."""
    for name in ("SCD0000101_ED", "SCD0000201_ES", "SCD0000501_ED"):
        volume = read_volume(data_dir / "sunnybrook" / "dicom" / name)
        labels = read_volume(data_dir / "sunnybrook" / "labels" / f"{name}.nii.gz")
        assert volume.geometry.difference(labels.geometry) is None
        assert volume.name == name
    assert capfd.readouterr() == ("", "")


@pytest.mark.data
def test_real_uneven_series(data_dir):
    """Two time points of two slices."""
    message = refusal(data_dir / "sunnybrook" / "dicom" / "SCD0000501_ES")
    assert "are uneven: 13 images lie at 11 positions" in message
    for name in ("009.dcm and 019.dcm", "029.dcm and 039.dcm"):
        assert name in message
