"""The processes of one pretraining: one, or as many as torchrun has started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from sslseg.device import resolve_device
from sslseg.errors import SSLSegError

_LONGEST_WAIT = timedelta(hours=12)  # the first process prepares the images while the others wait


@dataclass(frozen=True)
class Ranks:
    """Which of the processes this is.

    Attributes:
        rank: 0 is the one that prepares, reports and writes.
        world: how many there are.
        device: where this one runs.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process reports and writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes have come here. Raises :class:`SSLSegError` if one of them has ended."""
        if self.world > 1:
            with _beside_others():
                distributed.barrier()

    def agree(self, values: Sequence[float]) -> list[float]:
        """What the first process says. Raises :class:`SSLSegError` if it has ended."""
        if self.world == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float32, device=self.device)
        with _beside_others():
            distributed.broadcast(shared, 0)
        return shared.tolist()


@contextlib.contextmanager
def _beside_others() -> Iterator[None]:
    """Say plainly that another process has ended, which itself has said why."""
    try:
        yield
    except RuntimeError as error:
        raise SSLSegError("Another process of this training has ended: see what that one says.") from error


def is_first_process() -> bool:
    """Whether this process, started by torchrun or not, is the one that speaks."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def join_processes(device_name: str) -> Iterator[Ranks]:
    """Meet the other processes of torchrun: over NCCL where each has its CUDA device, else over gloo.

    Raises:
        DeviceError: see :func:`sslseg.device.resolve_device`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks(0, 1, resolve_device(device_name))
        return
    device = resolve_device(device_name)
    if device.type == "cuda":
        device = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()
