"""The annotation of a volume is completed where its structures are, and comes back to the native grid."""

import dataclasses

import numpy as np
import pytest
import torch
from few_slices import make_case, scribbles
from synthetic import GEOMETRIES, SEGMENTS, make_geometry, make_labels, make_volume

from sslseg.annotation import IGNORE, Annotation
from sslseg.completion import MAX_PIXELS, complete_annotation, propagation_grid, region_of_interest, window_for
from sslseg.pixel_features import PixelFeatures
from sslseg.preparation import Preparation
from sslseg.slices import InPlaneGrid, SliceStack, plane_of
from sslseg.volume import Volume

CPU = torch.device("cpu")


def boxed(size, rows, columns, n=3):
    """One annotated slice with a box, of ``n``."""
    labels = np.full((n, *size), IGNORE, np.uint8)
    labels[1] = 0
    labels[1, rows[0] : rows[1], columns[0] : columns[1]] = 1
    return labels


@pytest.mark.parametrize(
    ("size", "spacing", "rows", "columns", "expected"),
    [
        ((100, 90), (1, 1), (40, 50), (40, 50), (range(100), range(90))),  # all of it fits
        ((512, 512), (1, 1), (250, 260), (250, 260), (range(192, 320), range(192, 320))),
        ((512, 512), (1, 1), (0, 10), (500, 512), (range(128), range(384, 512))),  # moved inside
        ((512, 300), (1, 1), (200, 300), (100, 200), (range(128, 352), range(32, 256))),  # 50 more on each side
        ((512, 100), (1, 1), (200, 300), (20, 50), (range(128, 352), range(100))),
        ((512, 128), (1, 4), (250, 260), (62, 64), (range(192, 320), range(48, 80))),  # of equal length in mm
        ((512, 512), (1, 1), (0, 512), (3, 500), (range(512), range(512))),
    ],
)
def test_the_region_around_a_structure(size, spacing, rows, columns, expected):
    assert region_of_interest(boxed(size, rows, columns), spacing) == expected


@pytest.mark.parametrize("seed", range(30))
def test_the_region_holds_the_structure_with_a_margin(seed):
    generator = np.random.default_rng(seed)
    size, spans = generator.integers(20, 700, 2), []
    for n in size:
        start = int(generator.integers(0, n - 1))
        spans.append((start, int(generator.integers(start + 1, min(n, start + 200) + 1))))
    found = region_of_interest(boxed(tuple(size), *spans), (0.8, 0.8))
    margin = max(16, max(stop - start for start, stop in spans) / 2)
    for part, (start, stop), n in zip(found, spans, size, strict=True):
        assert part.start <= max(0, start - margin)
        assert part.stop >= min(n, stop + margin)
        assert min(n, MAX_PIXELS) <= len(part) <= n
        assert part.start >= 0
        assert part.stop <= n


def test_the_region_is_that_of_all_annotated_slices():
    labels = boxed((512, 512), (100, 110), (100, 110))
    labels[2] = boxed((512, 512), (300, 310), (100, 110))[1]
    rows, columns = region_of_interest(labels, (1.0, 1.0))
    assert rows.start <= 84
    assert rows.stop >= 326
    assert columns.start == 0, "the margin is half of the longer side"


def test_most_corrections_leave_the_region_as_it_is():
    regions = [region_of_interest(boxed((512, 512), (250 + d, 300), (250, 300 - d)), (1.0, 1.0)) for d in range(6)]
    assert len(set(regions)) == 1


@pytest.mark.parametrize("labels", ["partly annotated", "background only"])
def test_the_region_is_everything_where_structures_may_be_anywhere(labels):
    drawn = boxed((400, 300), (100, 110), (100, 110))
    if labels == "partly annotated":
        drawn[1, :50] = IGNORE
    else:
        drawn[1] = 0
    assert region_of_interest(drawn, (1.0, 1.0)) == (range(400), range(300))


