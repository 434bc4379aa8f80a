"""Checkpoints: what is written comes back, and everything else is turned away with a reason."""

import json
import pickle
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from sslseg.checkpoint import (
    FORMAT_VERSION,
    HEADER_KEYS,
    load_checkpoint,
    load_state,
    read_header,
    require_header,
    save_checkpoint,
)
from sslseg.errors import CheckpointError, OutputError

HEADER = {
    "format_version": FORMAT_VERSION,
    "method": "supervised",
    "backbone": {"channels": [8, 16], "norm": "instance"},
    "in_channels": 1,
    "spacing_mm": [1.5, 1.5],
    "normalisation": {"kind": "percentile", "low": 1, "high": 99},
    "classes": [{"name": "Großhirn – 皮質", "label_value": 1}],
    "training_data": "none",
    "licence": "Apache-2.0",
    "created_with": "sslsegment 0.1.0",
}
TENSORS = {"a.weight": torch.arange(24.0).reshape(2, 3, 4), "b": torch.tensor(7, dtype=torch.int64)}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "mödel ünd weights.safetensors"
    save_checkpoint(path, TENSORS, HEADER)
    return path


def test_what_is_saved_comes_back(saved):
    header, tensors = load_checkpoint(saved)
    assert header == HEADER == read_header(saved)
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize("first", [0x80, int.from_bytes(b"PK", "little")])
def test_a_header_as_long_as_a_pickle_begins_is_read(tmp_path, first):
    """The file begins with the length of its header, a multiple of 8: one in 32 has the first byte of a pickle."""
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, {}, {**HEADER, "notes": ""})
    shortest = int.from_bytes(path.read_bytes()[:8], "little")
    save_checkpoint(path, {}, {**HEADER, "notes": "x" * (-(shortest - first) % (0x100 if first < 0x100 else 0x10000))})
    assert path.read_bytes().startswith(first.to_bytes(1 if first < 0x100 else 2, "little"))
    assert read_header(path)["method"] == "supervised"


def test_extra_keys_are_kept_and_tuples_become_lists(tmp_path):
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, {}, {**HEADER, "spacing_mm": (1.0, 2.0), "epochs": 3})
    assert read_header(path)["spacing_mm"] == [1.0, 2.0]
    assert read_header(path)["epochs"] == 3


def test_channels_last_and_tied_tensors_are_saved(tmp_path):
    weight = torch.randn(2, 3, 4, 5)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, {"a": weight.to(memory_format=torch.channels_last), "b": weight, "c": weight}, HEADER)
    _, tensors = load_checkpoint(path)
    assert all(torch.equal(tensor, weight) for tensor in tensors.values())


def test_the_same_content_is_the_same_file(tmp_path):
    for name in ("one", "two"):
        save_checkpoint(tmp_path / name, TENSORS, HEADER)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("key", HEADER_KEYS)
def test_every_fixed_key_must_be_given(tmp_path, key):
    header = {name: value for name, value in HEADER.items() if name != key}
    with pytest.raises(ValueError, match=key):
        save_checkpoint(tmp_path / "m.safetensors", TENSORS, header)
    assert list(tmp_path.iterdir()) == []


def test_nan_in_the_header_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path / "m.safetensors", TENSORS, {**HEADER, "loss": float("nan")})


def _pickle_zip(path):
    torch.save(TENSORS, path)


def _pickle_plain(path):
    path.write_bytes(pickle.dumps({"a": 1}))


def _text(path):
    path.write_text("these are not weights", encoding="utf-8")


def _empty(path):
    path.write_bytes(b"")


def _truncated(path):
    save_checkpoint(path, TENSORS, HEADER)
    path.write_bytes(path.read_bytes()[:-10])


def _truncated_header(path):
    save_checkpoint(path, TENSORS, HEADER)
    path.write_bytes(path.read_bytes()[:100])


def _absurd_length(path):
    path.write_bytes(struct.pack("<Q", 2**60) + b"{" + b" " * 50)


def _another_program(path):
    save_file(TENSORS, path)


def _another_programs_metadata(path):
    save_file(TENSORS, path, metadata={"format": "pt"})


