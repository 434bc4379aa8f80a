"""Pictures: which way round a patient hangs, what is drawn where, and that odd names do no harm."""

import itertools
import warnings

import numpy as np
import pytest
from matplotlib.image import imread

from sslseg.annotation import IGNORE, Segment, default_segments
from sslseg.errors import InputError, OutputError
from sslseg.geometry import Geometry
from sslseg.plots import Overlay, SliceView, _borders, _stages, contact_sheet_png, curves_png, overlay_png
from sslseg.progress import Progress
from sslseg.volume import Volume

RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def signed_permutations():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[list(order), range(3)] = signs
            yield matrix


def tilted(matrix, degrees):
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return matrix @ turn @ turn[[2, 0, 1]][:, [2, 0, 1]]


def positions(geometry):
    """LPS mm of every voxel, (K, J, I, 3)."""
    k, j, i = np.indices(geometry.shape)
    ijk1 = np.stack([i, j, k, np.ones_like(i)], axis=-1)
    return (ijk1 @ geometry.affine.T)[..., :3]


@pytest.mark.parametrize("degrees", [0, 25])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_patient_hangs_the_radiological_way(axis, degrees):
    """Right on the left; anterior on top of axial slices, superior on top of the others, anterior left in sagittal."""
    for matrix in signed_permutations():
        geometry = Geometry((4, 5, 6), (1.0, 1.0, 1.0), direction=tuple(tilted(matrix, degrees).ravel()))
        view = SliceView.of(geometry, axis)
        shown = view.show(np.take(positions(geometry), 2, axis)[..., 0])
        lps = np.stack([view.show(np.take(positions(geometry), 2, axis)[..., c]) for c in range(3)], axis=-1)
        assert shown.shape == lps.shape[:2]
        to_the_right, down = lps[0, -1] - lps[0, 0], lps[-1, 0] - lps[0, 0]
        through = np.abs(np.reshape(geometry.direction, (3, 3))[:, 2 - axis])
        right, bottom = {0: ("P", "I"), 1: ("L", "I"), 2: ("L", "P")}[int(through.argmax())]
        assert "LP"[np.abs(to_the_right).argmax()] == right
        assert to_the_right.max() > -to_the_right.min()
        assert view.letters == ("A" if right == "P" else "R", right, "A" if bottom == "P" else "S", bottom)
        component = {"P": down[1], "I": -down[2]}[bottom]
        assert component == pytest.approx(np.abs(down).max())


@pytest.mark.parametrize(("axis", "expected"), [(0, (3.0, 2.0)), (1, (5.0, 2.0)), (2, (5.0, 3.0))])
def test_pixels_keep_their_size(axis, expected):
    assert SliceView.of(Geometry((4, 5, 6), (2.0, 3.0, 5.0)), axis).pixel_mm == expected


def test_pixel_size_follows_a_transpose():
    swapped = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # I runs to posterior, J to the left
    view = SliceView.of(Geometry((4, 5, 6), (2.0, 3.0, 5.0), direction=swapped), 0)
    assert view.transpose
    assert view.pixel_mm == (2.0, 3.0)


@pytest.fixture
def scene():
    """A bright left half of the patient, a red block anterior left and a blue one posterior right."""
    shape = (4, 40, 30)
    geometry = Geometry(shape, (1.0, 1.0, 3.0), direction=(-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))  # I to R, J to A
    array = np.zeros(shape, np.float32)
    array[:, :, :15] = 100
    labels = np.zeros(shape, np.uint8)
    labels[:, 28:36, 4:12] = 1
    labels[:, 4:12, 20:28] = 2
    segments = (Segment("red", RED, 1), Segment("blue", BLUE, 2))
    return Overlay(Volume(array, geometry), labels, segments)


def reddish(pixels):
    return (pixels[..., 0] > pixels[..., 1] + 0.2) & (pixels[..., 0] > pixels[..., 2] + 0.2)