def test_the_grid_has_native_pixels_where_they_fit():
    grid = propagation_grid(boxed((512, 512), (250, 260), (250, 260)), (0.7, 0.7))
    assert grid == InPlaneGrid((512, 512), (MAX_PIXELS, MAX_PIXELS), (range(192, 320), range(192, 320)))
    coarse = propagation_grid(boxed((512, 512), (250, 260), (250, 260)), (0.7, 0.7), model_spacing_mm=1.4)
    assert coarse == dataclasses.replace(grid, model=(MAX_PIXELS // 2, MAX_PIXELS // 2))
    large = propagation_grid(boxed((512, 512), (0, 512), (0, 256)), (0.7, 0.7))
    assert large == InPlaneGrid((512, 512), (MAX_PIXELS, MAX_PIXELS))


@pytest.mark.parametrize(
    ("slice_mm", "pixel_mm", "expected"), [(0.5, 1.0, 2), (1.0, 1.0, 2), (3.0, 1.0, 4), (8.0, 1.5, 6), (50.0, 1.0, 7)]
)
def test_window_grows_with_the_slice_distance(slice_mm, pixel_mm, expected):
    assert window_for(slice_mm, pixel_mm) == expected


def dice(found, expected):
    return 2 * float((found & expected).sum()) / float(found.sum() + expected.sum())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["anisotropic", "oblique", "single slice"])
def test_annotation_of_a_volume_is_completed(name, axis):
    geometry = GEOMETRIES[name]
    labels = make_labels(geometry)
    volume = make_volume(labels, geometry)
    native, spacing = plane_of(volume, axis)
    stack = SliceStack.from_volume(volume, axis, InPlaneGrid.fit(native, spacing, max_pixels=64), CPU)
    truth = torch.from_numpy(np.moveaxis(labels, axis, 0).copy())
    known, every = torch.full_like(truth, IGNORE), max(1, len(truth) // 4)
    known[every // 2 :: every] = truth[every // 2 :: every]
    found = complete_annotation(PixelFeatures(stack), known, 3, geometry.stack_spacing(axis))
    assert found.propagation.probabilities.shape == (len(truth), 3, *stack.grid.model)
    winner = found.native(slice(None))[0].argmax(1)
    assert dice(winner > 0, truth > 0) > 0.8


def disc_in_a_large_image(n=7, size=(260, 300), radius=9.0):
    """(labels, image) of a bright disc that wanders through one corner."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    labels = np.stack([((rows - 190 - 2 * z) ** 2 + (columns - 60) ** 2 <= radius**2) for z in range(n)])
    image = 3.0 * labels + np.random.default_rng(0).normal(0, 0.3, labels.shape)
    return labels.astype(np.uint8), image.astype(np.float32)


def test_what_travels_in_a_region_is_what_travels_in_that_part_alone():
    labels, image = disc_in_a_large_image()
    known = np.full_like(labels, IGNORE)
    known[3] = labels[3]
    grid = propagation_grid(known, (1.0, 1.0))
    assert grid.area is not None
    cut = (slice(None), *(slice(part.start, part.stop) for part in grid.area))
    alone = InPlaneGrid(grid.model, grid.model)
    images = torch.from_numpy(image)[:, None]
    found, expected = (
        complete_annotation(PixelFeatures(SliceStack(stack, 0, g)), torch.from_numpy(annotation), 2, (3.0, 1.0, 1.0))
        for stack, g, annotation in (
            (grid.images_to_model(images), grid, known),
            (torch.from_numpy(image[cut])[:, None], alone, known[cut]),
        )
    )
    assert torch.equal(found.propagation.probabilities, expected.propagation.probabilities)
    probabilities, weight = found.native(slice(2, 5))
    assert torch.equal(probabilities[(..., *cut[1:])], expected.propagation.probabilities[2:5])
    assert torch.equal(weight[(..., *cut[1:])], expected.propagation.weight[2:5])
    assert probabilities.shape == (3, 2, *labels.shape[1:])
    assert (probabilities[:, 0, :100] == 1).all()
    assert (weight[1] == 1).all(), "the annotated slice"
    assert torch.equal(weight[:, :, :100].amax((1, 2, 3)), weight[:, :, 140].amax((1, 2)))


def test_structures_in_a_large_image_are_completed_at_full_resolution():
    labels, image = disc_in_a_large_image()
    geometry = make_geometry(labels.shape, spacing=(1.0, 1.0, 3.0))
    known = np.full_like(labels, IGNORE)
    known[3] = labels[3]
    annotation = Annotation(known, geometry, SEGMENTS[:1])
    found = Preparation().complete(Volume(image, geometry), annotation, 0, CPU).native(slice(None))[0].argmax(1)
    assert dice(found == 1, torch.from_numpy(labels == 1)) > 0.97


def test_scribbles_are_completed_in_all_of_the_slices():
    case = scribbles(make_case())
    found = Preparation().complete(case.volume, case.annotation, 0, CPU)
    assert found.grid.area is None


def test_it_moves_to_another_device():
    case = make_case()
    found = Preparation().complete(case.volume, case.annotation, 0, CPU).to(torch.device("meta"))
    assert found.propagation.probabilities.device.type == "meta"
