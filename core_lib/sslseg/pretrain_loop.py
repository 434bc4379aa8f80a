"""The training loop of the pretraining."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sslseg.device import autocast, is_out_of_memory, move
from sslseg.errors import OutputError, SSLSegError, TrainingError
from sslseg.monitors import alignment, dead_share, uniformity
from sslseg.pretrain_log import PretrainLog
from sslseg.pretrain_network import Outcome, PretrainNetwork, Views
from sslseg.pretrain_ranks import Ranks
from sslseg.pretrain_settings import PretrainSettings
from sslseg.pretrain_state import STATE_NAME, load_training, save_training, save_weights
from sslseg.pretrain_views import Batch, change_view, draw_batch, draw_pixels, draw_transforms, generator_of
from sslseg.progress import OnProgress, Progress, ShouldStop
from sslseg.slice_store import SliceStore

STAGE = "pretraining"

_WARM_UP = 0.05
_GRADIENT_NORM = 1.0
_WEIGHT_DECAY = 1e-2
_CHECKPOINT_S = 120.0
_MONITOR_STEPS = 10
_MONITORED = 1000
_READ_AHEAD, _READERS = 6, 3
_COLLAPSED_UNIFORMITY, _COLLAPSED_SHARE = -0.05, 0.9


@dataclass(frozen=True)
class RunFiles:
    """Where a run writes.

    Attributes:
        weights: the result.
        folder: checkpoint and logs.
        header: of the weights.
    """

    weights: Path
    folder: Path
    header: dict[str, Any]


@dataclass
class Pace:
    """Speed and time of a run, the earlier parts of it included.

    Attributes:
        before: seconds of the earlier parts.
        images: slices of a step.
    """

    before: float
    images: int
    begin: float = field(default_factory=time.monotonic)
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=50))

    @property
    def seconds(self) -> float:
        """Since the run began, pauses left out."""
        return self.before + time.monotonic() - self.begin

    def tick(self) -> None:
        """A step has ended."""
        self.ends.append(time.monotonic())

    @property
    def step_s(self) -> float | None:
        """Seconds of a step, the mean of the latest ones."""
        return None if len(self.ends) < 2 else (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)

    @property
    def images_per_s(self) -> float | None:
        """Slices a second, over all processes."""
        return self.images / self.step_s if self.step_s else None


class PretrainLoop:
    """Trains one network on a store of slices.

    Attributes:
        step: optimisation steps that were made, those of the earlier parts of the run included.
        losses: of the steps made here.
        messages: sentences the user must see.
    """

    def __init__(  # noqa: PLR0913 - everything a training needs, each thing once
        self,
        network: PretrainNetwork,
        store: SliceStore,
        settings: PretrainSettings,
        ranks: Ranks,
        files: RunFiles,
        *,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> None:
        self.step = 0
        self.losses: list[float] = []
        self.messages: list[str] = []
        self._network = move(network, ranks.device)
        self._optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=_WEIGHT_DECAY)
        self._store = store
        self._settings = settings
        self._ranks = ranks
        self._files = files
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._total = settings.total_steps(len(store))
        self._share = 0.0
        self._pace = Pace(0.0, settings.batch)
        self._saved: int | None = None
        self._collapsed = self._unlogged = False

    @property
    def pace(self) -> Pace:
        """Time and speed so far."""
        return self._pace

    def resume(self) -> None:
        """Go on where the checkpoint of the run was made. Raises what :func:`load_training` raises."""
        training = load_training(self._files.folder, self._network, self._optimiser, self._identity())
        self.step = self._saved = int(training["step"])
        self._pace = Pace(float(training["seconds"]), self._settings.batch)

    def run(self) -> str:
        """Train until the schedule, the time limit or a request ends it; says which. The weights are written.

        Raises:
            TrainingError: the loss became NaN, or memory ran out; the last checkpoint stays as it was.
            SSLSegError: the time limit or a request came before the first step.
            OutputError: the last checkpoint or the weights could not be written.
        """
        log = PretrainLog(self._files.folder, self.step) if self._ranks.first else None
        model: nn.Module = self._network
        if self._ranks.world > 1:
            model = DistributedDataParallel(self._network)
        self._network.train()
        checkpoint_s = time.monotonic()
        try:
            for batch in self._batches():
                ended = self._ended()
                if ended:
                    break
                scalars = self._optimise(model, batch)
                self._report(scalars, log)
                if time.monotonic() - checkpoint_s > _CHECKPOINT_S:
                    self._checkpoint_or_say()
                    checkpoint_s = time.monotonic()
            if not self.step:
                raise SSLSegError("The training ended before its first step: nothing was written.")
            self._checkpoint()
        finally:
            if log is not None:
                log.close()
        return ended

    def _ended(self) -> str:
        """Why the run is over, "" while it is not; sets how far it is. All processes agree."""
        limit, total = self._settings.time_limit_s, self._total
        seconds = self._pace.seconds
        share = max((self.step + 0.5) / total if total else 0.0, seconds / limit if limit else 0.0)
        reasons = ("", "schedule", "time limit", "request")
        over = 3 if self._should_stop() else 2 if limit and seconds >= limit else 0
        over = 1 if total is not None and self.step >= total else over
        agreed, self._share = self._ranks.agree([over, min(share, 1.0)])
        return reasons[int(agreed)]

    def _batches(self) -> Iterator[Batch]:
        """The batches of this step and all later ones, read ahead by a few threads."""
        with ThreadPoolExecutor(_READERS) as pool:
            waiting: deque[Future[Batch]] = deque()
            try:
                step = self.step
                while True:
                    while len(waiting) < _READ_AHEAD:
                        waiting.append(pool.submit(self._read, step))
                        step += 1
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _read(self, step: int) -> Batch:
        generator = generator_of(self._settings.seed, 2 * step, self._ranks.rank)
        n = self._settings.batch // self._ranks.world
        batch = draw_batch(self._store, n, self._settings.patch, generator)
        if self._ranks.device.type == "cuda":
            batch = Batch(batch.images.pin_memory(), batch.domains.pin_memory())
        return batch

    def _views(self, batch: Batch) -> Views:
        settings, device, rank = self._settings, self._ranks.device, self._ranks.rank
        drawn = generator_of(settings.seed, 2 * self.step + 1, rank)
        noise = generator_of(settings.seed, 2 * self.step + 1, rank, device)
        batch = batch.to(device)
        first, second = (change_view(batch.images, drawn, noise) for _ in range(2))
        elastic = settings.method == "pix2rep-v2"
        transform = draw_transforms(len(first), settings.patch, drawn, elastic=elastic).to(device)
        valid = transform.valid((settings.patch, settings.patch))
        positions = draw_pixels(valid, settings.pixels, noise)
        return Views(first, transform.warp(second), transform, positions, batch.domains)

    def _optimise(self, model: nn.Module, batch: Batch) -> dict[str, float]:
        """One step on one batch; returns what is to be logged of it."""
        rate = self._settings.rate * schedule(self._share)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        try:
            views = self._views(batch)
            self._optimiser.zero_grad(set_to_none=True)
            with autocast(self._ranks.device):
                outcome: Outcome = model(views)
            outcome.loss.backward()
            norm = nn.utils.clip_grad_norm_(self._network.parameters(), _GRADIENT_NORM)
            values = torch.stack([outcome.loss.detach(), norm]).tolist()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise TrainingError(
                    f"Memory of {self._ranks.device} ran out{self._what_is_kept()}: choose a smaller batch or backbone."
                ) from error
            raise
        if not all(math.isfinite(value) for value in values):
            raise TrainingError(
                f"Training stopped at step {self.step + 1} because the loss became NaN{self._what_is_kept()}: "
                "check the images for extreme values, or lower the learning rate."
            )
        self._optimiser.step()
        self.step += 1
        self.losses.append(values[0])
        self._pace.tick()
        scalars = {"loss": values[0], "gradient_norm": values[1], "learning_rate": rate}
        if self.step % _MONITOR_STEPS == 0 or self.step == 1:
            scalars |= {name: float(term) for name, term in outcome.terms.items()} | self._monitor(outcome)
        return scalars

    def _monitor(self, outcome: Outcome) -> dict[str, float]:
        first, second = outcome.first[:_MONITORED], outcome.second[:_MONITORED]
        both = torch.cat([first, second])
        values = {
            "alignment": alignment(first, second),
            "uniformity": uniformity(both),
            "dead_share": dead_share(both),
        }
        collapsed = values["uniformity"] > _COLLAPSED_UNIFORMITY or values["dead_share"] > _COLLAPSED_SHARE
        if collapsed and self._share > _WARM_UP and not self._collapsed:
            self._say(
                f"The features have collapsed at step {self.step} (uniformity {values['uniformity']:.2f}, "
                f"{values['dead_share']:.0%} of the dimensions dead): the weights will hardly help; lower the "
                "learning rate or add other images."
            )
        self._collapsed = collapsed
        return values

    def _report(self, scalars: dict[str, float], log: PretrainLog | None) -> None:
        speed = self._pace.images_per_s
        if log is not None:
            self._log_or_say(log, scalars if speed is None else {**scalars, "images_per_s": speed})
        self._on_progress(
            Progress(
                STAGE, self.step, self._total or 0, scalars["loss"], eta_s=self._eta(), device=str(self._ranks.device),
                images_per_s=speed,
            )
        )  # fmt: skip

    def _log_or_say(self, log: PretrainLog, scalars: dict[str, float]) -> None:
        """Curves are not worth a run: that they cannot be written is said once, until they can."""
        try:
            log.write(self.step, scalars)
            self._unlogged = False
        except OutputError as error:
            if not self._unlogged:
                self._say(str(error))
            self._unlogged = True

    def _eta(self) -> float | None:
        step_s, limit = self._pace.step_s, self._settings.time_limit_s
        ends = []
        if self._total is not None and step_s is not None:
            ends.append(step_s * (self._total - self.step))
        if limit is not None:
            ends.append(max(0.0, limit - self._pace.seconds))
        return min(ends, default=None)

    def _identity(self) -> dict[str, Any]:
        return {"settings": self._settings, "data": self._store.key, "processes": self._ranks.world}

    def _checkpoint(self) -> None:
        if not self._ranks.first:
            return
        training = {
            **self._identity(),
            "settings": self._settings.as_dict(),
            "step": self.step,
            "seconds": self._pace.seconds,
        }
        save_training(self._files.folder, self._network, self._optimiser, self._files.header, training)
        save_weights(self._files.weights, self._network, self._files.header, self.step)
        self._saved = self.step

    def _checkpoint_or_say(self) -> None:
        """A full disk may have room again later: it ends the run only where that is over."""
        try:
            self._checkpoint()
        except OutputError as error:
            self._say(f"No checkpoint at step {self.step}: {error}")

    def _what_is_kept(self) -> str:
        if self._saved is None:
            return " before the first checkpoint"
        return f" (the checkpoint of step {self._saved} is kept in {self._files.folder / STATE_NAME})"

    def _say(self, message: str) -> None:
        self.messages.append(message)
        self._on_progress(Progress(STAGE, self.step, self._total or 0, message=message))


def schedule(share: float) -> float:
    """Share of the highest learning rate: linear warm-up over the first 5 % of a run, then half a cosine to 0."""
    if share < _WARM_UP:
        return share / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP)))