def _header_is_no_json(path):
    save_file(TENSORS, path, metadata={"sslseg": "{broken"})


def _header_is_a_list(path):
    save_file(TENSORS, path, metadata={"sslseg": "[1, 2]"})


def _newer(path):
    save_checkpoint(path, TENSORS, {**HEADER, "format_version": FORMAT_VERSION + 1})


def _version_is_text(path):
    save_checkpoint(path, TENSORS, {**HEADER, "format_version": "one"})


def _key_is_missing(path):
    header = {key: value for key, value in HEADER.items() if key != "spacing_mm"}
    save_file(TENSORS, path, metadata={"sslseg": json.dumps(header)})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "is not there"),
        (lambda path: path.mkdir(), "is a folder"),
        (_pickle_zip, "pickled"),
        (_pickle_plain, "pickled"),
        (_text, "not a safetensors file"),
        (_empty, "not a safetensors file"),
        (_truncated, "truncated"),
        (_truncated_header, "truncated"),
        (_absurd_length, "truncated"),
        (_another_program, "another program"),
        (_another_programs_metadata, "another program"),
        (_header_is_no_json, "another program"),
        (_header_is_a_list, "another program"),
        (_newer, f"format_version {FORMAT_VERSION + 1}"),
        (_version_is_text, "another program"),
        (_key_is_missing, "spacing_mm"),
    ],
)
@pytest.mark.parametrize("read", [load_checkpoint, read_header])
def test_a_file_that_cannot_be_used_says_why(tmp_path, make, reason, read):
    path = tmp_path / "some weights.safetensors"
    make(path)
    with pytest.raises(CheckpointError, match=reason) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message


def test_opening_a_pickle_runs_nothing(tmp_path):
    path, marker = tmp_path / "bomb.pt", tmp_path / "exploded"
    path.write_bytes(b"\x80\x02cos\nmkdir\n(V" + str(marker).encode("raw_unicode_escape") + b"\ntR.")
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists(), "the control: unpickling does run it"


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"in_channels": 3}, ["in_channels is 1", "where 3 was expected"]),
        ({"backbone": {"channels": (8, 32), "norm": "instance"}}, ["backbone", "[8, 16]", "[8, 32]"]),
        ({"method": "supervised", "no_such_key": 1}, ["no_such_key is null", "1 was expected"]),
    ],
)
def test_a_header_that_differs_names_the_key_and_both_values(expected, words):
    with pytest.raises(CheckpointError) as caught:
        require_header(HEADER, "w.safetensors", **expected)
    assert all(word in str(caught.value) for word in ["w.safetensors", *words])


def test_a_header_that_fits_passes():
    require_header(HEADER, "w", in_channels=1, spacing_mm=(1.5, 1.5), backbone=HEADER["backbone"])


def _net():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))


def test_load_state_restores_the_network():
    source, target = _net(), _net()
    load_state(target, source.state_dict(), "w")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("1.weight"), ["no '1.weight'", "2 x 4"]),
        (lambda state: state.update({"0.weight": torch.zeros(5, 3)}), ["'0.weight'", "5 x 3", "4 x 3"]),
        (lambda state: state.update({"2.bias": torch.zeros(9)}), ["'2.bias'", "9"]),
    ],
)
def test_load_state_names_the_first_tensor_that_does_not_fit(change, words):
    net = _net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = _net().state_dict()
    change(state)
    with pytest.raises(CheckpointError, match="another architecture") as caught:
        load_state(net, state, "w.safetensors")
    assert all(word in str(caught.value) for word in ["w.safetensors", *words])
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the file size limit is set the POSIX way")
def test_a_full_disk_leaves_the_older_file(saved):
    before = saved.read_bytes()
    code = f"""
import resource, signal, sys, torch
from sslseg.checkpoint import save_checkpoint
from sslseg.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_checkpoint(sys.argv[1], {{"a": torch.zeros(100_000)}}, {HEADER!r})
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True)
    assert "could not be written" in done.stdout
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path / "no" / "m.safetensors", TENSORS, HEADER)
