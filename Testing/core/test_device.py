"""Devices are found or missed with a sentence, and work that does not fit is done in smaller parts."""

import gc
import random
import subprocess
import sys
import types
import warnings
import weakref

import pytest
import torch

from sslseg.device import (
    MemoryGuard,
    autocast,
    describe_devices,
    has_bfloat16,
    is_out_of_memory,
    move,
    resolve_device,
    seeded,
)
from sslseg.errors import DeviceError

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


@pytest.fixture
def machine(monkeypatch):
    """Pretend that this machine has so many CUDA devices, and MPS or not."""

    def pretend(cuda: int, mps: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "name", "expected"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (2, True, "auto", "cuda:0"),
        (0, False, "cpu", "cpu"),
        (2, True, "cpu", "cpu"),
        (2, False, "cuda", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
        (0, True, "mps", "mps"),
    ],
)
def test_device_is_found(machine, cuda, mps, name, expected):
    machine(cuda, mps)
    assert resolve_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("cuda", "name", "words"),
    [
        (0, "cuda", "Device 'cuda' is not there"),
        (0, "cuda:0", "Device 'cuda:0' is not there"),
        (2, "cuda:2", "found: cuda:0, cuda:1"),
        (0, "mps", "needs macOS"),
        (1, "gpu", "There is no device 'gpu'"),
        (1, "cuda:-1", "There is no device"),
        (1, "cuda:x", "There is no device"),
        (1, "cpu:1", "There is no device"),
        (1, "", "There is no device ''"),
    ],
)
def test_missing_device_is_one_sentence_with_advice(machine, cuda, name, words):
    machine(cuda, mps=False)
    with pytest.raises(DeviceError, match=words) as caught:
        resolve_device(name)
    message = str(caught.value)
    assert message.endswith(".")
    assert message.count(". ") == 0
    assert "choose" in message


@pytest.mark.parametrize(("version", "words"), [(None, "this build of PyTorch has no CUDA"), ("12.4", "no CUDA GPU")])
def test_absent_cuda_says_why(machine, monkeypatch, version, words):
    machine(0, mps=False)
    monkeypatch.setattr(torch.version, "cuda", version)
    with pytest.raises(DeviceError, match=words):
        resolve_device("cuda")


def test_devices_are_listed_best_first(machine, monkeypatch):
    machine(2, mps=True)
    memory = types.SimpleNamespace(name="Some GPU", total_memory=24 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: memory)
    listed = describe_devices()
    assert [entry["name"] for entry in listed] == ["cuda:0", "cuda:1", "mps", "cpu"]
    assert listed[0]["description"] == "CUDA: Some GPU, 24 GiB"
    assert resolve_device("auto") == resolve_device(listed[0]["name"])


@pytest.mark.parametrize(
    ("device", "capabilities", "expected"),
    [
        ("cpu", {}, False),
        ("cpu", {"avx512_bf16": True}, True),
        ("cpu", {"avx512_bf16": False, "amx_bf16": True}, True),
        ("cuda:0", {"cuda": True}, True),
        ("cuda:0", {"cuda": False, "avx512_bf16": True}, False),
        ("mps", {"avx512_bf16": True}, False),
    ],
)
def test_mixed_precision_where_the_device_has_it(monkeypatch, device, capabilities, expected):
    device = torch.device(device)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: capabilities["cuda"])
    assert has_bfloat16(device) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns where there is no CUDA
        mixed = autocast(device)
    assert isinstance(mixed, torch.autocast) == expected
    if expected:
        assert (mixed.device, mixed.fast_dtype) == (device.type, torch.bfloat16)


