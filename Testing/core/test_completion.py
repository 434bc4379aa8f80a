"""The annotation of a volume is completed where its structures are, and comes back to the native grid."""

import numpy as np
import pytest
import torch
from few_slices import SETTINGS, make_case
from synthetic import GEOMETRIES, SEGMENTS, make_annotation, make_geometry, make_labels, make_volume

from sslseg.annotation import IGNORE, Annotation
from sslseg.carry import carry_labels
from sslseg.completion import MAX_PIXELS, complete_annotation, region_of_interest, window_for
from sslseg.finetune import finetune
from sslseg.pixel_features import PixelFeatures
from sslseg.predict import predict
from sslseg.preparation import Preparation
from sslseg.sampling import Case
from sslseg.slices import InPlaneGrid, SliceStack
from sslseg.volume import Volume

CPU = torch.device("cpu")


def boxed(size, rows, columns, n=3):
    """One annotated slice with a box, of ``n``."""
    labels = np.full((n, *size), IGNORE, np.uint8)
    labels[1] = 0
    labels[1, rows[0] : rows[1], columns[0] : columns[1]] = 1
    return labels


def region(labels, spacing=(1.0, 1.0)):
    return region_of_interest(labels, spacing, min(spacing))


@pytest.mark.parametrize(
    ("size", "spacing", "rows", "columns", "expected"),
    [
        ((100, 90), (1, 1), (40, 50), (40, 50), (range(100), range(90))),  # all of it fits
        ((512, 512), (1, 1), (250, 260), (250, 260), (range(192, 320), range(192, 320))),
        ((512, 512), (1, 1), (0, 10), (500, 512), (range(128), range(384, 512))),  # moved inside
        ((512, 300), (1, 1), (200, 300), (100, 200), (range(144, 368), range(32, 256))),  # 50 more on each side
        ((512, 100), (1, 1), (200, 300), (20, 50), (range(144, 368), range(100))),
        ((512, 128), (1, 4), (250, 260), (62, 64), (range(192, 320), range(48, 80))),  # of equal length in mm
        ((512, 512), (1, 1), (0, 512), (3, 500), (range(512), range(512))),
    ],
)
def test_the_region_around_a_structure(size, spacing, rows, columns, expected):
    assert region(boxed(size, rows, columns), spacing) == expected


@pytest.mark.parametrize("seed", range(30))
def test_the_region_holds_the_structure_with_a_margin(seed):
    generator = np.random.default_rng(seed)
    size, spans = generator.integers(20, 700, 2), []
    for n in size:
        start = int(generator.integers(0, n - 1))
        spans.append((start, int(generator.integers(start + 1, min(n, start + 200) + 1))))
    found = region(boxed(tuple(size), *spans), (0.8, 0.8))
    margin = max(16, max(stop - start for start, stop in spans) / 2)
    for part, (start, stop), n in zip(found, spans, size, strict=True):
        assert part.start <= max(0, start - margin)
        assert part.stop >= min(n, stop + margin)
        assert min(n, MAX_PIXELS) <= len(part) <= n
        assert part.start >= 0
        assert part.stop <= n


def test_a_small_structure_is_in_the_middle_of_its_region():
    for start in range(200, 240):
        rows, columns = region(boxed((512, 512), (start, start + 30), (start, start + 20)))
        assert len(rows) == len(columns) == MAX_PIXELS
        assert abs(rows.start + rows.stop - (2 * start + 30)) <= 16
        assert abs(columns.start + columns.stop - (2 * start + 20)) <= 16


def test_the_region_is_that_of_all_annotated_slices():
    labels = boxed((512, 512), (100, 110), (100, 110))
    labels[2] = boxed((512, 512), (300, 310), (100, 110))[1]
    rows, columns = region(labels)
    assert rows.start <= 0
    assert rows.stop >= 415
    assert columns.start == 0, "the margin is half of the longer side"


