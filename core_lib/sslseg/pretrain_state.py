"""Checkpoints of a pretraining: safetensors files with all that is needed to go on exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sslseg import __version__
from sslseg.backbone import BackboneConfig
from sslseg.checkpoint import FORMAT_VERSION, load_checkpoint, load_state, save_checkpoint
from sslseg.errors import CheckpointError, InputError
from sslseg.pretrain_data import DataSet
from sslseg.pretrain_settings import PretrainSettings
from sslseg.slices import NORMALISATION

STATE_NAME = "state.safetensors"

_OPTIMISER = "optimiser."
_ADAM_VALUES = ("step", "exp_avg", "exp_avg_sq")


def weights_header(
    config: BackboneConfig, settings: PretrainSettings, data_sets: Sequence[DataSet], slices: int
) -> dict[str, Any]:
    """The header of pretrained weights; see :data:`sslseg.checkpoint.HEADER_KEYS`.

    Beyond those: ``settings``, ``data_sets`` and ``slices``, what it was trained on and how.
    """
    names = ", ".join(data_set.name for data_set in data_sets)
    settings_kept = settings.as_dict()
    del settings_kept["device"]
    return {
        "format_version": FORMAT_VERSION,
        "method": settings.method,
        "backbone": config.as_dict(),
        "in_channels": config.in_channels,
        "spacing_mm": settings.spacing_mm,
        "normalisation": NORMALISATION,
        "classes": [],
        "training_data": f"{slices} unlabelled slices of {names}",
        "licence": " and ".join(sorted({data_set.licence for data_set in data_sets})),
        "created_with": f"sslseg {__version__}, torch {torch.__version__}",
        "settings": settings_kept,
        "data_sets": [data_set.as_dict() for data_set in data_sets],
        "slices": slices,
    }


def save_weights(path: Path, network: torch.nn.Module, header: Mapping[str, Any], step: int) -> None:
    """Write what fine-tuning needs: the backbone. Raises :class:`sslseg.errors.OutputError`."""
    tensors = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("backbone.")}
    save_checkpoint(path, tensors, {**header, "steps": step})


def save_training(
    folder: Path,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    header: Mapping[str, Any],
    training: Mapping[str, Any],
) -> None:
    """Write network, optimiser and ``training`` (JSON values: step, seconds and so on), all or nothing.

    Raises:
        OutputError: the file could not be written; the one before it stays.
    """
    names = [name for name, _ in network.named_parameters()]
    tensors = dict(network.state_dict())
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"{_OPTIMISER}{key}.{names[index]}": value for key, value in values.items()}
    save_checkpoint(folder / STATE_NAME, tensors, {**header, "training": dict(training)})


def load_training(
    folder: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer, same: Mapping[str, Any]
) -> dict[str, Any]:
    """Load what :func:`save_training` wrote; returns ``training``.

    Args:
        folder: of the run.
        network: on its device.
        optimiser: of all parameters of ``network``, in their order.
        same: what must not have changed: ``settings`` (:class:`PretrainSettings`), ``data`` (key of the slices) and
            number of ``processes``.

    Raises:
        InputError: there is nothing to resume, or something has changed.
        CheckpointError: the file does not fit.
    """
    path = folder / STATE_NAME
    if not path.is_file():
        raise InputError(f"There is no run to resume in {folder}: start it without resuming.")
    header, tensors = load_checkpoint(path)
    training = header.get("training")
    if not isinstance(training, dict):
        raise CheckpointError(f"{path} is not the state of a pretraining: start anew without resuming.")
    same["settings"].check_same(training["settings"], str(folder))
    for what in ("data", "processes"):
        if training[what] != same[what]:
            raise InputError(
                f"The run in {folder} cannot be resumed because the {what} have changed ({training[what]} before, "
                f"{same[what]} now): give the same ones, or start anew without resuming."
            )
    load_state(network, {k: v for k, v in tensors.items() if not k.startswith(_OPTIMISER)}, path)
    content = optimiser.state_dict()
    content["state"] = {}
    for index, (name, _) in enumerate(network.named_parameters()):
        values = {key: tensors.get(f"{_OPTIMISER}{key}.{name}") for key in _ADAM_VALUES}
        if values["step"] is not None:  # parameters that no loss sees have none
            content["state"][index] = values
    optimiser.load_state_dict(content)
    return training
