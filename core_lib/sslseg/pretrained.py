"""The weights that a training starts from."""

from __future__ import annotations

import functools
from typing import Any

from sslseg.backbone import UNet
from sslseg.errors import InputError
from sslseg.model import load_backbone
from sslseg.settings import LINEAR, NO_WEIGHTS, Settings
from sslseg.shipped import resolve_weights


def starting_weights(settings: Settings) -> tuple[UNet | None, dict[str, Any]]:
    """The pretrained backbone with its header; None and what the header of a model says of random weights.

    Raises:
        InputError: a linear probe of random weights is wanted.
        CheckpointError: the file does not fit.
    """
    path = resolve_weights(settings.weights)
    if path is None:
        if settings.mode == LINEAR:
            raise InputError("A linear probe of random weights learns nothing useful: choose pretrained weights.")
        return None, {"method": NO_WEIGHTS, "spacing_mm": None, "licence": "of the user"}
    return _read_backbone(str(path.absolute()), path.stat().st_mtime_ns if path.is_file() else 0)


@functools.lru_cache(maxsize=1)
def _read_backbone(path: str, _changed: int) -> tuple[UNet, dict[str, Any]]:
    """The backbone of a file, the same object each time, so that features are known to be the same ones.

    Nobody may change it: a training starts from a copy.
    """
    backbone, header = load_backbone(path)
    return backbone.eval().requires_grad_(False), header
