"""What is known of a volume is computed once, and never taken for that of another."""

import dataclasses

import pytest
import torch
from few_slices import CASES, make_case

from sslseg import preparation as preparation_module
from sslseg.backbone import BACKBONES, BackboneConfig, UNet
from sslseg.preparation import Preparation
from sslseg.slices import InPlaneGrid, SliceStack, plane_of

CPU = torch.device("cpu")


def grid_of(case, max_pixels=64):
    native, spacing = plane_of(case.volume, case.axis)
    return InPlaneGrid.fit(native, spacing, max_pixels=max_pixels)


def carry(preparation, case, **options):
    return preparation.complete(case.volume, case.annotation, case.axis, CPU, **options)


@pytest.fixture
def counted(monkeypatch):
    """The number of propagations."""
    calls, original = [], preparation_module.complete_annotation
    monkeypatch.setattr(
        preparation_module, "complete_annotation", lambda *a, **k: (calls.append(a), original(*a, **k))[1]
    )
    return calls


def test_the_same_question_is_answered_from_memory(counted):
    preparation, case = Preparation(), CASES["two slices"]
    first = carry(preparation, case)
    copied = dataclasses.replace(case.annotation, labels=case.annotation.labels.copy())
    assert carry(preparation, dataclasses.replace(case, annotation=copied)) is first
    assert len(counted) == 1
    assert preparation.slices(case.volume, 0, grid_of(case), CPU) is preparation.slices(
        case.volume, 0, grid_of(case), CPU
    )


def changed_cases():
    case = make_case()
    labels = case.annotation.labels.copy()
    labels[2, 0, 0] = 1 - labels[2, 0, 0]
    torch.manual_seed(3)
    backbone = UNet(BackboneConfig(BACKBONES["tiny"])).eval()
    return {
        "one pixel": (dataclasses.replace(case, annotation=dataclasses.replace(case.annotation, labels=labels)), {}),
        "one slice more": (dataclasses.replace(case, annotation=make_case(slices=(2, 4, 5)).annotation), {}),
        "another volume": (make_case(seed=1), {}),
        "another axis": (dataclasses.replace(case, axis=1), {}),
        "another grid": (case, {"model_spacing_mm": 4.0}),
        "a backbone": (case, {"backbone": backbone}),
    }


@pytest.mark.parametrize("what", changed_cases())
def test_whatever_changed_is_computed_again(counted, what):
    preparation = Preparation()
    carry(preparation, make_case())
    other, options = changed_cases()[what]
    found = carry(preparation, other, **options)
    expected = carry(Preparation(), other, **options)
    assert len(counted) == 3
    assert torch.equal(found.propagation.probabilities, expected.propagation.probabilities)


def test_features_outlive_a_correction(monkeypatch):
    forward, seen = UNet.forward, []
    monkeypatch.setattr(UNet, "forward", lambda net, images: (seen.append(len(images)), forward(net, images))[1])
    backbone = UNet(BackboneConfig(BACKBONES["tiny"])).eval()
    preparation, case = Preparation(), make_case()
    carry(preparation, case, backbone=backbone)
    n = sum(seen)
    corrected = dataclasses.replace(case, annotation=make_case(slices=(2, 4, 5)).annotation)
    carry(preparation, corrected, backbone=backbone)
    assert sum(seen) == n == case.volume.array.shape[0]


def test_slices_that_are_known_are_not_cut_again(monkeypatch):
    cut, from_volume = [], SliceStack.from_volume
    monkeypatch.setattr(SliceStack, "from_volume", lambda *a: (cut.append(a), from_volume(*a))[1])
    preparation, case = Preparation(), make_case()
    preparation.slices(case.volume, case.axis, grid_of(case), CPU)
    carry(preparation, case)
    assert len(cut) == 1


def test_what_was_cut_short_is_not_remembered(counted):
    preparation, case = Preparation(), CASES["two slices"]
    cut = carry(preparation, case, should_stop=lambda: True)
    whole = carry(preparation, case)
    assert len(counted) == 2
    assert not torch.equal(cut.propagation.weight, whole.propagation.weight)


def test_the_volume_used_least_recently_is_forgotten(counted):
    preparation = Preparation(volumes=2)
    first, second, third = (make_case(seed=seed) for seed in range(3))
    for case in (first, second, first, third, first, second):
        carry(preparation, case)
    assert len(counted) == 4
