"""Volumes with few annotated slices, of every kind, and pretrained weights for their training."""

import dataclasses

import numpy as np
import torch
from synthetic import GEOMETRIES, SEGMENTS, make_annotation, make_labels, make_volume

from sslseg.annotation import IGNORE, Annotation
from sslseg.backbone import BACKBONES, BackboneConfig, UNet
from sslseg.checkpoint import save_checkpoint
from sslseg.device import describe_devices
from sslseg.finetune import Case
from sslseg.model import model_header
from sslseg.predict import predict
from sslseg.settings import NO_WEIGHTS, Settings

SETTINGS = Settings(preset="fast", device="cpu", seed=0, weights=NO_WEIGHTS)

DEVICES = [entry["name"] for entry in describe_devices()]
"""Those of this machine; the CPU is always among them."""


def make_case(name="anisotropic", slices=(2, 5), axis=0, labels=None, seed=0):
    geometry = GEOMETRIES[name]
    labels = make_labels(geometry) if labels is None else labels
    return Case(make_volume(labels, geometry, seed=seed), make_annotation(labels, geometry, slices, axis), axis)


def state(result):
    return result.model.network.state_dict()


def assert_usable(result, case):
    """Finite weights, and a prediction that keeps the annotation and knows only classes that there are."""
    assert all(value.isfinite().all() for value in state(result).values())
    prediction = predict(result.model, case.volume, annotation=case.annotation, device="cpu")
    known = case.annotation.known
    assert np.array_equal(prediction.labels[known], case.annotation.labels[known])
    assert prediction.labels.max() < case.annotation.n_classes
    assert np.isfinite(prediction.uncertainty).all()


def one_class(case):
    labels = np.where(case.annotation.labels == 2, np.uint8(1), case.annotation.labels)
    return dataclasses.replace(case, annotation=Annotation(labels, case.volume.geometry, SEGMENTS[:1]))


def scribbles(case):
    labels = np.full_like(case.annotation.labels, IGNORE)
    for index, (row, label) in enumerate(((1, 0), (8, 1), (10, 2))):
        labels[2 + index % 2, row, 6:12] = label
    return dataclasses.replace(case, annotation=dataclasses.replace(case.annotation, labels=labels))


def partial_slices(case):
    labels = case.annotation.labels.copy()
    labels[:, :8], labels[:, :, 14:] = IGNORE, IGNORE
    return dataclasses.replace(case, annotation=dataclasses.replace(case.annotation, labels=labels))


def missing_class(case):
    """Class 2 in one of the annotated slices only, as where a structure ends."""
    labels = case.annotation.labels.copy()
    labels[2][labels[2] == 2] = 1
    return dataclasses.replace(case, annotation=dataclasses.replace(case.annotation, labels=labels))


CASES = {
    "one slice": make_case(slices=[4]),
    "two slices": make_case(slices=[2, 5]),
    "three slices": make_case(slices=[1, 4, 6]),
    "all slices": make_case(slices=range(8)),
    "one class": one_class(make_case()),
    "class missing in a slice": missing_class(make_case()),
    "class missing everywhere": make_case(labels=np.minimum(make_labels(GEOMETRIES["anisotropic"]), 1)),
    "annotated empty slice": make_case(slices=[0, 4]),
    "scribbles": scribbles(make_case()),
    "partial slices": partial_slices(make_case()),
    "rows of an anisotropic volume": make_case(axis=1, slices=[6, 12]),
    "columns of an anisotropic volume": make_case(axis=2, slices=[6, 12]),
    "single slice": make_case("single slice", slices=[0]),
    "rows of a single slice": make_case("single slice", slices=[8], axis=1),
    "oblique": make_case("oblique"),
    "permuted": make_case("permuted", slices=[3, 4], axis=1),
}


def write_weights(path, *, config=None, spacing_mm=None, fill=None):
    """A file as pretraining leaves it, with random values or with ``fill`` everywhere."""
    torch.manual_seed(7)
    unet = UNet(config or BackboneConfig(BACKBONES["tiny"]))
    tensors = {f"backbone.{name}": value for name, value in unet.state_dict().items()}
    if fill is not None:
        tensors = {name: torch.full_like(value, fill) for name, value in tensors.items()}
    header = model_header(
        unet.config, (), axis=0, max_pixels=32, spacing_mm=spacing_mm, weights="none", licence="CC0-1.0"
    )
    save_checkpoint(path, tensors, {**header, "method": "pix2rep"})
    return path
