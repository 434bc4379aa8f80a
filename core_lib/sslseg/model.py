"""``Model``: a trained network with everything that is needed to use it on another volume."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from sslseg import __version__
from sslseg.annotation import Segment
from sslseg.backbone import BackboneConfig, SegmentationNetwork, UNet
from sslseg.checkpoint import FORMAT_VERSION, load_checkpoint, load_state, require_header
from sslseg.checkpoint import save_checkpoint as _save
from sslseg.errors import CheckpointError
from sslseg.slices import NORMALISATION

Module = TypeVar("Module", bound=torch.nn.Module)

METHOD = "finetune"
"""Header value ``method`` of a model that segments; pretrained weights carry the name of their method instead."""

_BACKBONE, _FEATURES = "backbone.", "features."


class Model:
    """A segmentation network and its header.

    Attributes:
        network: on the CPU after loading.
        features: the pretrained backbone as it was before the training, by whose pixel features labels are propagated;
            None where the training started from random weights.
        header: the JSON header of :mod:`sslseg.checkpoint`. Beyond the fixed keys: ``axis`` (array axis of the slices
            it was trained on), ``max_pixels`` (limit of the longer side of a slice), ``weights`` (what training
            started from).
    """

    def __init__(
        self, network: SegmentationNetwork, header: Mapping[str, Any], *, features: UNet | None = None
    ) -> None:
        self.network = network
        self.header = dict(header)
        self.features = features

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The foreground classes, in class order."""
        return tuple(Segment.from_dict(entry) for entry in self.header["classes"])

    @property
    def axis(self) -> int:
        """Array axis of the slices that the network was trained on."""
        return int(self.header["axis"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, all or nothing.

        Raises:
            OutputError: the file could not be written.
        """
        tensors = self.network.state_dict()
        if self.features is not None:
            tensors |= {f"{_FEATURES}{name}": tensor.cpu() for name, tensor in self.features.state_dict().items()}
        _save(path, tensors, self.header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read what :meth:`save` wrote.

        Raises:
            CheckpointError: not such a file; the message says which key differs and what was expected.
        """
        header, tensors = load_checkpoint(path)
        if header["method"] != METHOD:
            raise CheckpointError(
                f"{path} holds pretrained weights ({header['method']}), which cannot segment yet: fine-tune them first."
            )
        _check_header(header, path, "spacing_mm", "axis", "max_pixels", "classes")
        config = BackboneConfig.from_dict(header["backbone"], str(path))
        network = _not_initialised(lambda: SegmentationNetwork(config, len(header["classes"]) + 1))
        frozen = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_FEATURES)}
        load_state(network, tensors, path)
        features = _load_unet(config, frozen, _FEATURES, path).requires_grad_(False) if frozen else None
        return cls(network.eval(), header, features=features)


def model_header(  # noqa: PLR0913 - the keys of the header
    config: BackboneConfig,
    segments: Sequence[Segment],
    *,
    axis: int,
    max_pixels: int,
    spacing_mm: float | None,
    weights: str,
    licence: str,
) -> dict[str, Any]:
    """The header of a fine-tuned model.

    Args:
        config: shape of the backbone.
        segments: the foreground classes.
        axis: array axis of the slices.
        max_pixels: limit of the longer side of a slice, in pixels.
        spacing_mm: pixel size of the model; None where it follows each volume.
        weights: what training started from: "none" or the method of the pretrained weights.
        licence: of the pretrained weights.
    """
    return {
        "format_version": FORMAT_VERSION,
        "method": METHOD,
        "backbone": config.as_dict(),
        "in_channels": config.in_channels,
        "spacing_mm": spacing_mm,
        "normalisation": NORMALISATION,
        "classes": [segment.as_dict() for segment in segments],
        "training_data": "annotated slices of the user",
        "licence": licence,
        "created_with": f"sslseg {__version__}, torch {torch.__version__}",
        "axis": axis,
        "max_pixels": max_pixels,
        "weights": weights,
    }


def load_backbone(path: str | os.PathLike[str]) -> tuple[UNet, dict[str, Any]]:
    """The backbone and the header of pretrained weights (or of a fine-tuned model, without its head).

    Raises:
        CheckpointError: the file does not fit; the message says which key differs and what was expected.
    """
    header, tensors = load_checkpoint(path)
    _check_header(header, path, "spacing_mm")
    config = BackboneConfig.from_dict(header["backbone"], str(path))
    return _load_unet(config, tensors, _BACKBONE, path), header


def _load_unet(
    config: BackboneConfig, tensors: Mapping[str, torch.Tensor], prefix: str, path: str | os.PathLike[str]
) -> UNet:
    """A backbone from those of ``tensors`` whose names begin with ``prefix``."""
    backbone = _not_initialised(lambda: UNet(config))
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    load_state(torch.nn.ModuleDict({prefix.rstrip("."): backbone}), own, path)
    return backbone.eval()


def _not_initialised(build: Callable[[], Module]) -> Module:
    """What ``build`` makes, its values still to be loaded: faster than drawing random ones, and none are drawn."""
    with torch.device("meta"):
        module = build()
    return module.to_empty(device="cpu")


def _check_header(header: Mapping[str, Any], path: str | os.PathLike[str], *keys: str) -> None:
    """Raise :class:`CheckpointError` at the first of ``keys`` that does not have the form of :data:`_FORMS`."""
    require_header(header, path, normalisation=NORMALISATION)
    for key in keys:
        has_form, form = _FORMS[key]
        if not has_form(header.get(key)):
            raise CheckpointError(
                f"{path} does not fit: its {key} is {header.get(key)!r} where {form} was expected, "
                "so choose another file."
            )


def _are_segments(value: Any) -> bool:
    try:
        return len([Segment.from_dict(entry) for entry in value]) > 0
    except (TypeError, KeyError, ValueError):
        return False


_FORMS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "spacing_mm": (lambda v: v is None or (isinstance(v, int | float) and v > 0), "a pixel size in mm or null"),
    "axis": (lambda v: v in (0, 1, 2), "0, 1 or 2"),
    "max_pixels": (lambda v: isinstance(v, int) and v > 0, "a number of pixels"),
    "classes": (_are_segments, "a list of segments"),
}
