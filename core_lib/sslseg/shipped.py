"""The pretrained weights that come with the software, without torch."""

from __future__ import annotations

from pathlib import Path

from sslseg.settings import AUTO_WEIGHTS, NO_WEIGHTS

BEST = "pix2rep"
"""Name of the file that "auto" stands for: the best one in docs/benchmarks."""

_HERE = Path(__file__).resolve()
_FOLDERS = (_HERE.parents[1] / "Resources" / "Models", _HERE.parents[2] / "Resources" / "Models")
"""Beside the packages where the extension is installed, beside core_lib in a source tree."""


def models_folder() -> Path:
    """The folder of the weights that ship; it may be missing."""
    return next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[-1])


def shipped_weights() -> list[Path]:
    """The files that ship, the best one first."""
    return sorted(models_folder().glob("*.safetensors"), key=lambda path: (path.stem != BEST, path.stem))


def resolve_weights(weights: str) -> Path | None:
    """The file that ``Settings.weights`` stands for; None for random weights.

    "auto" is the best file that ships, and random weights where none is there.
    """
    if weights == NO_WEIGHTS:
        return None
    if weights == AUTO_WEIGHTS:
        return next((path for path in shipped_weights() if path.stem == BEST), None)
    return Path(weights)
