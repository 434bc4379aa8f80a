"""Views: the same place in both, the same for the same seed, and exact where the movement is."""

import pytest
import torch
from pretrain_files import write_images
from test_slice_store import opened

from sslseg.augment import SpatialTransform
from sslseg.backbone import BACKBONES, BackboneConfig, UNet
from sslseg.pretrain_views import change_view, draw_batch, draw_pixels, draw_transforms, generator_of, take_pixels


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    return opened(folder / "store", [write_images(folder / "few", 1), write_images(folder / "many", 4)])


def shifted(rows, columns, size=128):
    """The transform that moves images up and left by whole pixels."""
    centre = torch.tensor([[size / 2 - 0.5 + rows, size / 2 - 0.5 + columns]])
    place = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), -1).float()
    position = place - (size - 1) / 2 + centre
    return SpatialTransform(((2 * position + 1) / size - 1).flip(-1)[None])


@pytest.mark.parametrize("move", [(4, 0), (0, -8), (8, 12)])
def test_moving_by_whole_strides_is_exact(move):
    torch.manual_seed(0)
    network = UNet(BackboneConfig(BACKBONES["tiny"])).eval()
    image = torch.zeros(1, 1, 128, 128)
    image[..., 56:72, 56:72] = torch.randn(16, 16)  # far from the edges, whose padding does not move
    transform = shifted(*move)
    moved = transform.warp(image)
    torch.testing.assert_close(moved, image.roll((-move[0], -move[1]), (2, 3)), rtol=0, atol=1e-5)
    with torch.inference_mode():
        of_moved, moved_features = network(moved), transform.warp(network(image))
    inside = (slice(None), slice(None), slice(40, 80), slice(40, 80))
    torch.testing.assert_close(of_moved[inside], moved_features[inside], rtol=0, atol=1e-3)


def test_pixels_are_valid_and_different():
    transform = draw_transforms(8, 32, generator_of(0, 0, 0), elastic=False)
    valid = transform.valid((32, 32))
    assert (valid.float().mean((1, 2, 3)) > 0.5).all()
    assert not valid.all()
    positions = draw_pixels(valid, 1000, generator_of(0, 1, 0))
    assert len(positions.unique()) == 1000
    assert valid.flatten()[positions].all()
    features = torch.randn(8, 3, 32, 32)
    image, rest = positions[7] // 1024, positions[7] % 1024
    assert torch.equal(take_pixels(features, positions)[7], features[image, :, rest // 32, rest % 32])


def test_elastic_views_move_within_their_limits():
    plain, elastic = (draw_transforms(4, 64, generator_of(0, 0, 0), elastic=flag).grid for flag in (False, True))
    pixels = (elastic - plain).abs() * 32
    assert 1 < pixels.max() < 8 * 64 / 128 * 2


@pytest.mark.parametrize("seed", range(3))
def test_views_are_of_one_scale_and_differ(seed):
    images = torch.randn(6, 1, 24, 24).cumsum(2)
    first, second = (change_view(images, generator_of(seed, n, 0), generator_of(seed, n, 1)) for n in range(2))
    assert torch.isfinite(first).all()
    torch.testing.assert_close(first.mean((1, 2, 3)), torch.zeros(6), rtol=0, atol=1e-4)
    torch.testing.assert_close(first.std((1, 2, 3)), torch.ones(6), rtol=0, atol=1e-3)
    assert (first - second).abs().mean() > 0.05


def test_a_flat_image_stays_finite():
    assert torch.isfinite(change_view(torch.ones(4, 1, 16, 16), generator_of(0, 0, 0), generator_of(0, 1, 0))).all()


@pytest.mark.parametrize("side", [16, 64])
def test_batches_are_balanced_whatever_the_size_of_the_images(store, side):
    batch = draw_batch(store, 200, side, generator_of(0, 0, 0))
    assert batch.images.shape == (200, 1, side, side)
    assert 70 < int((batch.domains == 0).sum()) < 130  # of slices it has a fifth
    again = draw_batch(store, 200, side, generator_of(0, 0, 0))
    assert torch.equal(batch.images, again.images)
    assert not torch.equal(batch.images, draw_batch(store, 200, side, generator_of(0, 1, 0)).images)
    assert not torch.equal(batch.images, draw_batch(store, 200, side, generator_of(0, 0, 1)).images)