def bluish(pixels):
    return (pixels[..., 2] > pixels[..., 0] + 0.2) & (pixels[..., 2] > pixels[..., 1] + 0.2)


def centre(mask):
    """(x, y) of the mean pixel as a share of the picture's width and height."""
    rows, columns = np.nonzero(mask)
    return columns.mean() / mask.shape[1], rows.mean() / mask.shape[0]


def test_the_picture_shows_structures_where_they_are(scene, tmp_path):
    path = tmp_path / "slice ä.png"
    overlay_png(scene, 1, path)
    picture = imread(path)[..., :3]
    picture = picture[: int(picture.shape[0] * 0.88)]  # without the legend
    x, y = centre(reddish(picture))
    assert x > 0.6, "patient left is on the right"
    assert y < 0.5, "anterior is on top"
    x, y = centre(bluish(picture))
    assert x < 0.4
    assert y > 0.5
    grey = np.ptp(picture, axis=-1) < 0.05
    bright = grey & (picture.mean(-1) > 0.9)
    assert centre(bright)[0] > 0.6


def test_a_reference_adds_dashes_and_a_dice(scene, tmp_path):
    wrong = np.roll(scene.prediction, 2, axis=1)
    judged = Overlay(scene.volume, scene.prediction, scene.segments, reference=wrong, annotated=(2,))
    assert scene.title(1) == "Slice 1"
    assert judged.title(1) == "Slice 1 · Dice 0.75"
    assert judged.title(2) == "Slice 2 · annotated · Dice 0.75"
    for name, overlay in (("plain.png", scene), ("judged.png", judged)):
        contact_sheet_png(overlay, [1], tmp_path / name)
    plain, marked = (imread(tmp_path / name)[..., :3] for name in ("plain.png", "judged.png"))
    assert (marked.min(-1) > 0.9).sum() > (plain.min(-1) > 0.9).sum() + 50


def test_a_slice_without_structures_says_so(scene):
    empty = np.zeros_like(scene.prediction)
    assert Overlay(scene.volume, empty, scene.segments, reference=empty).title(0) == "Slice 0 · no structure"


def test_uncertainty_is_a_second_panel_of_the_same_size(scene, tmp_path):
    overlay_png(scene, 1, tmp_path / "one.png")
    sure = Overlay(
        scene.volume, scene.prediction, scene.segments, uncertainty=(scene.prediction > 0).astype(np.float32)
    )
    overlay_png(sure, 1, tmp_path / "two.png")
    one, two = (imread(tmp_path / name) for name in ("one.png", "two.png"))
    assert two.shape[1] > 1.8 * one.shape[1]


def test_anisotropic_slices_keep_their_shape(tmp_path):
    """4 slices of 10 mm are as high as 40 mm are wide."""
    array = np.ones((4, 8, 40), np.float32)
    array[:, :2] = 0
    volume = Volume(array, Geometry(array.shape, (1.0, 1.0, 10.0)))
    overlay_png(Overlay(volume, np.zeros(array.shape, np.uint8), (), axis=1), 3, tmp_path / "p.png")
    bright = imread(tmp_path / "p.png")[..., :3].mean(-1) > 0.5
    assert (bright.mean(1) > 0.8).sum() == pytest.approx((bright.mean(0) > 0.7).sum(), rel=0.02)


def test_the_sheet_zooms_to_the_structures(scene):
    rows, columns = scene.structures
    assert scene.whole == (slice(0, 40), slice(0, 30))
    small = np.zeros_like(scene.prediction)
    small[2, 20, 15] = 1
    rows, columns = Overlay(scene.volume, small, scene.segments).structures
    assert (rows.stop - rows.start, columns.stop - columns.start) == (17, 17)
    unknown = np.full_like(small, IGNORE)
    assert Overlay(scene.volume, small, scene.segments, reference=unknown).structures == (rows, columns)
    assert Overlay(scene.volume, np.zeros_like(small), scene.segments).structures == scene.whole


