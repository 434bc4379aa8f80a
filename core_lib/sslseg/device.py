"""Where the network runs: one place that decides on device, precision and what to do when memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from sslseg.errors import DeviceError

T = TypeVar("T")


def resolve_device(name: str) -> torch.device:
    """The device that ``name`` stands for.

    Args:
        name: "auto" (CUDA, else MPS, else CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        DeviceError: the device was asked for by name and is not there, or the name is unknown.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdecimal()) or (number and kind != "cuda"):
        raise DeviceError(f"There is no device '{name}': choose auto, cpu, cuda, cuda:N or mps.")
    if kind == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= found:
            raise DeviceError(f"Device '{name}' is not there ({_cuda_reason(found)}): choose auto or cpu.")
        return torch.device(f"cuda:{number or 0}")
    if kind == "mps" and not _has_mps():
        raise DeviceError("Device 'mps' is not there (it needs macOS on Apple silicon): choose auto or cpu.")
    return torch.device(kind)


def describe_devices() -> list[dict[str, str]]:
    """The devices of this machine, best first: ``name`` for :func:`resolve_device`, ``description`` for people."""
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        found.append({"name": f"cuda:{index}", "description": f"CUDA: {properties.name}, {memory:.0f} GiB"})
    if _has_mps():
        found.append({"name": "mps", "description": "Apple GPU (Metal)"})
    found.append({"name": "cpu", "description": f"CPU, {torch.get_num_threads()} threads"})
    return found


def autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """Mixed precision where it pays: bfloat16 on CUDA devices that have it. CPU and MPS stay in float32.

    bfloat16 has the range of float32, so no gradient scaler is needed.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Fix every random number of a job without disturbing those of the caller.

    Yields a CPU generator: parameters that are drawn on the CPU are the same for every device.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that a device has no memory left (CUDA, MPS and CPU word it differently)."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


class MemoryGuard:
    """Runs work that may not fit: halves the batch when memory runs out, then falls back to the CPU, and says so.

    Attributes:
        device: where work runs now.
        batch: samples that are computed at once now.
    """

    def __init__(self, device: torch.device, batch: int, on_message: Callable[[str], None]) -> None:
        self.device = device
        self.batch = batch
        self._say = on_message

    def run(self, work: Callable[[torch.device, int], T]) -> T:
        """``work(device, batch)``, called again with less until it fits.

        ``work`` must be repeatable: what a failed call has done is done again.

        Raises:
            RuntimeError: what ``work`` raises, where it has nothing to do with memory or nothing smaller is left.
        """
        while True:
            try:
                return work(self.device, self.batch)
            except RuntimeError as error:
                if not is_out_of_memory(error) or not self._take_less():
                    raise
            # Outside the handler: the traceback no longer holds the tensors of the failed call.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _take_less(self) -> bool:
        if self.batch > 1:
            self.batch //= 2
            self._say(f"Memory of {self.device} ran out: going on with {self.batch} slices at once.")
            return True
        if self.device.type != "cpu":
            self._say(f"Memory of {self.device} ran out even for one slice: going on with the CPU, which is slower.")
            self.device = torch.device("cpu")
            return True
        return False


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _cuda_reason(found: int) -> str:
    if found:
        return f"found: {', '.join(f'cuda:{i}' for i in range(found))}"
    return "this build of PyTorch has no CUDA" if torch.version.cuda is None else "no CUDA GPU was found"
