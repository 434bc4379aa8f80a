"""A model is saved and read with everything that is needed to use it; other files are refused with a reason."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from synthetic import GEOMETRIES, SEGMENTS, make_labels, make_volume

from sslseg.annotation import Segment
from sslseg.backbone import BACKBONES, BackboneConfig, SegmentationNetwork, UNet
from sslseg.checkpoint import load_checkpoint, save_checkpoint
from sslseg.errors import CheckpointError, OutputError
from sslseg.model import Model, load_backbone, model_header
from sslseg.predict import predict
from sslseg.slices import NORMALISATION

TINY = BackboneConfig(BACKBONES["tiny"], in_channels=3)


def make_model(segments=SEGMENTS, *, config=TINY, axis=0, spacing_mm=None, max_pixels=32):
    torch.manual_seed(0)
    network = SegmentationNetwork(config, len(segments) + 1)
    header = model_header(
        config,
        segments,
        axis=axis,
        max_pixels=max_pixels,
        spacing_mm=spacing_mm,
        weights="none",
        licence="of the user",
    )
    return Model(network, header)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "mödel 1.safetensors"
    make_model().save(path)
    return path


def change(path, tensors=None, **header):
    """Rewrite a file with other header values or tensors."""
    old_header, old_tensors = load_checkpoint(path)
    save_checkpoint(path, {**old_tensors, **(tensors or {})}, {**old_header, **header})


@pytest.mark.parametrize("axis", [0, 2])
def test_model_comes_back_as_it_was(tmp_path, axis):
    segments = (*SEGMENTS, Segment("Großhirn – 皮質", (0.123456789, 1, 0), 254, "id ü", "a~b^c"))
    model = make_model(segments, axis=axis, spacing_mm=1.5)
    model.save(tmp_path / "m.safetensors")
    found = Model.load(tmp_path / "m.safetensors")
    assert found.segments == segments == model.segments
    assert found.axis == axis
    assert found.header == json.loads(json.dumps(model.header))
    assert not found.network.training
    expected = model.network.state_dict()
    assert found.network.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.network.state_dict().items())


def test_saved_and_read_model_predicts_the_same(saved):
    geometry = GEOMETRIES["oblique"]
    volume = make_volume(make_labels(geometry), geometry)
    before, after = (predict(model, volume, device="cpu") for model in (make_model(), Model.load(saved)))
    assert np.array_equal(before.labels, after.labels)
    assert np.array_equal(before.uncertainty, after.uncertainty)


def test_reading_draws_no_random_number(saved):
    state = torch.get_rng_state()
    Model.load(saved)
    load_backbone(saved)
    assert torch.equal(torch.get_rng_state(), state)


def test_header_says_what_the_file_needs():
    header = make_model(spacing_mm=1.25, axis=1).header
    assert header["method"] == "finetune"
    assert header["normalisation"] == NORMALISATION
    assert header["in_channels"] == header["backbone"]["in_channels"] == 3
    assert (header["spacing_mm"], header["axis"], header["max_pixels"]) == (1.25, 1, 32)
    assert [entry["name"] for entry in header["classes"]] == [segment.name for segment in SEGMENTS]


def test_backbone_of_pretrained_weights(tmp_path):
    unet, path = UNet(TINY), tmp_path / "w.safetensors"
    tensors = {f"backbone.{name}": value for name, value in unet.state_dict().items()}
    header = {**make_model().header, "method": "pix2rep", "classes": [], "spacing_mm": 1.5}
    save_checkpoint(path, {**tensors, "projection.weight": torch.zeros(2)}, header)
    backbone, found = load_backbone(path)
    assert backbone.config == TINY
    assert found["spacing_mm"] == 1.5
    assert all(torch.equal(value, unet.state_dict()[name]) for name, value in backbone.state_dict().items())
    with pytest.raises(CheckpointError, match=r"holds pretrained weights \(pix2rep\).*: fine-tune them first"):
        Model.load(path)


def test_backbone_of_a_fine_tuned_model(saved):
    backbone, header = load_backbone(saved)
    assert header["method"] == "finetune"
    assert torch.equal(
        backbone.encoder[0].conv1.conv.weight, make_model().network.backbone.encoder[0].conv1.conv.weight
    )


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"normalisation": "minmax"}, r'its normalisation is "minmax" where "percentile_0.5_99.5_zscore" was expected'),
        ({"backbone": {"name": "resnet"}}, "its backbone .* is not a U-Net"),
        ({"spacing_mm": [1.5, 1.5]}, r"its spacing_mm is \[1.5, 1.5\] where a pixel size in mm or null was expected"),
        ({"spacing_mm": -1}, "its spacing_mm is -1"),
        ({"backbone": {"widths": [8, 16, 64], "in_channels": 3, "groups": 8}}, r"'backbone\.encoder\.2\..*' has shape"),
        ({"backbone": {"widths": [8, 16, 32, 64], "in_channels": 3, "groups": 8}}, r"it has no 'backbone\.encoder\.3"),
        ({"backbone": {"widths": [8, 16], "in_channels": 3, "groups": 8}}, r"backbone\."),
        ({"backbone": {"widths": [8, 16, 32], "in_channels": 1, "groups": 8}}, "shape 8 x 3 x 3 x 3 where 8 x 1 x 3"),
    ],
)
@pytest.mark.parametrize("load", [Model.load, load_backbone])
def test_file_that_does_not_fit_says_which_key_differs(saved, header, words, load):
    change(saved, **header)
    with pytest.raises(CheckpointError, match=words) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert "choose" in str(caught.value) or "U-Net of SSLSegment" in str(caught.value)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"axis": 3}, "its axis is 3 where 0, 1 or 2 was expected"),
        ({"axis": None}, "its axis is None"),
        ({"max_pixels": 0}, "its max_pixels is 0"),
        ({"max_pixels": "many"}, "its max_pixels is 'many'"),
        ({"classes": []}, r"its classes is \[\] where a list of segments was expected"),
        ({"classes": ["liver"]}, "its classes is"),
        ({"classes": [{"name": "liver"}]}, "its classes is"),
        ({"classes": [dataclasses.asdict(SEGMENTS[0])]}, r"'head\.weight' has shape 3 x 8 x 1 x 1 where 2 x 8 x 1 x 1"),
    ],
)
def test_file_that_is_no_complete_model_is_refused(saved, header, words):
    change(saved, **header)
    with pytest.raises(CheckpointError, match=words):
        Model.load(saved)


def test_tensor_without_a_place_is_refused(saved):
    change(saved, tensors={"backbone.extra": torch.zeros(2)})
    for load in (Model.load, load_backbone):
        with pytest.raises(CheckpointError, match=r"its 'backbone\.extra' of shape 2 has no place"):
            load(saved)


def test_files_of_other_kinds_are_refused(tmp_path):
    pickled, foreign, text = (tmp_path / name for name in ("a.pth", "b.safetensors", "c.safetensors"))
    torch.save({"state_dict": {}}, pickled)
    save_file({"backbone.weight": torch.zeros(2)}, foreign)
    text.write_text("weights", encoding="utf-8")
    for path, words in (
        (pickled, "pickled"),
        (foreign, "another program"),
        (text, "not a safetensors file"),
        (tmp_path / "none", "not there"),
    ):
        for load in (Model.load, load_backbone):
            with pytest.raises(CheckpointError, match=words):
                load(path)


def test_model_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(OutputError):
        make_model().save(tmp_path / "no folder" / "m.safetensors")
    assert list(tmp_path.iterdir()) == []
