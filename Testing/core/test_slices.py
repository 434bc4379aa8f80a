"""Slices of a volume on the model's grid, and the way back."""

import tracemalloc

import numpy as np
import pytest
import torch
from synthetic import GEOMETRIES, make_geometry, make_labels, make_volume
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE
from sslseg.errors import InputError
from sslseg.slices import InPlaneGrid, SliceStack, intensity_range, plane_of, take_slices
from sslseg.volume import Volume

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("native", "spacing", "max_pixels", "model_spacing", "expected"),
    [
        ((256, 216), (1.4, 1.4), 320, None, (256, 216)),
        ((256, 216), (1.4, 1.4), 128, None, (128, 108)),
        ((100, 100), (2.0, 1.0), 300, None, (200, 100)),  # square pixels at the finer spacing
        ((100, 100), (2.0, 1.0), 100, None, (100, 50)),
        ((100, 80), (1.0, 1.0), 300, 2.0, (50, 40)),
        ((100, 80), (1.0, 1.0), 300, 0.5, (200, 160)),
        ((100, 80), (1.0, 1.0), 120, 0.5, (120, 96)),  # the limit wins
        ((1, 512), (1.0, 1.0), 128, None, (1, 128)),  # no side vanishes
        ((1, 1), (0.7, 5.0), 64, None, (1, 7)),
        ((3, 400), (0.1, 5.0), 100, None, (1, 100)),
    ],
)
def test_the_models_grid(native, spacing, max_pixels, model_spacing, expected):
    grid = InPlaneGrid.fit(native, spacing, max_pixels=max_pixels, model_spacing_mm=model_spacing)
    assert grid == InPlaneGrid(native, expected)


@pytest.mark.parametrize(
    ("area", "max_pixels", "expected"),
    [
        ((range(40, 104), range(64)), 128, (64, 64)),  # the finer spacing stays
        ((range(40, 104), range(64)), 32, (32, 32)),
        ((range(100), range(50, 75)), 128, (100, 25)),
    ],
)
def test_the_grid_of_a_part(area, max_pixels, expected):
    grid = InPlaneGrid.fit((200, 100), (1.0, 1.0), max_pixels=max_pixels, area=area)
    assert grid == InPlaneGrid((200, 100), expected, area)


def test_all_of_a_slice_is_no_part():
    whole = InPlaneGrid.fit((20, 10), (1.0, 1.0), max_pixels=128, area=(range(20), range(10)))
    assert whole == InPlaneGrid((20, 10), (20, 10))


@pytest.mark.parametrize("model", [(8, 12), (5, 6), (16, 30)])
def test_a_part_is_seen_as_if_it_had_been_cut_out(model):
    native, area = (20, 30), (range(4, 12), range(9, 21))
    cut = (..., slice(4, 12), slice(9, 21))
    part, alone = InPlaneGrid(native, model, area), InPlaneGrid((8, 12), model)
    images, labels = torch.randn(2, 3, *native), torch.randint(0, 4, (2, *native), dtype=torch.uint8)
    labels[1, 6:] = IGNORE
    assert torch.equal(part.images_to_model(images), alone.images_to_model(images[cut]))
    assert torch.equal(part.labels_to_model(labels), alone.labels_to_model(labels[cut]))
    probabilities = torch.randn(2, 3, *model).softmax(1)
    found = part.to_native(probabilities)
    assert torch.equal(found[cut], alone.to_native(probabilities))
    outside = torch.ones(native, dtype=torch.bool)
    outside[cut] = False
    assert (found[:, 0, outside] == 1).all()
    assert (found[:, 1:, outside] == 0).all()
    wide = part.extend_to_native(probabilities)
    assert torch.equal(wide[cut], alone.to_native(probabilities))
    assert torch.equal(wide[:, :, 0, 15], wide[:, :, 4, 15])
    assert torch.equal(wide[:, :, 19, 29], wide[:, :, 11, 20])


def test_nothing_happens_on_equal_grids():
    grid = InPlaneGrid((7, 5), (7, 5))
    images, labels = torch.randn(2, 3, 7, 5), torch.randint(0, 4, (2, 7, 5), dtype=torch.uint8)
    assert torch.equal(grid.images_to_model(images), images)
    assert torch.equal(grid.to_native(images), images)
    assert torch.equal(grid.labels_to_model(labels), labels)


