"""The pretrained weights that a user can choose from, described by their file headers. No torch, no safetensors."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslseg.errors import CheckpointError
from sslseg.header import read_header
from sslseg.settings import AUTO_WEIGHTS, NO_WEIGHTS
from sslseg.shipped import resolve_weights, shipped_weights

_METHODS = {
    "pix2rep": "Pix2Rep",
    "pix2rep-v2": "Pix2Rep-v2",
    "hssl": "HSSL",
    "finetune": "trained model",
}
_SHIPPED = "ships with SSLSegment"


@dataclass(frozen=True)
class WeightsChoice:
    """One entry of the list of weights.

    Attributes:
        value: for :attr:`SSLSegmentLib.settings.LoopSettings.weights`: "auto", "none" or the path of a file.
        title: for the list.
        tooltip: lines of plain text: method, training data, licence, size.
        problem: why it cannot be used, as a sentence; empty where it can.
    """

    value: str
    title: str
    tooltip: str
    problem: str = ""


def weights_choices(folder: str | Path | None = None, chosen: str = AUTO_WEIGHTS) -> list[WeightsChoice]:
    """All weights to choose from: the best that ships, each that ships, those of a folder, a chosen file, none.

    Args:
        folder: the user's weights folder, searched without its sub-folders; files of other programs are left out.
        chosen: the present choice; a file that is not among the others gets an entry of its own, also where it is
            missing or damaged, so that a list can always show the choice.
    """
    choices = [_automatic(), *(_described(path, _SHIPPED) for path in shipped_weights())]
    own = sorted(Path(folder).glob("*.safetensors")) if folder else []
    choices += [choice for choice in (_described(path) for path in own) if not choice.problem]
    none = WeightsChoice(NO_WEIGHTS, "None (random start)", "The network learns from the annotated slices alone.")
    if chosen not in {choice.value for choice in (*choices, none)}:
        choices.append(_described(Path(chosen)))
    return [*choices, none]


def problem_of(weights: str) -> str:
    """Why a choice of weights cannot be used, as a sentence; empty where it can."""
    path = resolve_weights(weights)
    return _described(path).problem if path is not None else ""


def cached_header(path: Path) -> dict[str, Any]:
    """:func:`sslseg.header.read_header`, read again only where the file has changed: panels ask often.

    Raises:
        CheckpointError: not there, not safetensors, of another program, damaged, or of a newer version.
    """
    try:
        facts = path.stat()
    except OSError:
        return read_header(path)  # says what is wrong
    return _read(path, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=128)
def _read(path: Path, _changed_ns: int, _size: int) -> dict[str, Any]:
    return read_header(path)


def _automatic() -> WeightsChoice:
    best = resolve_weights(AUTO_WEIGHTS)
    if best is None:
        return WeightsChoice(AUTO_WEIGHTS, "Automatic (random start)", "No pretrained weights come with this version.")
    described = _described(best, _SHIPPED)
    return WeightsChoice(
        AUTO_WEIGHTS,
        f"Automatic ({described.title})",
        f"The best that ships, by the benchmark.\n{described.tooltip}",
        described.problem,
    )


def _described(path: Path, origin: str = "") -> WeightsChoice:
    try:
        header = cached_header(path)
    except CheckpointError as error:
        return WeightsChoice(str(path), path.stem, str(error), str(error))
    method = _METHODS.get(header["method"], str(header["method"]))
    title = method if origin and path.stem == header["method"] else f"{path.stem} ({method})"
    return WeightsChoice(str(path), title, "\n".join(_facts(path, header, method, origin)))


def _facts(path: Path, header: Mapping[str, Any], method: str, origin: str) -> list[str]:
    widths = header["backbone"].get("widths", ()) if isinstance(header["backbone"], dict) else ()
    facts = {
        "Method": method,
        "Learned from": header["training_data"],
        "Steps": header.get("steps"),
        "Network": "-".join(str(width) for width in widths),
        "Licence": header["licence"],
        "Made with": header["created_with"],
        "File": f"{path.name} ({path.stat().st_size / 1e6:.1f} MB{f', {origin}' if origin else ''})",
    }
    return [f"{name}: {value}" for name, value in facts.items() if value]