def test_processor_of_an_older_pytorch_counts_as_plain(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16(CPU)
    with autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("has", [True, False])
def test_network_is_laid_out_as_is_fastest_and_moved_in_place(monkeypatch, has):
    monkeypatch.setattr("sslseg.device.has_bfloat16", lambda _: has)
    network = torch.nn.Conv2d(4, 4, 3)
    assert move(network, CPU) is network
    assert network.weight.is_contiguous(memory_format=torch.channels_last) != has
    assert network.weight.is_contiguous() == has


def test_seed_fixes_a_job_and_leaves_the_caller_alone():
    def draws(seed):
        with seeded(seed) as generator:
            assert torch.backends.cudnn.deterministic
            return torch.cat([torch.rand(3), torch.rand(3, generator=generator)])

    before = torch.get_rng_state(), torch.backends.cudnn.deterministic, random.getstate()
    first = draws(5)
    assert torch.equal(torch.get_rng_state(), before[0])
    torch.manual_seed(99)  # what the caller did before makes no difference
    assert torch.equal(draws(5), first)
    other = draws(6)
    assert (other != first).all()
    torch.set_rng_state(before[0])
    with pytest.raises(ZeroDivisionError), seeded(5):
        torch.rand(1) / (1 // 0)
    after = torch.get_rng_state(), torch.backends.cudnn.deterministic, random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_real_lack_of_memory_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("no room"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_lack_of_memory(error, expected):
    assert is_out_of_memory(error) == expected


@pytest.mark.parametrize(
    ("start", "batch", "room", "end", "end_batch", "messages"),
    [
        (GPU, 8, {"cuda": 8, "cpu": 8}, GPU, 8, []),
        (GPU, 8, {"cuda": 3, "cpu": 8}, GPU, 2, ["going on with 4 slices", "going on with 2 slices"]),
        (GPU, 5, {"cuda": 1, "cpu": 8}, GPU, 1, ["with 2 slices", "with 1 slice at once"]),
        (GPU, 4, {"cuda": 0, "cpu": 8}, CPU, 1, ["with 2 slices", "with 1 slice at once", "going on with the CPU"]),
        (GPU, 1, {"cuda": 0, "cpu": 8}, CPU, 1, ["going on with the CPU"]),
        (CPU, 4, {"cpu": 2}, CPU, 2, ["with 2 slices"]),
    ],
)
def test_guard_takes_less_until_it_fits(start, batch, room, end, end_batch, messages):
    said: list[str] = []
    guard = MemoryGuard(start, batch, said.append)

    def work(device, at_once):
        if at_once > room[device.type]:
            raise torch.OutOfMemoryError(f"{at_once} are too many")
        return device, at_once

    assert guard.run(work) == (end, end_batch) == (guard.device, guard.batch)
    assert len(said) == len(messages)
    assert all(words in sentence for words, sentence in zip(messages, said, strict=True))
    assert all(str(start) in sentence for sentence in said), "which memory ran out"
    assert guard.run(work) == (end, end_batch), "what fits is kept"
    assert len(said) == len(messages)


@pytest.mark.parametrize(
    ("start", "error", "calls"),
    [(CPU, torch.OutOfMemoryError("full"), 3), (GPU, RuntimeError("shapes differ"), 1), (GPU, KeyError("x"), 1)],
)
def test_guard_raises_what_it_cannot_help(start, error, calls):
    made = []

    def work(device, at_once):
        made.append((device, at_once))
        raise error

    with pytest.raises(type(error)) as caught:
        MemoryGuard(start, 4, lambda _: None).run(work)
    assert caught.value is error
    assert len(made) == calls


def test_guard_frees_what_the_failed_call_held():
    failed = []

    def work(_, at_once):
        gc.collect()
        assert not any(held() is not None for held in failed)
        tensor = torch.zeros(4)
        failed.append(weakref.ref(tensor))
        if at_once > 1:
            raise torch.OutOfMemoryError("full")
        return tensor.sum()

    MemoryGuard(CPU, 4, lambda _: None).run(work)
    assert len(failed) == 3


def test_the_viewers_modules_do_not_load_torch():
    """What the viewer process may import; with torch it would start seconds later and could not be updated."""
    light = ["errors", "geometry", "annotation", "volume", "labelmap_io", "files", "progress", "settings", "protocol"]
    imports = ", ".join(f"sslseg.{name}" for name in light)
    code = f"import sys, {imports}; sys.exit(','.join(sorted({{'torch', 'monai'}} & set(sys.modules))) or None)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