def ramp(size, native):
    """Position in native pixels of the pixel centres of a grid of ``size`` over the same field of view."""
    rows, columns = ((torch.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(size, native, strict=True))
    return torch.stack([rows[:, None].expand(size), columns[None].expand(size)])[None]


@pytest.mark.parametrize(
    ("native", "model"), [((24, 32), (12, 8)), ((12, 8), (24, 32)), ((20, 10), (20, 30)), ((30, 20), (10, 40))]
)
def test_edges_are_aligned(native, model):
    """A linear ramp stays one: every pixel shows what lies at its centre, where the edges are far enough."""
    grid = InPlaneGrid(native, model)
    found = grid.images_to_model(ramp(native, native))
    inner = (..., *(slice(max(1, m // n), -max(1, m // n)) for n, m in zip(native, model, strict=True)))
    assert torch.allclose(found[inner], ramp(model, native)[inner], atol=1e-4)
    back = grid.to_native(ramp(model, native))
    inner = (..., *(slice(max(1, n // m), -max(1, n // m)) for n, m in zip(native, model, strict=True)))
    assert torch.allclose(back[inner], ramp(native, native)[inner], atol=1e-4)


def test_fine_detail_is_averaged_not_aliased():
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)) % 2.0
    coarse = InPlaneGrid((64, 64), (16, 16)).images_to_model(checkerboard[None, None])
    assert torch.allclose(coarse, torch.full_like(coarse, 0.5), atol=0.02)


@pytest.mark.parametrize("model", [(40, 60), (33, 47), (13, 17), (20, 90), (1, 30)])
def test_probabilities_still_sum_to_one(model):
    probabilities = torch.randn(2, 4, *model).softmax(1)
    native = InPlaneGrid((20, 30), model).to_native(probabilities)
    assert native.shape == (2, 4, 20, 30)
    assert torch.allclose(native.sum(1), torch.ones(2, 20, 30), atol=1e-5)


def there_and_back(labels, grid):
    one_hot = F.one_hot(grid.labels_to_model(labels).long(), 3).permute(0, 3, 1, 2).float()
    return grid.to_native(one_hot).argmax(1).to(labels.dtype)


@pytest.mark.parametrize("model", [(40, 36), (60, 54), (20, 54), (100, 90)])
def test_labels_come_back_exactly_from_a_finer_grid(model):
    labels = torch.from_numpy(make_labels(GEOMETRIES["anisotropic"]))  # 20 x 18
    assert torch.equal(there_and_back(labels, InPlaneGrid((20, 18), model)), labels)


@pytest.mark.parametrize("model", [(50, 45), (34, 31), (99, 60)])
def test_labels_come_back_nearly_from_a_coarser_grid(model):
    labels = torch.from_numpy(make_labels(make_geometry((4, 100, 90))))
    found = there_and_back(labels, InPlaneGrid((100, 90), model))
    for c in (1, 2):
        overlap = ((found == c) & (labels == c)).sum() * 2 / ((found == c).sum() + (labels == c).sum())
        assert overlap > 0.93
        rows, expected = (torch.nonzero(x == c)[:, 1].float().mean() for x in (found, labels))
        assert abs(rows - expected) < 0.2 * 100 / model[0], "the structure must not be shifted"


def triangle(position, n, m):
    """Weights of ``n`` native pixels for pixel ``position`` of ``m``: the linear filter against aliasing."""
    factor = n / m
    weights = [max(0.0, 1 - abs(p + 0.5 - (position + 0.5) * factor) / max(factor, 1)) for p in range(n)]
    return np.array(weights) / sum(weights)


def inside(position, n, m):
    """The native pixels in pixel ``position`` of ``m``."""
    if n <= m:
        nearest = int((position + 0.5) * n / m)
        return slice(nearest, nearest + 1)
    return slice(position * n // m, -(-(position + 1) * n // m))


@pytest.mark.parametrize("share", [1.0, 0.3, 0.02])
@pytest.mark.parametrize("model", [(10, 8), (7, 11), (40, 48), (10, 48), (1, 1)])
def test_labels_on_the_models_grid_equal_slow_reference(model, share):
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, (3, 20, 24), dtype=np.uint8)
    labels[random.random(labels.shape) >= share] = IGNORE
    labels[1] = IGNORE
    found = InPlaneGrid((20, 24), model).labels_to_model(torch.from_numpy(labels))
    assert found.dtype == torch.uint8
    assert found.shape == (3, *model)
    for index, row, column in np.ndindex(3, *model):
        label = int(found[index, row, column])
        if (labels[index, inside(row, 20, model[0]), inside(column, 24, model[1])] == IGNORE).all():
            assert label == IGNORE
            continue
        rows, columns = triangle(row, 20, model[0]), triangle(column, 24, model[1])
        votes = [rows @ (labels[index] == c) @ columns for c in range(4)]
        assert votes[label] == pytest.approx(max(votes), abs=1e-5), "or an equal one"


def test_a_thin_scribble_survives_a_coarse_grid():
    labels = torch.full((1, 100, 100), IGNORE, dtype=torch.uint8)
    labels[0, 11, 30:60] = 2
    labels[0, 70, 70] = 0
    coarse = InPlaneGrid((100, 100), (20, 20)).labels_to_model(labels)[0]
    assert (coarse == 2).sum() == 6
    assert coarse[14, 14] == 0
    assert (coarse != IGNORE).sum() == 7


@pytest.mark.parametrize("name", sorted(GEOMETRIES))
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_along_any_axis(name, axis):
    geometry = GEOMETRIES[name]
    volume = make_volume(make_labels(geometry), geometry)
    native, spacing = plane_of(volume, axis)
    stack = SliceStack.from_volume(volume, axis, InPlaneGrid(native, native), CPU)
    assert len(stack) == geometry.shape[axis]
    scale = intensity_range(volume.array)
    for index in range(len(stack)):
        expected = scale.apply(torch.from_numpy(volume.array.take(index, axis).copy()))
        assert torch.equal(stack.images[index, 0], expected)
    rows, columns = (a for a in range(3) if a != axis)
    assert spacing == (geometry.spacing[2 - rows], geometry.spacing[2 - columns])


@pytest.mark.parametrize("shape", [(5, 1, 30), (5, 30, 1), (1, 1, 40), (40, 6, 7)])
def test_thin_slices_and_long_stacks_on_another_grid(shape):
    volume = Volume(np.random.default_rng(0).random(shape, np.float32), make_geometry(shape))
    grid = InPlaneGrid.fit(shape[1:], (1, 1), max_pixels=4)
    stack = SliceStack.from_volume(volume, 0, grid, CPU)
    assert stack.images.shape == (shape[0], 1, *grid.model)
    whole = grid.images_to_model(intensity_range(volume.array).apply(torch.from_numpy(volume.array)[:, None]))
    assert torch.allclose(stack.images, whole)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_neighbouring_slices_as_channels(channels):
    stack = SliceStack(torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2), 0, InPlaneGrid((2, 2), (2, 2)))
    found = stack.with_context(torch.tensor([3, 0, 2]), channels)
    assert found.shape == (3, channels, 2, 2)
    half = channels // 2
    expected = [[min(max(i + o, 0), 3) for o in range(-half, half + 1)] for i in (3, 0, 2)]
    assert found[:, :, 0, 0].tolist() == expected


def test_slices_are_contiguous_copies():
    array = np.arange(24).reshape(2, 3, 4)
    for axis in range(3):
        taken = take_slices(array, [1, 0], axis)
        assert taken.flags.c_contiguous
        assert np.array_equal(taken[0], array.take(1, axis))
        assert np.array_equal(taken[1], array.take(0, axis))
        assert not np.shares_memory(taken, array)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_intensity_range_equals_slow_reference(scale):
    array = (np.random.default_rng(0).gamma(2, scale, (6, 30, 20)) - scale).astype(np.float32)
    ordered = np.sort(array.ravel().astype(float))
    low, high = (np.interp(q * (len(ordered) - 1), np.arange(len(ordered)), ordered) for q in (0.005, 0.995))
    clipped = [min(max(v, low), high) for v in ordered]
    mean = sum(clipped) / len(clipped)
    std = (sum((v - mean) ** 2 for v in clipped) / len(clipped)) ** 0.5
    found = intensity_range(array)
    assert (found.low, found.high, found.mean, found.std) == pytest.approx((low, high, mean, std), rel=1e-5)
    normalised = found.apply(torch.from_numpy(array))
    assert float(normalised.mean()) == pytest.approx(0, abs=1e-3)
    assert float(normalised.std()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("shape", [(3, 600, 900), (600, 3, 900), (150, 130, 120)])
def test_sampled_intensity_range_is_close_to_that_of_all_voxels(shape):
    """Each slice of a short stack has another brightness: all of them must be sampled."""
    shortest = shape.index(min(shape))
    ramp_along = np.arange(min(shape)).reshape([-1 if axis == shortest else 1 for axis in range(3)])
    array = (np.random.default_rng(0).normal(0, 1, shape) + 5 * ramp_along).astype(np.float32)
    found = intensity_range(array)
    low, high = np.percentile(array, (0.5, 99.5))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01 * (high - low))
    assert (found.mean, found.std) == pytest.approx((array.mean(), array.std()), rel=0.05)


def test_small_bright_structure_on_black_is_not_clipped_away():
    array = np.zeros((10, 40, 40), np.float32)
    array[4:6, 10:13, 10:13] = 7.0
    shown = intensity_range(array).apply(torch.from_numpy(array))
    assert shown[5, 11, 11] - shown[0, 0, 0] > 1


@pytest.mark.parametrize("value", [0.0, -1024.0, 1e5 + 0.1])
def test_constant_image_becomes_zero(value):
    array = np.full((3, 4, 5), value, np.float32)
    assert torch.equal(intensity_range(array).apply(torch.from_numpy(array)), torch.zeros(3, 4, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    volume = make_volume(make_labels(GEOMETRIES["isotropic"]), GEOMETRIES["isotropic"])
    volume.array[3, 2, 1] = value
    with pytest.raises(InputError, match="synthetic holds NaN or infinite values"):
        SliceStack.from_volume(volume, 0, InPlaneGrid((14, 16), (14, 16)), CPU)


@pytest.mark.parametrize("axis", [0, 2])
def test_a_large_volume_is_not_copied(axis):
    shape = (64, 320, 320)
    volume = Volume(np.zeros(shape, np.float32), make_geometry(shape))
    volume.array[:, :, ::2] = 1
    volume.array.flags.writeable = False
    native, spacing = plane_of(volume, axis)
    tracemalloc.start()
    stack = SliceStack.from_volume(volume, axis, InPlaneGrid.fit(native, spacing, max_pixels=32), CPU)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(stack) == shape[axis]
    assert peak < volume.array.nbytes * 0.6
