"""The picture of pixel features: colours follow the principal components, and the file is a picture."""

import numpy as np
import pytest
import torch
from cli_files import runner
from matplotlib.image import imread
from pretrain_files import image_array, write_images
from synthetic import GEOMETRIES

from sslseg.backbone import BackboneConfig, UNet
from sslseg.checkpoint import FORMAT_VERSION, save_checkpoint
from sslseg.feature_picture import draw_features, feature_colours
from sslseg.slices import NORMALISATION
from sslseg.volume import Volume


def write_weights(path, channels=1, **more):
    torch.manual_seed(0)
    config = BackboneConfig((8, 16), in_channels=channels)
    header = dict.fromkeys(("spacing_mm", "training_data", "licence", "created_with"))
    header |= {"format_version": FORMAT_VERSION, "method": "pix2rep", "backbone": config.as_dict(), "classes": []}
    header |= {"in_channels": channels, "normalisation": NORMALISATION, **more}
    save_checkpoint(path, {f"backbone.{k}": v for k, v in UNet(config).state_dict().items()}, header)
    return path


@pytest.mark.parametrize("channels", [3, 8])
def test_colours_are_the_principal_components(channels):
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(2 * 6 * 5, 3)) * (9, 3, 1)
    turn = np.linalg.qr(rng.normal(size=(channels, channels)))[0][:3]
    features = (parts @ turn + 4).reshape(2, 6, 5, channels)
    colours = feature_colours(torch.from_numpy(features).permute(0, 3, 1, 2)).numpy().reshape(-1, 3)
    assert colours.min() == 0
    assert colours.max() == 1
    for n in range(3):
        assert abs(np.corrcoef(colours[:, n], parts[:, n])[0, 1]) > 0.93


def test_flat_features_are_grey_or_black_and_finite():
    assert torch.isfinite(feature_colours(torch.ones(1, 4, 5, 5))).all()
    assert feature_colours(torch.rand(1, 2, 5, 5)).shape == (1, 5, 5, 3)
    assert (feature_colours(torch.rand(1, 2, 5, 5))[..., 2] == 0.5).all()


@pytest.mark.parametrize(("name", "channels"), [*((name, 1) for name in GEOMETRIES), ("oblique", 3)])
def test_a_picture_is_drawn_for_every_geometry(tmp_path, name, channels):
    geometry = GEOMETRIES[name]
    volume = Volume(image_array(0, geometry), geometry)
    shown = draw_features(write_weights(tmp_path / "w.safetensors", channels), volume, tmp_path / "bild ü.png")
    assert all(0 <= index < geometry.shape[geometry.default_axis()] for index in shown)
    picture = imread(tmp_path / "bild ü.png")[..., :3]
    coloured = np.ptp(picture, axis=-1) > 0.2
    half = len(picture) // 2
    assert coloured[half:].mean() > 0.2
    assert coloured[: half - 40].mean() < 0.01  # the images above are grey


@pytest.mark.parametrize("more", [{"max_pixels": 8}, {"settings": {"max_pixels": 8}}])
def test_features_are_drawn_at_the_size_at_which_they_were_learned(tmp_path, more):
    volume = Volume(image_array(0, GEOMETRIES["isotropic"]), GEOMETRIES["isotropic"])
    pictures = []
    for name, header in (("native", {}), ("small", more)):
        draw_features(write_weights(tmp_path / f"{name}.safetensors", **header), volume, tmp_path / f"{name}.png")
        pictures.append(imread(tmp_path / f"{name}.png")[..., :3])
    levels = [len(np.unique(picture[len(picture) // 2 + 40 :].reshape(-1, 3), axis=0)) for picture in pictures]
    assert levels[1] < 0.8 * levels[0], "fewer pixels, fewer colours"


def test_the_command_draws_it(tmp_path, capfd):
    run = runner(capfd)
    weights, image = write_weights(tmp_path / "w.safetensors"), write_images(tmp_path / "data", 1) / "image0.nrrd"
    done = run("info", weights, "--image", image, "--png", tmp_path / "features.png", "--json")
    assert (done.code, done.json["method"]) == (0, "pix2rep")
    assert imread(done.json["png"]).ndim == 3
    assert run("info", weights, "--image", image).code == 2
    assert "--png together" in run("info", weights, "--png", tmp_path / "features.png").err
    assert run("info", image, "--image", image, "--png", tmp_path / "other.png").code == 2
    assert run("info", weights, "--image", image, "--png", tmp_path / "other.jpg").code == 2
    assert not (tmp_path / "other.png").exists()
