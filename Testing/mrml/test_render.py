"""Pictures in 3-D, and a sentence instead where nothing can be drawn."""

import sys

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_cases import NO_OPENGL, SURFACE, masks_of

from sslseg.errors import InputError, OutputError
from sslseg.geometry import Geometry
from SSLSegmentLib import mrml, render


def load_only(*present):
    def load(name):
        if name not in present:
            raise OSError(f"{name}: cannot open shared object file")

    return load


@pytest.mark.parametrize(
    ("platform", "present", "expected"),
    [
        ("linux", ["libEGL.so.1"], None),
        ("linux", ["libOSMesa.so.8"], None),
        ("linux", [], "install the Debian packages libegl1 and libgl1-mesa-dri (or libosmesa6)"),
        ("win32", [], None),
        ("darwin", [], None),
    ],
)
def test_missing_library_is_named_with_its_package(platform, present, expected):
    reason = render.missing_library(platform, load_only(*present))
    assert reason is None if expected is None else expected in reason


@pytest.fixture
def without_opengl(monkeypatch):
    for name, value in NO_OPENGL.items():
        monkeypatch.setenv(name, value)
    render.failed_probe.cache_clear()
    yield
    render.failed_probe.cache_clear()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a window system")
def test_crash_of_the_first_render_becomes_a_sentence(without_opengl):  # noqa: ARG001 - changes the environment
    assert render.failed_probe().startswith(
        "Drawing off-screen does not work on this machine: for pictures in 3-D install"
    )


@pytest.fixture
def drawing():
    reason = render.rendering_available()
    if reason:
        pytest.skip(reason)


def read(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(int)


def hue_masks(picture):
    """Pixels that are mostly red, green and blue."""
    strongest = picture.argmax(axis=-1)
    lively = np.ptp(picture, axis=-1) > 60
    return [lively & (strongest == channel) for channel in range(3)]


@pytest.fixture
def blocks(drawing, add_volume, add_segmentation):  # noqa: ARG001
    """Three cubes: red, blue to the patient's left of it, and green above; the volume is stored in an odd order."""
    geometry = Geometry((30, 30, 30), direction=(0, 0, -1, 1, 0, 0, 0, 1, 0))  # I runs to P, J to S, K to R
    masks = {name: np.zeros(geometry.shape, bool) for name in ("red", "green", "blue")}
    masks["red"][20:26, 2:8, 10:16] = True
    masks["blue"][2:8, 2:8, 10:16] = True
    masks["green"][20:26, 20:26, 10:16] = True
    node = add_segmentation(add_volume(np.zeros(geometry.shape, np.int16), geometry), masks)
    for name, color in (("red", (1, 0, 0)), ("green", (0, 1, 0)), ("blue", (0, 0, 1))):
        node.GetSegmentation().GetSegment(name).SetColor(color)
    return node


def test_picture_shows_the_patient_from_the_front(app, blocks, tmp_path):
    render.render_surfaces(app, blocks, tmp_path / "x.png", size=(300, 300))
    places = [np.argwhere(mask).mean(axis=0) for mask in hue_masks(read(tmp_path / "x.png"))]
    (red_row, red_column), (green_row, _), (_, blue_column) = places
    assert red_column < blue_column - 50, "the patient's right is on the left of the picture"
    assert green_row < red_row - 50, "the head is above"


@pytest.mark.parametrize("size", [(300, 300), (400, 150), (150, 400)])
def test_picture_is_filled_but_not_cut(app, blocks, tmp_path, size):
    render.render_surfaces(app, blocks, tmp_path / "x.png", size=size)
    picture = read(tmp_path / "x.png")
    assert picture.shape == (size[1], size[0], 3)
    rows, columns = np.nonzero(np.any(hue_masks(picture), axis=0))
    margins = np.array([rows.min(), size[1] - 1 - rows.max(), columns.min(), size[0] - 1 - columns.max()])
    assert margins.min() > 2
    assert margins.min() < 0.06 * max(size)


def test_node_and_scene_stay_as_they_were(app, scene, blocks, tmp_path):
    before = mrml.fingerprint(blocks), scene.GetNumberOfNodes()
    render.render_surfaces(app, blocks, tmp_path / "x.png", size=(100, 100))
    assert (mrml.fingerprint(blocks), scene.GetNumberOfNodes()) == before
    assert not blocks.GetSegmentation().ContainsRepresentation(SURFACE)


def test_nothing_to_draw_is_refused(app, volume, labels, add_segmentation, tmp_path):
    node = add_segmentation(volume, {name: mask & False for name, mask in masks_of(labels).items()})
    with pytest.raises(InputError, match="'segmentation' holds nothing to draw"):
        render.render_surfaces(app, node, tmp_path / "x.png")


def test_folder_that_is_not_there_is_said(app, blocks, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        render.render_surfaces(app, blocks, tmp_path / "none" / "x.png", size=(50, 50))
