"""What losses over the global batch need: sums and rows of all processes, with gradient.

Convention of all losses of this package: every process returns the loss of the joined batch, and the gradient it gets
for its own part is ``world_size`` times that of the joined batch. ``DistributedDataParallel`` takes the mean of the
gradients over the processes, which then is exactly the gradient of one process with the joined batch. Parameters of a
loss must therefore live inside the wrapped module.

Every process has to come by with the same sequence of calls; how many rows it brings is its own affair, none included.
With one process, or without ``torch.distributed``, everything here does nothing.

``torch.distributed.nn.functional`` has such collectives, but deprecates them, and its gather wants as many rows from
every process.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import distributed
from torch.nn import functional as F  # noqa: N812


class _AllSum(torch.autograd.Function):
    """The sum over the processes. Each output depends on each input alike, so its derivative is that same sum."""

    @staticmethod
    def forward(_context: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _AllSum.apply(*gradients)


def world_size() -> int:
    """Number of processes that work together; 1 without ``torch.distributed``."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def all_sum(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor of one shape over all processes, with gradient."""
    return tensor if world_size() == 1 else _AllSum.apply(tensor)


def gather(rows: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The rows of all processes one after the other, with gradient, and at which of them the own ones begin.

    Args:
        rows: (n, ...); n may differ between the processes.

    Returns:
        (sum of all n, ...), the same in every process, and the index of the first own row.
    """
    if world_size() == 1:
        return rows, 0
    rank = distributed.get_rank()
    counts = torch.zeros(world_size(), dtype=torch.long, device=rows.device)
    counts[rank] = len(rows)
    sizes = all_sum(counts).tolist()
    start = sum(sizes[:rank])
    # Only one process has something else than zeros in a row, so their sum is exact.
    padding = (0, 0) * (rows.ndim - 1) + (start, sum(sizes) - start - len(rows))
    return all_sum(F.pad(rows, padding)), start


def global_count(rows: torch.Tensor) -> int:
    """The number of rows of all processes."""
    return int(all_sum(torch.tensor(len(rows), device=rows.device))) if world_size() > 1 else len(rows)


def global_mean(values: torch.Tensor) -> torch.Tensor:
    """The mean of the values (n,) of all processes, with gradient; 0 where there are none."""
    return all_sum(values.sum()) / max(1, global_count(values))


def widen(features: torch.Tensor) -> torch.Tensor:
    """Features in float32 at least: sums over thousands of pixels need more digits than mixed precision keeps."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def full_precision(device: torch.device) -> contextlib.AbstractContextManager:
    """Turns mixed precision off inside of a loss."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def check_pairs(first: torch.Tensor, second: torch.Tensor) -> None:
    """See that row i of both is the same thing seen twice.

    Raises:
        ValueError: not two matrices of one shape.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"Two views must be two matrices (n, d) of one shape, and are {tuple(first.shape)} and "
            f"{tuple(second.shape)}."
        )


def check_labels(features: torch.Tensor, labels: torch.Tensor) -> None:
    """See that every row of the features (n, d) has one integer label.

    Raises:
        ValueError: another shape or type.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"Features (n, d) need n integer labels, and are {tuple(features.shape)} with {labels.dtype} "
            f"{tuple(labels.shape)}."
        )


def check_temperature(temperature: float) -> None:
    """See that a temperature can divide similarities.

    Raises:
        ValueError: zero, negative or NaN.
    """
    if not temperature > 0:
        raise ValueError(f"A temperature must be above 0, and is {temperature}.")
