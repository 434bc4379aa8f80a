"""``pretrain``: unlabelled images in, weights of a backbone out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sslseg.backbone import BACKBONES, BackboneConfig
from sslseg.device import seeded
from sslseg.errors import InputError
from sslseg.files import check_writable
from sslseg.pretrain_data import DataSet, find_data_sets
from sslseg.pretrain_loop import PretrainLoop, RunFiles
from sslseg.pretrain_network import PretrainNetwork
from sslseg.pretrain_ranks import Ranks, join_processes
from sslseg.pretrain_settings import PretrainSettings
from sslseg.pretrain_state import weights_header
from sslseg.progress import OnProgress, ShouldStop, ignore_progress, never_stop
from sslseg.slice_store import SliceStore, open_store


@dataclass(frozen=True)
class PretrainResult:
    """What a pretraining made.

    Attributes:
        weights: the file that was written.
        steps: optimisation steps, those before a resumption included.
        slices: in the data.
        skipped: a sentence for each image that could not be used.
        losses: of each step of this call.
        seconds: of training, earlier parts included.
        images_per_s: slices a second at the end; None after fewer than two steps.
        device: "cpu", or for example "cuda:0".
        stopped: "schedule", "time limit" or "request".
        messages: sentences the user must see.
    """

    weights: Path
    steps: int
    slices: int
    skipped: tuple[str, ...]
    losses: list[float]
    seconds: float
    images_per_s: float | None
    device: str
    stopped: str
    messages: list[str]


def pretrain(  # noqa: PLR0913 - what a job needs, each thing once
    data: Sequence[str | os.PathLike[str]],
    weights: str | os.PathLike[str],
    settings: PretrainSettings,
    *,
    log_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    on_progress: OnProgress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> PretrainResult:
    """Pretrain a backbone on unlabelled images; under torchrun, with all processes together.

    Args:
        data: folders, image files and manifests; see :func:`sslseg.pretrain_data.find_data_sets`.
        weights: the .safetensors file to write; whole at any moment.
        settings: method and schedule.
        log_dir: folder of checkpoint and curves; beside ``weights`` by default.
        cache_dir: folder of prepared slices, which several runs may share; in ``log_dir`` by default.
        resume: go on with the run in ``log_dir``; the losses are those of a run that was never interrupted.
        on_progress: told of each image and each step, in the first process only.
        should_stop: polled between steps; what was learned until then is written.

    Raises:
        InputError: nothing to learn from, settings that do not fit, or a run that cannot be resumed.
        OutputError: the result could not be written; an older file stays.
        TrainingError: the loss became NaN; the last checkpoint stays.
        SSLSegError: stopped before the training began.
    """
    path = Path(weights)
    folder = Path(log_dir) if log_dir is not None else path.with_name(f"{path.stem}.run")
    cache = Path(cache_dir) if cache_dir is not None else folder / "slices"
    with join_processes(settings.device) as ranks:
        _check_sizes(settings, ranks)
        data_sets = find_data_sets([Path(place) for place in data])  # first: bad input leaves no folder of a run
        on_progress = on_progress if ranks.first else ignore_progress
        for file in (path, folder / "log"):
            check_writable(file)
        store = _open_together(ranks, data_sets, cache, settings, on_progress, should_stop)
        config = BackboneConfig(BACKBONES[settings.backbone])
        used = [data_set for number, data_set in enumerate(store.data_sets) if (store.domains == number).any()]
        files = RunFiles(path, folder, weights_header(config, settings, used, len(store)))
        with seeded(settings.seed):
            network = PretrainNetwork(config, settings, _groups(store))
            loop = PretrainLoop(
                network, store, settings, ranks, files, on_progress=on_progress, should_stop=should_stop
            )
            if resume:
                loop.resume()
            stopped = loop.run()
        ranks.wait()
    return PretrainResult(
        path, loop.step, len(store), store.skipped, loop.losses, loop.pace.seconds, loop.pace.images_per_s,
        str(ranks.device), stopped, loop.messages,
    )  # fmt: skip


def _open_together(  # noqa: PLR0913, PLR0917 - handed through
    ranks: Ranks,
    data_sets: Sequence[DataSet],
    cache: Path,
    settings: PretrainSettings,
    on_progress: OnProgress,
    should_stop: ShouldStop,
) -> SliceStore:
    """The store of the data: the first process builds it, the others wait and then find it."""
    if not ranks.first:
        ranks.wait()
    store = open_store(
        cache, data_sets, max_pixels=settings.max_pixels, spacing_mm=settings.spacing_mm, on_progress=on_progress,
        should_stop=should_stop,
    )  # fmt: skip
    if ranks.first:
        ranks.wait()
    return store


def _groups(store: SliceStore) -> list[int]:
    """Index of the group of each data set."""
    names = [data_set.group for data_set in store.data_sets]
    return [names.index(name) for name in names]


def _check_sizes(settings: PretrainSettings, ranks: Ranks) -> None:
    stride = BackboneConfig(BACKBONES[settings.backbone]).stride
    if settings.patch % stride:
        raise InputError(
            f"Views of {settings.patch} pixels do not fit backbone {settings.backbone}: give a multiple of {stride}."
        )
    if settings.batch % ranks.world:
        raise InputError(
            f"A batch of {settings.batch} slices cannot be shared by {ranks.world} processes: give a multiple of "
            f"{ranks.world}."
        )
