"""Speed and memory of the pretraining: ``python -m sslseg.benchmarks.pretrain_speed -o FOLDER``.

How many slices a second a whole pretraining takes, reading, cutting and changing the views included, as a share of what
the same network with the same loss reaches on random tensors that lie on the device already. A share near 1 says that
neither the disk nor the augmentation holds the network up. And the peak memory of the pixel losses.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from sslseg.augment import SpatialTransform
from sslseg.backbone import BACKBONES, BackboneConfig
from sslseg.benchmarks.speed import CARDIAC, Measurement, hardware, peak_memory_gb, phantom, write_report
from sslseg.device import autocast, move, resolve_device
from sslseg.losses.barlow import PixelBarlowTwins
from sslseg.losses.pix2rep import PixelInfoNCE
from sslseg.pretrain import pretrain
from sslseg.pretrain_network import PretrainNetwork, Views
from sslseg.pretrain_settings import METHODS, PretrainSettings
from sslseg.pretrain_views import draw_pixels, draw_transforms
from sslseg.volume import write_volume

LEAST_SHARE = 0.8
"""The goal."""

BATCH, SIDE, PIXELS, FEATURES = 16, 128, 1000, 256
"""For the memory of a loss: two feature maps (BATCH, FEATURES, SIDE, SIDE), compared at PIXELS positions."""

_VOLUMES = 6
_WARM_UP = 5
_LOSSES = {"pix2rep": PixelInfoNCE, "pix2rep-v2": PixelBarlowTwins}


def random_rate(settings: PretrainSettings) -> float:
    """Slices a second of the network alone, on random views that lie on the device."""
    device = resolve_device(settings.device)
    config = BackboneConfig(BACKBONES[settings.backbone])
    torch.manual_seed(settings.seed)
    network = move(PretrainNetwork(config, settings, [0]), device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate)
    views = _random_views(settings, device)
    assert settings.steps is not None
    for step in range(_WARM_UP + settings.steps):
        if step == _WARM_UP:
            begin = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with autocast(device):
            loss = network(views).loss
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        loss.item()  # waits for the device, as the loop does
    return settings.batch * settings.steps / (time.perf_counter() - begin)


def _random_views(settings: PretrainSettings, device: torch.device) -> Views:
    side, drawn = settings.patch, torch.Generator().manual_seed(settings.seed)
    images = torch.randn((2, settings.batch, 1, side, side), generator=drawn).to(device)
    transform: SpatialTransform = draw_transforms(settings.batch, side, drawn, elastic=False).to(device)
    positions = draw_pixels(transform.valid((side, side)).cpu(), settings.pixels, drawn).to(device)
    domains = torch.zeros(settings.batch, dtype=torch.long, device=device)
    return Views(images[0], images[1], transform, positions, domains)


def whole_rate(settings: PretrainSettings, folder: Path) -> float:
    """Slices a second of ``pretrain`` on image files in ``folder``, over its last steps."""
    with tempfile.TemporaryDirectory() as run:
        result = pretrain([folder], Path(run) / "weights.safetensors", settings)
    assert result.images_per_s is not None
    return result.images_per_s


def throughput(settings: PretrainSettings, folder: Path) -> list[Measurement]:
    """Both rates of one method and their share; each rate is the better of two runs, taken in turn."""
    rates = [(whole_rate(settings, folder), random_rate(settings)) for _ in range(2)]
    whole, alone = (max(values) for values in zip(*rates, strict=True))
    return [
        Measurement(f"{settings.method}, whole pretraining", whole, "slices/s"),
        Measurement(f"{settings.method}, network on random tensors", alone, "slices/s"),
        Measurement(f"{settings.method}, share of that; goal: {LEAST_SHARE} or more", whole / alone, ""),
    ]


def loss_memory(name: str) -> Measurement:
    """Peak memory that a pixel loss and its gradient need beside its inputs, in a process of its own."""
    command = [sys.executable, "-m", "sslseg.benchmarks.pretrain_speed", "--loss", name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    what = f"{name}, memory of the loss at {BATCH} x {SIDE} x {SIDE}, {PIXELS} pixels"
    return Measurement(what, 1000 * float(answer.split()[-1]), "MB")


def _take_loss(name: str) -> None:
    """Print by how much the peak memory of this process grows, in GB."""
    torch.manual_seed(0)
    maps = [torch.randn(BATCH, SIDE, SIDE, FEATURES) for _ in range(2)]
    positions = torch.randperm(BATCH * SIDE * SIDE)[:PIXELS]
    loss = _LOSSES[name]()
    loss(torch.randn(9, 3, requires_grad=True), torch.randn(9, 3)).backward()  # what loads libraries is not counted
    before = peak_memory_gb()
    pixels = [features.view(-1, FEATURES)[positions].requires_grad_() for features in maps]
    loss(*pixels).backward()
    sys.stdout.write(f"{peak_memory_gb() - before}\n")


def main(arguments: list[str] | None = None) -> None:
    """Measure everything, print a table and write ``pretrain_speed.json``."""
    parser = argparse.ArgumentParser(prog="python -m sslseg.benchmarks.pretrain_speed", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/bench"), help="folder of pretrain_speed.json")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--steps", type=int, default=15, help="of each run")
    parser.add_argument("--backbone", default="small", choices=sorted(BACKBONES), help="size of the network")
    parser.add_argument("--loss", choices=sorted(_LOSSES), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.loss:
        _take_loss(options.loss)
        return
    options.output.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{hardware()}\n")
    rows: list[Measurement] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(_VOLUMES):
            volume, _ = phantom(CARDIAC, seed)
            write_volume(volume, Path(folder) / f"{seed}.nrrd")
        for method in METHODS:
            settings = PretrainSettings(
                method=method, backbone=options.backbone, steps=options.steps, device=options.device
            )
            rows += throughput(settings, Path(folder))
    rows += [loss_memory(name) for name in _LOSSES]
    write_report(rows, options.output / "pretrain_speed.json")


if __name__ == "__main__":
    main()
