"""Training patches show what is annotated, where it is annotated."""

import numpy as np
import pytest
import torch
from synthetic import GEOMETRIES, SEGMENTS, make_annotation, make_geometry, make_labels, make_volume

from sslseg.annotation import IGNORE, Annotation, Segment
from sslseg.augment import IntensityChange, SpatialRange
from sslseg.errors import InputError
from sslseg.sampling import Case, Patches, PatchSampler, check_fits, prepare
from sslseg.volume import Volume

CPU = torch.device("cpu")
STILL = SpatialRange(rotation_deg=0, log_scale=0, shift=0, elastic_px=0)
NO_CHANGE = IntensityChange(contrast=0, brightness=0, bias=0, log_gamma=0, noise=0, blur_px=0)


def make_case(geometry=GEOMETRIES["anisotropic"], slices=(2, 5), axis=0, seed=0):
    labels = make_labels(geometry)
    return Case(make_volume(labels, geometry, seed=seed), make_annotation(labels, geometry, slices, axis), axis)


def make_sampler(cases, *, channels=1, patch=12, stride=4, max_pixels=64, seed=0, exact=False):
    prepared = prepare(cases, max_pixels, None, CPU)
    generator = torch.Generator().manual_seed(seed)
    sampler = PatchSampler(prepared, channels=channels, patch=patch, stride=stride, generator=generator)
    if exact:
        sampler._spatial, sampler._intensity = STILL, NO_CHANGE
    return sampler


def foreground(labels):
    return (labels > 0) & (labels != IGNORE)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_patches_have_the_shapes_they_say(axis, channels):
    sampler = make_sampler([make_case(GEOMETRIES["isotropic"], axis=axis)], channels=channels)
    supervised, carried = sampler.annotated(5), sampler.propagated(3)
    assert supervised.images.shape == (5, channels, 12, 12)
    assert supervised.labels.shape == (5, 12, 12)
    assert supervised.labels.dtype == torch.uint8
    assert carried.images.shape == (3, channels, 12, 12)
    assert carried.probabilities.shape == (3, 3, 12, 12)
    assert carried.weight.shape == (3, 1, 12, 12)
    assert torch.allclose(carried.probabilities.sum(1), torch.ones(3, 12, 12), atol=1e-4)
    for tensor in (supervised.images, carried.images, carried.weight):
        assert tensor.isfinite().all()


@pytest.mark.parametrize(
    ("size", "patch", "expected"), [((20, 18), 12, (12, 12)), ((20, 18), 64, (20, 20)), ((1, 30), 16, (4, 16))]
)
def test_patches_are_no_larger_than_the_slice_needs(size, patch, expected):
    geometry = make_geometry((4, *size))
    labels = np.zeros(geometry.shape, np.uint8)
    labels[:, :, 5:9] = 1
    case = Case(make_volume(labels, geometry), make_annotation(labels, geometry, [1]), 0)
    assert make_sampler([case], patch=patch).annotated(2).images.shape[-2:] == expected


def test_patches_stay_inside_of_the_slice():
    sampler = make_sampler([make_case()], exact=True)
    labels = torch.cat([sampler.annotated(8).labels for _ in range(10)])
    assert (labels != IGNORE).all(), "whole slices are annotated, so IGNORE could come from outside only"


def test_labels_lie_on_the_image():
    """Where the labels of a patch are alike all around, the image has the brightness of that class."""
    case = make_case(make_geometry((6, 64, 60)), slices=[3])
    volume = Volume((60.0 * make_labels(case.annotation.geometry)).astype(np.float32), case.volume.geometry)
    sampler = make_sampler([Case(volume, case.annotation, 0)], patch=32)
    sampler._intensity = NO_CHANGE
    prepared = sampler._cases[0]
    levels = [prepared.stack.images[3, 0][prepared.labels[3] == c].median() for c in range(3)]
    patches = sampler.annotated(16)
    around = torch.nn.functional.unfold(patches.labels[:, None].float(), 5, padding=2).reshape(16, 25, 32, 32)
    for c in range(3):
        uniform = (around == c).all(1)
        assert uniform.sum() > 100
        assert torch.allclose(patches.images[:, 0][uniform], levels[c], atol=1e-3)


def test_propagated_labels_lie_on_the_image():
    case = make_case(make_geometry((9, 64, 60)), slices=[4])
    sampler = make_sampler([case], patch=32)
    sampler._intensity = NO_CHANGE
    patches = sampler.propagated(32)
    inside, outside = ((patches.probabilities[:, c] > 0.95) for c in (1, 0))
    assert inside.sum() > 100
    assert patches.images[:, 0][inside].mean() - patches.images[:, 0][outside].mean() > 0.8


