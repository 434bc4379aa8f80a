"""The training loop of the fine-tuning."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence

import torch

from sslseg.backbone import SegmentationNetwork
from sslseg.device import MemoryGuard, autocast, move
from sslseg.errors import TrainingError
from sslseg.losses.partial import PartialDiceCELoss, weighted_soft_cross_entropy
from sslseg.metrics import dice_per_class, mean_dice
from sslseg.presets import FINE_TUNING, LINEAR_PROBE, Preset
from sslseg.progress import OnProgress, Progress, ShouldStop
from sslseg.sampling import Patches, PatchSampler, PreparedCase
from sslseg.settings import LINEAR

_RATE_SCRATCH = 1e-3
_RATE_HEAD = 2e-2
_RATE_LINEAR = 1e-1  # of a head that nothing follows; of 5e-3 to 2e-1 one of the best on ACDC's training patients
_RATE_BACKBONE = 2e-3
_LAYER_DECAY = 0.9  # each level towards the input learns at this share of the rate of the one after it
_WARM_UP_STEPS = 3
_EMA_LONGEST = 0.97
_LEAST_STEPS = 5  # a time limit that preparing has used up must not leave random weights
_GRADIENT_NORM = 5.0
_PROPAGATED_WEIGHT = 2.0
_DICE_MEMORY = 0.8  # smoothing of the reported Dice over steps


class Trainer:
    """Runs linear probe and fine-tuning of one network.

    Attributes:
        step: optimisation steps that were made.
        messages: sentences the user must see.
        history: one progress report a step.
    """

    def __init__(  # noqa: PLR0913 - everything a training needs, each thing once
        self,
        network: SegmentationNetwork,
        *,
        sampler: PatchSampler,
        cases: Sequence[PreparedCase],
        preset: Preset,
        device: torch.device,
        on_progress: OnProgress,
        should_stop: ShouldStop,
        deadline: float | None,
    ) -> None:
        self.network = move(network, device)
        self.step = 0
        self.messages: list[str] = []
        self.history: list[Progress] = []
        self._average = copy.deepcopy(self.network)
        self._sampler = sampler
        self._cases = cases
        self._preset = preset
        self._guard = MemoryGuard(device, preset.batch, self._say)
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._deadline = deadline
        self._loss = PartialDiceCELoss()
        self._dice: float | None = None
        self._clock = _Clock(deadline)

    @property
    def device(self) -> torch.device:
        """Where it runs now."""
        return self._guard.device

    def best_network(self) -> SegmentationNetwork:
        """The moving average of the weights, on the CPU."""
        return move(self._average, torch.device("cpu")).eval()

    def run(self, mode: str, *, pretrained: bool) -> str:
        """Train to the end of the schedule, the deadline or a request; says which: see ``FinetuneResult.stopped``.

        Args:
            mode: see :class:`sslseg.settings.Settings`.
            pretrained: whether the backbone is worth a linear probe, and smaller rates.
        """
        steps = self._preset.stages(mode, pretrained=pretrained)
        self._clock.start(sum(steps.values()))
        rate = _RATE_LINEAR if mode == LINEAR else _RATE_HEAD
        head = [{"params": self.network.head.parameters(), "rate": rate}]
        stopped = self._stage(LINEAR_PROBE, steps[LINEAR_PROBE], head, frozen=True)
        if stopped != "schedule":
            return stopped
        return self._stage(FINE_TUNING, steps[FINE_TUNING], _parameter_groups(self.network, pretrained), frozen=False)

    def _stage(self, name: str, steps: int, groups: list[dict], *, frozen: bool) -> str:
        self.network.backbone.requires_grad_(not frozen)
        self._clock.start_stage()
        optimiser = torch.optim.AdamW(groups, lr=_RATE_HEAD, weight_decay=1e-2)
        for index in range(steps):
            if self._should_stop():
                return "request"
            if self._deadline is not None and self.step >= _LEAST_STEPS and time.monotonic() >= self._deadline:
                return "time limit"
            share = self._clock.share_of(index, steps)
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * _schedule(index, share)
            loss = self._optimise(optimiser)
            self.step += 1
            self._update_average()
            report = Progress(name, index + 1, steps, loss, self._dice, self._clock.eta(self.step), str(self.device))
            self.history.append(report)
            self._on_progress(report)
        return "schedule"

    def _optimise(self, optimiser: torch.optim.Optimizer) -> float:
        """One step on one batch; returns its loss.

        Where memory asks for it the batch is computed in parts, whose losses are averaged. That of the propagated
        labels stays the same; the Dice and the mean over annotated pixels are then taken over each part.
        """
        patches = self._sampler.annotated(self._preset.batch), self._sampler.propagated(self._preset.propagated)

        def work(device: torch.device, at_once: int) -> float:
            self._move_to(device, optimiser)
            optimiser.zero_grad(set_to_none=True)
            return sum(self._backward(part, at_once, device) for part in patches if part is not None)

        loss = self._guard.run(work)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), _GRADIENT_NORM)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError("Training stopped because the loss became NaN: check the image for extreme values.")
        optimiser.step()
        return loss

    def _backward(self, patches: Patches, at_once: int, device: torch.device) -> float:
        total = 0.0
        n = len(patches.images)
        for start in range(0, n, at_once):
            part = patches.part(start, start + at_once, device)
            with autocast(device):
                logits = self.network(part.images)
            loss = self._loss_of(logits.float(), part) * (len(part.images) / n)
            loss.backward()
            total += float(loss.detach())
        return total

    def _loss_of(self, logits: torch.Tensor, patches: Patches) -> torch.Tensor:
        if patches.labels is not None:
            self._observe_dice(logits, patches.labels)
            return self._loss(logits, patches.labels)
        assert patches.probabilities is not None
        assert patches.weight is not None
        soft = weighted_soft_cross_entropy(logits, patches.probabilities, patches.weight)
        return _PROPAGATED_WEIGHT * soft

    def _observe_dice(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        classes = logits.detach().argmax(1).to(torch.uint8).cpu().numpy()
        dice = mean_dice(dice_per_class(classes, labels.cpu().numpy(), logits.shape[1]))
        if not math.isnan(dice):
            self._dice = dice if self._dice is None else _DICE_MEMORY * self._dice + (1 - _DICE_MEMORY) * dice

    @torch.no_grad()
    def _update_average(self) -> None:
        """EMA whose memory grows with the steps made, so that an early stop is not dominated by random weights."""
        keep = min(_EMA_LONGEST, self.step / (self.step + 9))
        for average, current in zip(self._average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current, 1 - keep)

    def _move_to(self, device: torch.device, optimiser: torch.optim.Optimizer) -> None:
        if next(self.network.parameters()).device == device:
            return
        move(self.network, device)
        self._average.to(device)
        for case in self._cases:
            case.to(device)
        for state in optimiser.state.values():
            for key, value in state.items():
                if torch.is_tensor(value) and value.ndim:
                    state[key] = value.to(device)

    def _say(self, message: str) -> None:
        self.messages.append(message)
        self._on_progress(Progress(FINE_TUNING, message=message, device=str(self.device)))


class _Clock:
    """Knows how far a training is: by its steps, or by its deadline where that comes first."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._begin = self._stage_began = 0.0
        self._total = 1

    def start(self, total_steps: int) -> None:
        self._begin = time.monotonic()
        self._total = total_steps

    def start_stage(self) -> None:
        self._stage_began = time.monotonic()

    def share_of(self, index: int, steps: int) -> float:
        """Share of the stage that is over, 0..1; a deadline shortens the schedule so that it still ends at rate 0.

        The least steps are made at rates that fall over them, even where no time is left: at rate 0 nothing is learned.
        """
        share = index / steps
        if self._deadline is None:
            return share
        elapsed = time.monotonic() - self._stage_began
        timed = elapsed / max(self._deadline - self._stage_began, 1e-6)
        return min(1.0, max(share, min(timed, index / _LEAST_STEPS)))

    def eta(self, step: int) -> float:
        """Seconds to the end, by the mean time of the steps so far."""
        elapsed = time.monotonic() - self._begin
        rest = elapsed / step * (self._total - step)
        return rest if self._deadline is None else min(rest, max(0.0, self._deadline - time.monotonic()))


def _schedule(index: int, share: float) -> float:
    """Linear warm-up, then half a cosine to 0."""
    return min(1.0, (index + 1) / _WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * share))


def _parameter_groups(network: SegmentationNetwork, pretrained: bool) -> list[dict]:
    """Learning rates by layer: from scratch all alike; from pretrained weights smaller towards the input."""
    if not pretrained:
        return [{"params": list(network.parameters()), "rate": _RATE_SCRATCH}]
    blocks = [*network.backbone.encoder, *network.backbone.decoder]
    groups = [{"params": list(network.head.parameters()), "rate": _RATE_HEAD / 5}]
    for depth, block in enumerate(reversed(blocks)):
        groups.append({"params": list(block.parameters()), "rate": _RATE_BACKBONE * _LAYER_DECAY**depth})
    return groups
