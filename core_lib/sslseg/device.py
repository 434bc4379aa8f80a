"""Where the network runs: one place that decides on device, precision and what to do when memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch

from sslseg.errors import DeviceError

T = TypeVar("T")
Network = TypeVar("Network", bound=torch.nn.Module)


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
    """Mixed precision where it pays: bfloat16 on CUDA devices and CPUs that compute in it. MPS stays in float32.

    bfloat16 has the range of float32, so no gradient scaler is needed. On a CPU with AVX-512 BF16 a training step took
    0.10 s instead of 0.18 s (small backbone, 6 patches of 64 x 64, one core).
    """
    if has_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def has_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` computes in bfloat16 rather than emulating it, which would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Releases of PyTorch that cannot tell what the CPU has are taken to have nothing.
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def move(network: Network, device: torch.device) -> Network:
    """Move a network to ``device`` in place, laid out as is fastest there: channels last on CUDA and float32 CPUs.

    The type stubs of PyTorch lack the argument ``memory_format``.
    """
    plain = device.type == "mps" or (device.type == "cpu" and has_bfloat16(device))
    layout = torch.contiguous_format if plain else torch.channels_last
    return network.to(device).to(memory_format=layout)  # type: ignore[call-overload]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Fix every random number of a job without disturbing those of the caller, and keep cuDNN to repeatable algorithms.

    Yields a CPU generator: parameters that are drawn on the CPU are the same for every device. Nothing may be drawn on
    a GPU, whose generators are left alone.
    """
    repeatable = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with torch.random.fork_rng(devices=[]), repeatable:
        torch.default_generator.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that a device has no memory left (CUDA, MPS and CPU word it differently)."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(part in str(error).lower() for part in words)


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
            slices = "1 slice" if self.batch == 1 else f"{self.batch} slices"
            self._say(f"Memory of {self.device} ran out: going on with {slices} at once.")
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