def test_a_border_that_two_segments_share_is_drawn_once():
    rng = np.random.default_rng(0)
    labels = np.pad(rng.integers(0, 4, (12, 15)).astype(np.uint8), 1)
    edges = []
    for x, y in _borders(labels, 3):
        edges += [(float(a), float(b)) for a, b in zip(x, y, strict=True) if not np.isnan(a)]
    expected = {
        ((i + ii) / 2 - 1, (j + jj) / 2 - 1)
        for j, i in np.ndindex(labels.shape)
        for jj, ii in ((j + 1, i), (j, i + 1))
        if jj < labels.shape[0] and ii < labels.shape[1] and labels[j, i] != labels[jj, ii]
    }
    assert set(edges) == expected


@pytest.mark.parametrize(
    "names", [["$x$ 100 %", "_hidden"], ["x" * 300], [], [f"region {n}" for n in range(90)], ["Größe", "α–β"]]
)
def test_odd_names_are_drawn_as_they_are(tmp_path, names):
    labels = np.zeros((2, 20, 20), np.uint8)
    for index in range(len(names)):
        labels[0, index // 10 * 2, index % 10 * 2] = index + 1
    segments = [Segment(name, BLUE, index + 1) for index, name in enumerate(names)]
    overlay = Overlay(Volume(labels.astype(np.float32), Geometry(labels.shape)), labels, segments, reference=labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contact_sheet_png(overlay, [0, 1], tmp_path / "p.png")
    assert 500 < imread(tmp_path / "p.png").shape[1] < 1500, "a long legend neither squeezes nor widens the pictures"


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_flat_or_broken_image_can_still_be_drawn(tmp_path, value):
    array = np.full((2, 8, 8), value, np.float32)
    array[0, 0, 0] = 3
    overlay_png(
        Overlay(Volume(array, Geometry(array.shape)), np.zeros(array.shape, np.uint8), ()), 0, tmp_path / "p.png"
    )
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "draw",
    [
        lambda scene, path: overlay_png(scene, 4, path),
        lambda scene, path: contact_sheet_png(scene, [0, 9], path),
        lambda scene, path: contact_sheet_png(scene, [], path),
    ],
)
def test_a_slice_that_is_not_there_leaves_no_file(scene, tmp_path, draw):
    with pytest.raises(InputError):
        draw(scene, tmp_path / "p.png")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(scene, tmp_path):
    with pytest.raises(OutputError):
        overlay_png(scene, 0, tmp_path / "no" / "p.png")


HISTORY = [
    Progress("preparing", 1, 1),
    *(Progress("linear probe", step, 3, loss=1 / step) for step in (1, 2, 3)),
    *(Progress("fine-tuning", step, 4, loss=0.1, dice=None if step % 2 else 0.8) for step in (1, 2, 3, 4)),
    Progress("predicting", 1, 1),
]


def test_steps_are_counted_over_all_stages():
    stages = [(stage, first, last, len(items)) for stage, first, last, items in _stages(HISTORY)]
    assert stages == [("linear probe", 0, 3, 3), ("fine-tuning", 3, 7, 4)]


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:2], []])
def test_curves_are_drawn(tmp_path, history):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves_png(history, tmp_path / "c.png")
    picture = imread(tmp_path / "c.png")[..., :3]
    assert bool(reddish(picture).any()) == bool(history)
    assert bool(bluish(picture).any()) == (history is HISTORY)


def test_default_colours_are_drawn(tmp_path):
    labels = np.zeros((1, 30, 30), np.uint8)
    labels[0, 5:25, 5:25] = 1
    overlay = Overlay(Volume(labels.astype(np.float32), Geometry(labels.shape)), labels, default_segments([1]))
    overlay_png(overlay, 0, tmp_path / "p.png")
    assert reddish(imread(tmp_path / "p.png")[..., :3]).mean() > 0.1