def test_most_small_corrections_leave_the_region_as_it_is():
    """With outlines that change by up to 2 pixels on each side."""
    generator, same = np.random.default_rng(0), 0
    for _ in range(200):
        top, left, height, width = generator.integers((150, 150, 10, 10), (250, 250, 100, 100))
        up, down, before, after = generator.integers(0, 3, 4)
        first = region(boxed((512, 512), (top, top + height), (left, left + width)))
        second = region(boxed((512, 512), (top - up, top + height + down), (left - before, left + width + after)))
        same += first == second
    assert same > 140


@pytest.mark.parametrize("drawn", ["scribbles", "background only"])
def test_the_region_is_everything_where_structures_may_be_anywhere(drawn):
    labels = boxed((400, 300), (100, 110), (100, 110))
    if drawn == "scribbles":
        labels[1, :50] = IGNORE
    else:
        labels[1] = 0
    assert region(labels) == (range(400), range(300))


def test_beside_whole_slices_a_scribble_only_counts_where_it_is():
    labels = boxed((400, 400), (200, 210), (200, 210))
    labels[2, 260:262, 205] = 1
    rows, _ = region(labels)
    assert len(rows) < 200
    assert rows.stop >= 262 + 16


def grid_for(labels, spacing=(3.0, 0.7, 0.7), **options):
    def features_on(grid):
        return PixelFeatures(SliceStack(torch.zeros(len(labels), 1, *grid.model), 0, grid))

    return complete_annotation(features_on, labels, 2, spacing, **options).grid


def test_labels_travel_on_native_pixels_where_they_fit():
    small = boxed((512, 512), (250, 260), (250, 260))
    assert grid_for(small) == InPlaneGrid((512, 512), (128, 128), (range(192, 320), range(192, 320)))
    # Weights that know larger pixels only see as many of these.
    assert grid_for(small, model_spacing_mm=1.4) == InPlaneGrid(
        (512, 512), (128, 128), (range(128, 384), range(128, 384))
    )
    assert grid_for(boxed((512, 512), (0, 512), (0, 256))) == InPlaneGrid((512, 512), (MAX_PIXELS, MAX_PIXELS))


@pytest.mark.parametrize(
    ("slice_mm", "pixel_mm", "expected"), [(0.5, 1.0, 2), (1.0, 1.0, 2), (3.0, 1.0, 4), (8.0, 1.5, 6), (50.0, 1.0, 7)]
)
def test_window_grows_with_the_slice_distance(slice_mm, pixel_mm, expected):
    assert window_for(slice_mm, pixel_mm) == expected


def dice(found, expected):
    return 2 * float((found & expected).sum()) / float(found.sum() + expected.sum())


def completed(images, labels, n_classes=2, spacing=(3.0, 1.0, 1.0), **options):
    """The annotation of slices (n, rows, columns), completed by their intensities."""

    def features_on(grid):
        return PixelFeatures(SliceStack(grid.images_to_model(torch.from_numpy(images)[:, None]), 0, grid))

    return complete_annotation(features_on, labels, n_classes, spacing, **options)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["anisotropic", "oblique", "single slice"])