def test_slices_are_drawn_from_both_kinds():
    """Each slice has its own class and brightness, which tell from where a patch came."""
    geometry = make_geometry((5, 16, 16))
    labels = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None], geometry.shape).copy()
    segments = tuple(Segment(f"slice {c}", (0, 0, 0), c) for c in range(1, 5))
    known = np.where(np.isin(np.arange(5), (1, 3))[:, None, None], labels, np.uint8(IGNORE))
    case = Case(make_volume(labels, geometry), Annotation(known, geometry, segments), 0)
    sampler = make_sampler([case], exact=True)
    assert sampler._cases[0].annotated.tolist() == [1, 3]
    assert sampler._cases[0].others.tolist() == [0, 2, 4]
    drawn = torch.cat([sampler.annotated(4).labels for _ in range(8)])
    assert set(drawn.unique().tolist()) == {1, 3}
    levels = sampler._cases[0].stack.images.flatten(1).mean(1)
    shown = torch.cat([sampler.propagated(4).images.flatten(1).mean(1) for _ in range(8)])
    assert set((shown[:, None] - levels).abs().argmin(1).tolist()) == {0, 2, 4}


def test_two_patches_of_three_show_foreground():
    geometry = make_geometry((3, 100, 100))
    labels = np.zeros(geometry.shape, np.uint8)
    labels[1, 10:14, 80:84] = 1
    case = Case(make_volume(labels, geometry), make_annotation(labels, geometry, [1]), 0)
    sampler = make_sampler([case], patch=16, max_pixels=100, exact=True)
    shown = torch.cat([foreground(sampler.annotated(20).labels).flatten(1).any(1) for _ in range(15)])
    assert 0.58 < shown.float().mean() < 0.76


def test_every_case_is_drawn():
    bright = make_case(seed=1)
    sampler = make_sampler([make_case(slices=[0]), bright])  # slice 0 of the first holds background only
    shown = [bool(foreground(sampler.annotated(2).labels).any()) for _ in range(20)]
    assert any(shown)
    assert not all(shown)


def test_no_patch_of_other_slices_where_all_are_annotated():
    case = make_case(slices=range(8))
    assert make_sampler([case]).propagated(2) is None


def test_partly_annotated_slices_count_as_annotated():
    case = make_case(slices=[2])
    case.annotation.labels[5, 10, 9] = 1
    prepared = make_sampler([case])._cases[0]
    assert prepared.annotated.tolist() == [2, 5]


@pytest.mark.parametrize("max_pixels", [13, 40, 100])
def test_a_scribble_of_one_pixel_is_found_on_any_grid(max_pixels):
    geometry = make_geometry((3, 100, 90))
    labels = make_labels(geometry)
    known = np.full_like(labels, IGNORE)
    known[1, 37, 22], known[1, 50, 44] = 0, 2
    case = Case(make_volume(labels, geometry), Annotation(known, geometry, SEGMENTS), 0)
    sampler = make_sampler([case], max_pixels=max_pixels)
    found = torch.cat([sampler.annotated(8).labels for _ in range(10)])
    assert set(found.unique().tolist()) == {0, 2, IGNORE}


def test_annotated_empty_slices_are_drawn_too():
    case = make_case(slices=[0])
    patches = make_sampler([case], exact=True).annotated(4)
    assert (patches.labels == 0).all()


def test_same_generator_same_patches():
    def draw(seed):
        sampler = make_sampler([make_case(), make_case(seed=1)], seed=seed)
        return [t for p in (sampler.annotated(3), sampler.propagated(2)) for t in vars(p).values() if t is not None]

    assert all(torch.equal(a, b) for a, b in zip(draw(1), draw(1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(draw(1), draw(2), strict=True))


def test_part_of_a_batch():
    whole = make_sampler([make_case()]).propagated(5)
    part = whole.part(3, 9, CPU)
    assert len(part.images) == 2
    assert torch.equal(part.probabilities, whole.probabilities[3:])
    assert part.labels is None
    assert Patches(whole.images).part(0, 1, torch.device("meta")).images.device.type == "meta"


def test_request_while_preparing_leaves_slices_out_of_reach():
    prepared = prepare([make_case(slices=[2])], 64, None, CPU, should_stop=lambda: True)[0]
    assert prepared.completion.propagation.weight[3].max() == 0
    assert prepared.completion.propagation.weight[2].min() == 1


def test_what_fits_is_accepted():
    case = make_case()
    check_fits(case.annotation, case.volume)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"geometry": make_geometry((8, 20, 17), spacing=(0.7, 0.85, 8.0))}, "its size is 17 x 20 x 8 voxels"),
        ({"geometry": make_geometry((8, 20, 18), spacing=(0.7, 0.85, 8.0), origin=(0, 0, 0))}, "mm away"),
        ({"segments": SEGMENTS[:1]}, "holds class 2 but names only 1"),
    ],
)
def test_annotation_of_another_image_is_refused(change, words):
    case = make_case()
    fields = {"labels": make_labels(GEOMETRIES["anisotropic"]), "geometry": case.volume.geometry, "segments": SEGMENTS}
    with pytest.raises(InputError, match=words):
        check_fits(Annotation(**{**fields, **change}), case.volume)
