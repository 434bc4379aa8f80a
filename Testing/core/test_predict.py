"""A prediction lies where the image lies, keeps what is annotated, and says where it is unsure."""

import math

import numpy as np
import pytest
import torch
from synthetic import GEOMETRIES, SEGMENTS, assert_same_grid, make_annotation, make_geometry, make_labels, make_volume
from torch.nn import functional as F  # noqa: N812

from sslseg.annotation import IGNORE, Annotation
from sslseg.backbone import BACKBONES, BackboneConfig, SegmentationNetwork
from sslseg.device import move
from sslseg.errors import DeviceError, InputError
from sslseg.model import Model, model_header
from sslseg.predict import predict
from sslseg.slices import intensity_range


def make_model(segments=SEGMENTS, *, channels=3, axis=0, max_pixels=32, spacing_mm=None, seed=0):
    """An untrained model: what it says is arbitrary, but always the same."""
    torch.manual_seed(seed)
    config = BackboneConfig(BACKBONES["tiny"], channels)
    network = SegmentationNetwork(config, len(segments) + 1)
    header = model_header(
        config, segments, axis=axis, max_pixels=max_pixels, spacing_mm=spacing_mm, weights="none", licence=""
    )
    return Model(network, header)


class Threshold(SegmentationNetwork):
    """Stands for a perfectly trained network: what is brighter than ``limit`` (normalised) is class 1."""

    limit = 0.0

    def forward(self, images):
        inside = 50 * (images[:, images.shape[1] // 2] - self.limit)
        return torch.stack([-inside, inside, torch.full_like(inside, -100)], dim=1)


@pytest.fixture
def precise(monkeypatch):
    """No mixed precision, also on processors that have it."""
    monkeypatch.setattr("sslseg.device.has_bfloat16", lambda _: False)


def make_pair(name="anisotropic"):
    geometry = GEOMETRIES[name]
    labels = make_labels(geometry)
    return make_volume(labels, geometry), labels


def dice(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@pytest.mark.parametrize("name", sorted(GEOMETRIES))
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_result_has_the_grid_of_the_image(name, axis):
    volume, labels = make_pair(name)
    for annotation in (None, make_annotation(labels, volume.geometry, [labels.shape[axis] // 2], axis)):
        found = predict(make_model(), volume, annotation=annotation, axis=axis, device="cpu")
        assert found.labels.shape == found.uncertainty.shape == labels.shape
        assert (found.labels.dtype, found.uncertainty.dtype) == (np.uint8, np.float32)
        assert_same_grid(found.geometry, volume.geometry)
        assert found.segments == SEGMENTS
        assert found.labels.max() <= 2
        assert 0 <= found.uncertainty.min() <= found.uncertainty.max() <= 1
        assert (found.stopped, found.device, found.messages) == ("schedule", "cpu", [])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.6, 0.7)])
def test_structures_are_found_where_they_are(axis, spacing):
    """Along every axis, on grids that must be resampled."""
    geometry = make_geometry((30, 26, 34), spacing=spacing)
    labels = make_labels(geometry)
    volume, model = make_volume(labels, geometry), make_model(max_pixels=34)
    scale = intensity_range(volume.array)
    model.network = Threshold(model.network.backbone.config, 3)
    model.network.limit = (130 - scale.mean) / scale.std  # between background and class 1
    found = predict(model, volume, axis=axis, device="cpu").labels > 0
    assert dice(found, labels > 0) > 0.95
    centre, expected = (np.argwhere(x).mean(0) for x in (found, labels > 0))
    assert np.abs(centre - expected).max() < 0.1


def slow_prediction(model, volume, axis):
    """Slice by slice, where the model's grid is the native one: (probabilities, labels, uncertainty)."""
    scale = intensity_range(volume.array)
    slices = scale.apply(torch.from_numpy(np.moveaxis(volume.array, axis, 0).copy()))
    results = []
    for index in range(len(slices)):
        neighbours = [slices[min(max(index + step, 0), len(slices) - 1)] for step in (-1, 0, 1)]
        with torch.no_grad():
            probabilities = model.network.eval()(torch.stack(neighbours)[None])[0].softmax(0)
        entropy = -(probabilities * probabilities.log()).sum(0) / math.log(len(probabilities))
        results.append((probabilities, entropy))
    probabilities, entropy = (torch.stack(part) for part in zip(*results, strict=True))
    return probabilities, np.moveaxis(entropy.numpy(), 0, axis)


@pytest.mark.usefixtures("precise")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_prediction_equals_slow_reference(axis):
    volume, _ = make_pair("isotropic")
    model = make_model()
    probabilities, entropy = slow_prediction(model, volume, axis)
    found = predict(model, volume, axis=axis, device="cpu")
    top = probabilities.topk(2, dim=1).values
    clear = np.moveaxis((top[:, 0] - top[:, 1] > 1e-3).numpy(), 0, axis)
    assert clear.mean() > 0.9
    assert np.array_equal(found.labels[clear], np.moveaxis(probabilities.argmax(1).numpy(), 0, axis)[clear])
    assert np.allclose(found.uncertainty, entropy, atol=1e-3)


@pytest.mark.usefixtures("precise")
def test_probabilities_are_resampled_before_the_classes_are_taken():
    volume, _ = make_pair("oblique")
    model = make_model(max_pixels=10)
    found = predict(model, volume, device="cpu")
    images = intensity_range(volume.array).apply(torch.from_numpy(volume.array))[:, None]
    images = F.interpolate(images, size=(10, 8), mode="bilinear", antialias=True)[:, 0]
    stack = torch.stack([images[[max(k - 1, 0), k, min(k + 1, 7)]] for k in range(8)])
    with torch.no_grad():
        probabilities = F.interpolate(model.network(stack).softmax(1), size=(20, 18), mode="bilinear")
    entropy = torch.special.entr(probabilities).sum(1) / math.log(3)
    assert np.allclose(found.uncertainty, entropy.numpy(), atol=1e-3)
    top = probabilities.topk(2, dim=1).values
    clear = (top[:, 0] - top[:, 1] > 1e-3).numpy()
    assert np.array_equal(found.labels[clear], probabilities.argmax(1).numpy()[clear])


def known_voxels(labels, kind):
    known = np.full_like(labels, IGNORE)
    if kind == "slices":
        known[[0, 3]] = labels[[0, 3]]
    elif kind == "wrong labels":
        known[4] = 2
    elif kind == "scribbles":
        known[2, 5, 3:9], known[6, :, 4] = 1, 0
    else:
        known[:, 2:9, 2:9] = labels[:, 2:9, 2:9]
    return known


@pytest.mark.parametrize("kind", ["slices", "wrong labels", "scribbles", "part of every slice"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_annotated_voxels_keep_their_label_and_are_sure(kind, axis):
    volume, labels = make_pair("oblique")
    annotation = Annotation(known_voxels(labels, kind), volume.geometry, SEGMENTS)
    before = annotation.labels.copy()
    found = predict(make_model(), volume, annotation=annotation, axis=axis, device="cpu")
    known = annotation.known
    assert np.array_equal(found.labels[known], annotation.labels[known])
    assert (found.uncertainty[known] == 0).all()
    assert (found.uncertainty[~known] > 0).any()
    assert np.array_equal(annotation.labels, before)


def test_annotation_helps_the_slices_beside_it():
    volume, labels = make_pair("isotropic")
    annotation = make_annotation(labels, volume.geometry, [5])
    alone, helped = (predict(make_model(), volume, annotation=a, device="cpu").labels for a in (None, annotation))
    assert dice(helped[[4, 6]] > 0, labels[[4, 6]] > 0) > 0.85 > dice(alone[[4, 6]] > 0, labels[[4, 6]] > 0)


@pytest.mark.usefixtures("precise")
def test_where_no_label_arrives_the_network_decides_alone():
    """A scribble that does not spread to the far side of a wide slice must not draw it to the background."""
    geometry = make_geometry((1, 4, 128))
    labels = np.zeros(geometry.shape, np.uint8)
    labels[:, :, 60:] = 1
    volume = make_volume(labels, geometry)
    known = np.full_like(labels, IGNORE)
    known[0, 0, 0] = 0
    model = make_model(SEGMENTS[:1], max_pixels=128)
    annotation = Annotation(known, geometry, SEGMENTS[:1])
    alone, helped = (predict(model, volume, annotation=a, device="cpu") for a in (None, annotation))
    assert np.allclose(alone.uncertainty[..., 120:], helped.uncertainty[..., 120:], atol=1e-6)
    assert not np.allclose(alone.uncertainty[..., 1:10], helped.uncertainty[..., 1:10], atol=1e-3)


def test_axis_of_the_training_is_the_default():
    volume, _ = make_pair("isotropic")
    by_default = predict(make_model(axis=2), volume, device="cpu")
    assert np.array_equal(by_default.uncertainty, predict(make_model(), volume, axis=2, device="cpu").uncertainty)
    assert not np.array_equal(by_default.uncertainty, predict(make_model(), volume, device="cpu").uncertainty)


def test_same_model_same_prediction():
    volume, labels = make_pair()
    annotation = make_annotation(labels, volume.geometry, [3])
    first, again = (predict(make_model(), volume, annotation=annotation, device="cpu") for _ in range(2))
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.uncertainty, again.uncertainty)


def test_image_and_model_are_not_changed():
    volume, _ = make_pair()
    volume.array.flags.writeable = False
    model = make_model()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    state = torch.get_rng_state()
    predict(model, volume, device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_progress_counts_slices():
    volume, _ = make_pair("isotropic")
    reports = []
    predict(make_model(), volume, device="cpu", on_progress=reports.append)
    assert [(r.stage, r.step, r.steps) for r in reports] == [("predicting", 0, 0)] + [
        ("predicting", step, 12) for step in (4, 8, 12)
    ]
    assert all(r.eta_s >= 0 for r in reports[1:])
    assert reports[-1].eta_s == 0


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_request_stops_between_batches(batches):
    volume, labels = make_pair("isotropic")
    annotation = make_annotation(labels, volume.geometry, [2, 6, 11])
    reports = []
    found = predict(
        make_model(),
        volume,
        annotation=annotation,
        device="cpu",
        on_progress=reports.append,
        should_stop=lambda: len(reports) > batches,
    )
    assert found.stopped == "request"
    reached = np.arange(12) < 4 * batches
    assert (found.uncertainty[reached] > 0).any() == (batches > 0)
    assert (found.uncertainty[~reached] == 0).all()
    assert np.array_equal(found.labels[[2, 6, 11]], labels[[2, 6, 11]]), "what is annotated stays"
    assert (np.delete(found.labels, [2, 6, 11], axis=0)[~np.delete(reached, [2, 6, 11])] == 0).all()


@pytest.mark.parametrize("room", [1, 3])
def test_lack_of_memory_halves_the_batch_and_changes_nothing_else(monkeypatch, room):
    volume, labels = make_pair()
    annotation = make_annotation(labels, volume.geometry, [3])
    expected = predict(make_model(), volume, annotation=annotation, device="cpu")
    forward, tried = SegmentationNetwork.forward, []

    def limited(network, images):
        tried.append(len(images))
        if len(images) > room:
            raise torch.OutOfMemoryError("out of memory")
        return forward(network, images)

    monkeypatch.setattr(SegmentationNetwork, "forward", limited)
    found = predict(make_model(), volume, annotation=annotation, device="cpu")
    assert np.array_equal(found.labels, expected.labels)
    assert np.allclose(found.uncertainty, expected.uncertainty, atol=0.02)
    assert tried == ([4] + [2] * 4 if room == 3 else [4, 2] + [1] * 8)
    assert [message.count("Memory of cpu ran out") for message in found.messages] == [1] * (1 if room == 3 else 2)


def test_model_that_does_not_fit_on_the_gpu_runs_on_the_cpu(monkeypatch):
    gpu = torch.device("cuda:0")

    def limited(network, device):
        if device == gpu:
            raise torch.OutOfMemoryError("out of memory")
        return move(network, device)

    volume, _ = make_pair()
    expected = predict(make_model(), volume, device="cpu")
    monkeypatch.setattr("sslseg.predict.resolve_device", lambda _: gpu)
    monkeypatch.setattr("sslseg.predict.move", limited)
    found = predict(make_model(), volume)
    assert found.device == "cpu"
    assert len(found.messages) == 1
    assert "going on with the CPU" in found.messages[0]
    assert np.array_equal(found.labels, expected.labels)


def test_lack_of_memory_while_preparing_is_raised_on_the_cpu(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("sslseg.preparation.SliceStack.from_volume", full)
    with pytest.raises(torch.OutOfMemoryError):
        predict(make_model(), make_pair()[0], device="cpu")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (make_annotation(make_labels(GEOMETRIES["oblique"]), GEOMETRIES["oblique"], [1]), "does not fit it: it lies"),
        (make_annotation(make_labels(GEOMETRIES["isotropic"]), GEOMETRIES["isotropic"], [1]), "its size is"),
        (
            Annotation(np.zeros((8, 20, 18), np.uint8), GEOMETRIES["anisotropic"], SEGMENTS[:1]),
            "has the segments Liver where the model has Liver, Tumour of the liver",
        ),
        (
            Annotation(np.zeros((8, 20, 18), np.uint8), GEOMETRIES["anisotropic"]),
            "has the segments none where the model has",
        ),
        (
            Annotation(np.full((8, 20, 18), 3, np.uint8), GEOMETRIES["anisotropic"], SEGMENTS),
            "holds class 3 but names only 2",
        ),
    ],
)
def test_annotation_that_does_not_fit_is_refused(annotation, words):
    with pytest.raises(InputError, match=words) as caught:
        predict(make_model(), make_pair()[0], annotation=annotation, device="cpu")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_image_with_values_that_are_no_numbers_is_refused(value):
    volume, _ = make_pair()
    volume.array[1, 2, 3] = value
    with pytest.raises(InputError, match="synthetic holds NaN or infinite values"):
        predict(make_model(), volume, device="cpu")


def test_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="Device 'cuda:3' is not there"):
        predict(make_model(), make_pair()[0], device="cuda:3")