def test_annotation_of_a_volume_is_completed(name, axis):
    geometry = GEOMETRIES[name]
    truth = np.moveaxis(make_labels(geometry), axis, 0)
    volume = make_volume(make_labels(geometry), geometry)
    every = max(1, len(truth) // 4)
    case = Case(
        volume, make_annotation(make_labels(geometry), geometry, range(every // 2, len(truth), every), axis), axis
    )
    found = Preparation().complete(volume, case.annotation, axis, CPU)
    winner = found.probabilities(slice(None)).argmax(1)
    assert winner.shape == truth.shape
    assert dice(winner.numpy() > 0, truth > 0) > 0.8


def wandering_disc(step=2, n=7, size=(260, 300), radius=9.0):
    """(labels, images) of a bright disc that moves by ``step`` rows from slice to slice."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    labels = np.stack([((rows - 120 - step * z) ** 2 + (columns - 60) ** 2 <= radius**2) for z in range(n)])
    image = 3.0 * labels + np.random.default_rng(0).normal(0, 0.3, labels.shape)
    return labels.astype(np.uint8), image.astype(np.float32)


def only(labels, *indices):
    known = np.full_like(labels, IGNORE)
    known[list(indices)] = labels[list(indices)]
    return known


def test_what_travels_in_a_region_is_what_travels_in_that_part_alone():
    labels, images = wandering_disc()
    found = completed(images, only(labels, 3))
    assert found.grid.area is not None
    assert found.grid.model == (MAX_PIXELS, MAX_PIXELS)
    cut = tuple(slice(part.start, part.stop) for part in found.grid.area)
    expected = completed(images[(slice(None), *cut)].copy(), only(labels, 3)[(slice(None), *cut)].copy())
    assert expected.grid.area is None
    assert torch.equal(found.propagation.probabilities, expected.propagation.probabilities)
    probabilities, weight = found.probabilities(slice(2, 5)), found.weight(slice(2, 5))
    assert torch.equal(probabilities[(..., *cut)], expected.propagation.probabilities[2:5])
    assert torch.equal(weight[(..., *cut)], expected.propagation.weight[2:5])
    outside = torch.ones(labels.shape[1:], dtype=torch.bool)
    outside[cut] = False
    assert (probabilities[:, 0, outside] == 1).all()
    assert (weight[1] == 1).all(), "the annotated slice"
    assert torch.allclose(weight[:, :, outside], weight[:, :, cut[0].start, cut[1].start, None])


def test_structures_in_a_large_image_are_completed_at_full_resolution():
    labels, images = wandering_disc()
    found = completed(images, only(labels, 3)).probabilities(slice(None)).argmax(1)
    assert dice(found.numpy() == 1, labels == 1) > 0.97


@pytest.mark.parametrize("known", [0, 40])
def test_a_structure_that_leaves_the_region_is_followed(known):
    """The region is not large enough for 80 rows of way, and is made wider."""
    labels, images = wandering_disc(n=41)
    found = completed(images, only(labels, known))
    assert found.grid.area is None or len(found.grid.area[0]) > len(region(only(labels, known))[0])
    winner = found.probabilities(slice(None)).argmax(1).numpy()
    overlap = [dice(here == 1, there == 1) for here, there in zip(winner, labels, strict=True)]
    assert min(overlap[3:-3]) > 0.6


def test_who_asks_to_stop_gets_what_there_is_before_the_region_is_made_wider():
    labels, images = wandering_disc(n=41)
    known = only(labels, 0)
    first = region(known)
    cut = (slice(None), *(slice(part.start, part.stop) for part in first))
    asked = []
    completed(images[cut].copy(), known[cut].copy(), should_stop=lambda: asked.append(1) is not None)
    calls = len(asked)
    asked.clear()
    found = completed(images, known, should_stop=lambda: asked.append(1) is not None or len(asked) >= calls)
    assert found.grid.area == first
    assert found.propagation.probabilities[20, 1].max() > 0.5


@pytest.mark.usefixtures("tiny_training")
def test_all_jobs_take_what_travelled_in_a_region():
    labels, images = wandering_disc()
    geometry = make_geometry(labels.shape, spacing=(1.0, 1.0, 3.0))
    case = Case(Volume(images, geometry), Annotation(only(labels, 3), geometry, SEGMENTS[:1]), 0)
    preparation = Preparation()
    carried = carry_labels(case, SETTINGS, preparation=preparation)
    assert dice(carried.labels == 1, labels == 1) > 0.97
    model = finetune([case], SETTINGS, preparation=preparation).model
    predicted = predict(model, case.volume, annotation=case.annotation, device="cpu", preparation=preparation)
    assert dice(predicted.labels == 1, labels == 1) > 0.9
    assert (predicted.labels[:, :, 200:] == 0).all()
    assert (carried.uncertainty[:, :, 200:] == 0).all()


def test_it_moves_to_another_device():
    case = make_case()
    found = Preparation().complete(case.volume, case.annotation, 0, CPU).to(torch.device("meta"))
    assert found.propagation.probabilities.device.type == "meta"
