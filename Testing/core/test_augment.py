"""One sampling grid moves images, labels and features alike; intensities change shape-preservingly and repeatably."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE
from sslseg.augment import IntensityChange, SpatialRange, SpatialTransform, change_intensities

STILL = SpatialRange(rotation_deg=0, log_scale=0, shift=0, elastic_px=0)
RIGID = SpatialRange(elastic_px=0)
NO_CHANGE = IntensityChange(contrast=0, brightness=0, bias=0, log_gamma=0, noise=0, blur_px=0)
SIZE, PATCH = (20, 26), (12, 10)


def seed(value=0):
    return torch.Generator().manual_seed(value)


def transform(limits, *, centre=None, size=SIZE, patch=PATCH, n=3, generator=None):
    middle = [(s - 1) / 2 for s in size]
    centres = torch.tensor([centre or middle] * n, dtype=torch.float32)
    return SpatialTransform.random(centres, size, patch, limits, generator or seed())


def positions(view, size=SIZE):
    """Row and column in input pixels from which each output pixel comes: (n, rows, columns, 2), double precision."""
    return ((view.grid.double() + 1) * torch.tensor(size[::-1]) - 1).flip(-1) / 2


def random_labels(size=SIZE, n=3):
    """Blobs of four classes and of unknown pixels."""
    coarse = torch.randint(0, 5, (n, 1, 4, 4), generator=seed(1))
    labels = F.interpolate(coarse.float(), size=size)[:, 0].to(torch.uint8)
    return torch.where(labels == 4, torch.full_like(labels, IGNORE), labels)


def test_identity_is_exact():
    view = transform(STILL, patch=SIZE)
    images, labels = torch.randn(3, 2, *SIZE), random_labels()
    assert torch.allclose(view.warp(images), images, atol=1e-5)
    assert torch.equal(view.warp_labels(labels), labels)
    assert view.valid(SIZE).all()


@pytest.mark.parametrize("step", [(0, 3), (-4, 0), (5, -7), (-30, 2)])
def test_whole_pixel_shift_is_exact(step):
    view = transform(STILL, centre=[(s - 1) / 2 + d for s, d in zip(SIZE, step, strict=True)], patch=SIZE)
    images, labels = torch.randn(3, 2, *SIZE), random_labels()
    rows, columns = (torch.arange(s) + d for s, d in zip(SIZE, step, strict=True))
    inside = ((rows >= 0) & (rows < SIZE[0]))[:, None] & ((columns >= 0) & (columns < SIZE[1]))
    rows, columns = rows.clamp(0, SIZE[0] - 1), columns.clamp(0, SIZE[1] - 1)
    assert torch.allclose(view.warp(images), images[:, :, rows][..., columns], atol=1e-4)
    expected = torch.where(inside, labels[:, rows][..., columns], torch.full_like(labels, IGNORE))
    assert torch.equal(view.warp_labels(labels), expected)
    assert torch.equal(view.valid(SIZE)[:, 0], inside.expand(3, *SIZE))


def test_patch_is_cut_around_its_centre():
    image = torch.arange(SIZE[0] * SIZE[1], dtype=torch.float32).reshape(1, 1, *SIZE)
    patch = transform(STILL, centre=(10, 9), patch=(5, 7), n=1).warp(image)
    assert torch.allclose(patch, image[..., 8:13, 6:13], atol=1e-2)


def slow_sample(image, row, column):
    """Bilinear by hand; beyond the edge the edge goes on."""
    rows, columns = image.shape
    row, column = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
    r, c = int(row), int(column)
    below, right = min(r + 1, rows - 1), min(c + 1, columns - 1)
    y, x = row - r, column - c
    top = (1 - x) * image[r, c] + x * image[r, right]
    return (1 - y) * top + y * ((1 - x) * image[below, c] + x * image[below, right])


@pytest.mark.parametrize("limits", [RIGID, SpatialRange(), SpatialRange(shift=0.8, flip=True)])
def test_warp_equals_slow_reference(limits):
    view = transform(limits)
    images, labels, where = torch.randn(3, 1, *SIZE), random_labels(), positions(view).numpy()
    warped, moved, valid = view.warp(images).numpy(), view.warp_labels(labels).numpy(), view.valid(SIZE).numpy()
    ones = np.pad(np.ones(SIZE), 2)  # what lies outside counts 0
    for n, r, c in np.ndindex(3, *PATCH):
        row, column = where[n, r, c]
        assert warped[n, 0, r, c] == pytest.approx(slow_sample(images[n, 0].numpy(), row, column), abs=1e-3)
        assert valid[n, 0, r, c] == (slow_sample(ones, row + 2, column + 2) > 0.999)
        if min(abs(row % 1 - 0.5), abs(column % 1 - 0.5)) < 1e-3:
            continue  # between two pixels either is right
        nearest = round(row), round(column)
        outside = not (0 <= nearest[0] < SIZE[0] and 0 <= nearest[1] < SIZE[1])
        assert moved[n, r, c] == (IGNORE if outside else labels[n][nearest])


@pytest.mark.parametrize("flip", [False, True])
def test_geometry_is_affine_within_its_limits(flip):
    limits = SpatialRange(rotation_deg=15, log_scale=0.2, shift=0.1, elastic_px=0, flip=flip)
    n = 200
    view = transform(limits, n=n)
    where = positions(view)
    matrix = torch.stack([where[:, 1, 0] - where[:, 0, 0], where[:, 0, 1] - where[:, 0, 0]], dim=-1)  # column a: axis a
    middle = where.flatten(1, 2).mean(1)
    for r, c in np.ndindex(*PATCH):  # every pixel lies where the matrix says
        offset = torch.tensor([r - (PATCH[0] - 1) / 2, c - (PATCH[1] - 1) / 2], dtype=torch.float64)
        assert torch.allclose(where[:, r, c], matrix @ offset + middle, atol=1e-3)
    scale = matrix.norm(dim=1)
    assert scale.log().abs().max() <= 0.2 + 1e-3
    assert scale.log().abs().max() > 0.15, "the range is used"
    unit = matrix / scale[:, None]
    assert torch.allclose((unit[:, :, 0] * unit[:, :, 1]).sum(1), torch.zeros(n).double(), atol=1e-3), "no shear"
    angle = torch.atan2(unit[:, 1, 0].abs(), unit[:, 0, 0].abs()).rad2deg()
    assert 12 < angle.max() <= 15 + 0.1
    assert bool((unit[:, 0, 0] < 0).any()) == bool((unit[:, 1, 1] < 0).any()) == flip
    shift = (middle - (torch.tensor(SIZE) - 1) / 2).abs() / torch.tensor(PATCH)
    assert 0.08 < shift.max() <= 0.1 + 1e-4


def test_elastic_field_is_smooth_and_as_large_as_asked():
    still = transform(STILL, n=100, patch=(40, 40))
    moved = transform(SpatialRange(0, 0, 0, elastic_px=2.0), n=100, patch=(40, 40))
    field = positions(moved) - positions(still)
    knots = field[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert knots.std() == pytest.approx(2.0, rel=0.1), "at the control points"
    assert (field[:, 1:] - field[:, :-1]).abs().max() < 2.0, "no folding"


def test_images_labels_and_features_move_alike():
    view = transform(SpatialRange(), n=3, patch=SIZE)
    labels = torch.where(random_labels() == IGNORE, torch.zeros(3, *SIZE, dtype=torch.uint8), random_labels())
    one_hot = F.one_hot(labels.long(), 4).permute(0, 3, 1, 2).float()
    share, winner = view.warp(one_hot).max(1)
    clear = (share > 0.76) & view.valid(SIZE)[:, 0]  # the nearest of four pixels has at least a quarter
    assert clear.float().mean() > 0.4
    assert torch.equal(view.warp_labels(labels)[clear].long(), winner[clear])
    images = torch.randn(3, 2, *SIZE)
    mix = torch.randn(5, 2, 1, 1)
    assert torch.allclose(view.warp(F.conv2d(images, mix)), F.conv2d(view.warp(images), mix), atol=1e-4)


def test_same_seed_same_views():
    def draw(value):
        generator = seed(value)
        grid = transform(SpatialRange(flip=True), generator=generator).grid
        return grid, change_intensities(torch.ones(3, 1, 8, 8), IntensityChange(), generator)

    first, again, other = draw(3), draw(3), draw(4)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.allclose(a, c)


def test_views_of_a_batch_differ():
    grid = transform(SpatialRange()).grid
    assert not torch.allclose(grid[0], grid[1])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 16, 9), (4, 1, 1, 30)])
@pytest.mark.parametrize("value", ["random", "constant"])
def test_intensity_chain_keeps_shape_and_stays_finite(shape, value):
    images = torch.randn(shape, generator=seed()) if value == "random" else torch.full(shape, -3.0)
    before = images.clone()
    changed = change_intensities(images, IntensityChange(), seed())
    assert changed.shape == shape
    assert changed.isfinite().all()
    assert not torch.allclose(changed, images)
    assert torch.equal(images, before)


def test_no_change_is_no_change():
    images = torch.randn(2, 3, 10, 12)
    assert torch.allclose(change_intensities(images, NO_CHANGE, seed()), images, atol=1e-5)


def test_neighbouring_slices_change_alike_but_for_the_noise():
    images = torch.randn(4, 1, 10, 12).expand(4, 3, 10, 12)
    quiet = change_intensities(images, IntensityChange(noise=0), seed())
    assert torch.allclose(quiet[:, 0], quiet[:, 2], atol=1e-5)
    noisy = change_intensities(images, IntensityChange(), seed())
    assert not torch.allclose(noisy[:, 0], noisy[:, 2], atol=1e-3)


def only(**limits):
    return IntensityChange(**{**vars(NO_CHANGE), **limits})


def test_contrast_and_brightness_are_linear_within_their_limits():
    images = torch.randn(300, 1, 2, 2)
    gain = change_intensities(images, only(contrast=0.25), seed()) / images
    assert torch.allclose(gain, gain[:, :, :1, :1].expand_as(gain), atol=1e-3)
    assert 0.75 <= gain.min() < 0.8
    assert 1.2 < gain.max() <= 1.25 + 1e-3
    shift = change_intensities(images, only(brightness=0.3), seed()) - images
    assert 0.25 < shift.abs().max() <= 0.3 + 1e-3


def test_gamma_keeps_order_and_range():
    images = torch.randn(8, 1, 6, 6)
    changed = change_intensities(images, only(log_gamma=0.3), seed())
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    assert torch.allclose(changed.amin((1, 2, 3), keepdim=True), low, atol=1e-4)
    assert torch.allclose(changed.amax((1, 2, 3), keepdim=True), high, atol=1e-4)
    assert torch.equal(changed.flatten(1).argsort(1), images.flatten(1).argsort(1))
    before, after = ((x - low) / (high - low) for x in (images, changed))
    exponent = (after.log() / before.log())[(before > 0.1) & (before < 0.9)]
    assert math.exp(-0.3) - 1e-2 < exponent.min() < 1 < exponent.max() < math.exp(0.3) + 1e-2


def test_bias_field_is_smooth_and_positive():
    field = change_intensities(torch.ones(50, 1, 32, 32), only(bias=0.15), seed())
    assert field.min() > 0
    assert field[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].log().std() == pytest.approx(0.15, rel=0.2)
    assert (field[..., 1:] - field[..., :-1]).abs().max() < 0.2


def test_blur_equals_slow_reference():
    """An impulse becomes a Gaussian, cut at three pixels; one width for rows and columns, another for each image."""
    impulse = torch.zeros(20, 1, 9, 9)
    impulse[..., 4, 4] = 1
    blurred = change_intensities(impulse, only(blur_px=1.0), seed()).double()
    for image in blurred[:, 0]:
        kernel = [float(v) for v in image.sum(0)]
        sigma = (-1 / (2 * math.log(kernel[5] / kernel[4]))) ** 0.5 if kernel[5] > 1e-12 else 1e-3
        assert sigma <= 1.0 + 1e-3
        weights = [math.exp(-(d**2) / (2 * sigma**2)) if abs(d) <= 3 else 0.0 for d in range(-4, 5)]
        expected = [w / sum(weights) for w in weights]
        for r, c in np.ndindex(9, 9):
            assert float(image[r, c]) == pytest.approx(expected[r] * expected[c], abs=1e-4)


def test_noise_is_white_within_its_limit():
    noise = change_intensities(torch.zeros(60, 2, 30, 30), only(noise=0.1), seed())
    spread = noise.flatten(1).std(1)
    assert 0.09 < spread.max() < 0.105
    assert spread.min() < 0.02
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean()
    assert abs(neighbours) < 0.03
