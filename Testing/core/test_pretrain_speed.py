"""What is measured of the pretraining: rates that can be compared, and memory that is really used."""

import pytest
import torch
from pretrain_files import write_images

from sslseg.benchmarks.pretrain_speed import loss_memory, throughput
from sslseg.pretrain_settings import METHODS, PretrainSettings


@pytest.mark.parametrize("method", METHODS)
def test_a_whole_pretraining_is_compared_with_the_network_alone(tmp_path, method):
    torch.set_num_threads(1)
    settings = PretrainSettings(method, backbone="tiny", steps=6, batch=2, patch=32, device="cpu")
    whole, alone, share = throughput(settings, write_images(tmp_path / "images"))
    assert [row.unit for row in (whole, alone, share)] == ["slices/s", "slices/s", ""]
    assert share.value == whole.value / alone.value
    assert 0.05 < share.value < 5, "both rates count the same slices"


@pytest.mark.slow
def test_the_memory_of_a_loss_is_that_of_the_loss_alone():
    contrast, correlation = loss_memory("pix2rep").value, loss_memory("pix2rep-v2").value
    similarities_mb = 2000**2 * 4 / 1e6
    assert similarities_mb < contrast < 20 * similarities_mb
    assert 1 < correlation < contrast
