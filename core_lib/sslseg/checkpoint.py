"""Weights as data: safetensors files whose JSON header says everything that is needed to use them.

Nothing is ever unpickled: a file that is not safetensors is turned away by its first bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sslseg.errors import CheckpointError
from sslseg.files import atomic_path
from sslseg.header import FORMAT_VERSION, HEADER_KEYS, METADATA_KEY, read_header

__all__ = [
    "FORMAT_VERSION",
    "HEADER_KEYS",
    "load_checkpoint",
    "load_state",
    "read_header",
    "require_header",
    "save_checkpoint",
]


def save_checkpoint(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> None:
    """Write ``tensors`` and ``header`` to one safetensors file, all or nothing.

    Args:
        path: the file to write; an older one is replaced only once the new one is complete.
        tensors: as a rule a ``state_dict()``; any device, any memory format.
        header: JSON values; must hold every key of :data:`HEADER_KEYS`.

    Raises:
        ValueError: a key of the header is missing, or a value is not JSON (tuples become lists, NaN is refused).
        OutputError: the file could not be written.
    """
    missing = [key for key in HEADER_KEYS if key not in header]
    if missing:
        raise ValueError(f"the header lacks {', '.join(missing)}")
    text = json.dumps(dict(header), ensure_ascii=False, allow_nan=False)
    # Copies: the format knows neither shared storage (tied weights) nor channels-last.
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(plain, metadata={METADATA_KEY: text}))


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The header and the tensors (on the CPU) of a file that :func:`save_checkpoint` wrote.

    Raises:
        CheckpointError: not there, not safetensors, truncated, of another program, or of a newer version.
    """
    header = read_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or truncated: copy or download it again.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error


def require_header(header: Mapping[str, Any], path: str | os.PathLike[str], **expected: Any) -> None:
    """Raise :class:`CheckpointError` at the first key of ``expected`` whose value in ``header`` is another one."""
    for key, value in expected.items():
        wanted = json.loads(json.dumps(value))  # tuples compare with the lists of a file
        if header.get(key) != wanted:
            raise CheckpointError(
                f"{path} does not fit: its {key} is {_short(header.get(key))} where {_short(wanted)} was expected, "
                "so choose other weights."
            )


def load_state(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Load ``tensors`` into ``module``; all names and shapes must fit, nothing is loaded otherwise.

    Raises:
        CheckpointError: names the first tensor that is missing, has another shape, or has no place in ``module``.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name, shape in wanted.items():
        if name not in found:
            raise _misfit(path, f"it has no '{name}', which should have shape {_size(shape)}")
        if found[name] != shape:
            raise _misfit(path, f"'{name}' has shape {_size(found[name])} where {_size(shape)} was expected")
    for name, shape in found.items():
        if name not in wanted:
            raise _misfit(path, f"its '{name}' of shape {_size(shape)} has no place in this network")
    module.load_state_dict(dict(tensors))


def _misfit(path: str | os.PathLike[str], what: str) -> CheckpointError:
    return CheckpointError(f"{path} is for another architecture ({what}): choose weights made for this one.")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "()"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:157]}..."
