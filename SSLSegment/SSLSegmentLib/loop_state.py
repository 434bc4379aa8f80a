"""The states of the loop, and what may be done in each: every reason why not, as a sentence for the user."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from SSLSegmentLib.requirements import unmet
from SSLSegmentLib.weights import problem_of

if TYPE_CHECKING:
    from SSLSegmentLib.loop_results import LoopResults


class State(enum.Enum):
    """Where the loop is. ``DONE``, ``CANCELLED`` and ``FAILED`` last until the next training or another node."""

    IDLE = "idle"
    PREPARING = "preparing"
    TRAINING = "training"
    STOPPING = "stopping"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def busy(self) -> bool:
        """Whether a training is under way."""
        return self in (State.PREPARING, State.TRAINING, State.STOPPING)


READING = "What is drawn is being read: wait a moment."


@dataclass(frozen=True)
class Availability:
    """Whether an action is possible now.

    Attributes:
        reasons: all that is missing for it, a sentence each.
    """

    reasons: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether nothing is missing."""
        return not self.reasons


def availability(loop: LoopResults, action: str) -> Availability:
    """Whether one of :data:`ACTIONS` is possible now.

    Raises:
        KeyError: there is no such action.
    """
    reasons = ACTIONS[action](loop)
    if loop.state.busy and action != "stop":
        reasons = ["A training is running: wait for it, or stop it.", *reasons]
    if loop.accepting:
        reasons = ["A prediction is being accepted: wait a moment.", *reasons]
    return Availability(tuple(reasons))


def _for_train(loop: LoopResults) -> list[str]:
    user = loop.user
    reasons = unmet()
    if loop.apply.state.busy:
        reasons.append("The model is being applied to other volumes: wait for it, or stop it.")
    if user.volume is None:
        reasons.append("Choose a volume.")
    if user.segmentation is None:
        reasons.append("Choose or create a segmentation.")
    elif user.segmentation.GetSegmentation().GetNumberOfSegments() == 0:
        reasons.append("Add a segment and draw it on at least one slice.")
    elif user.volume is not None and not user.known:
        reasons.append(READING)
    elif user.volume is not None and not user.problem and not set(user.drawn_slices()) & set(user.used_slices()):
        reasons.append("Draw at least one structure on one slice.")
    if user.problem:
        reasons.append(user.problem)
    if user.lacks_background:
        reasons.append("The background segment is not there any more: choose another one, or none.")
    if loop.hardware.problem:
        reasons.append(loop.hardware.problem)
    _, reason = loop.settings.is_valid()
    reason = reason or problem_of(loop.settings.weights)
    return [*reasons, reason] if reason else reasons


def _for_stop(loop: LoopResults) -> list[str]:
    return [] if loop.state.busy else ["No training is running."]


def _for_prediction(loop: LoopResults) -> list[str]:
    return [] if loop.result else ["There is no prediction yet: train first."]


def _for_suggest_next(loop: LoopResults) -> list[str]:
    return _for_prediction(loop) or ([] if loop.suggest_next() else ["No slice is suggested."])


def _for_accept_slice(loop: LoopResults) -> list[str]:
    return _for_prediction(loop) or ([] if loop.user.up_to_date else [READING])


def _for_accept_all(loop: LoopResults) -> list[str]:
    reasons = _for_accept_slice(loop)
    if reasons or loop.result is None:
        return reasons
    return [] if loop.acceptance.open_slices(loop.result) else ["Every slice is annotated already."]


def _for_undo(loop: LoopResults) -> list[str]:
    return loop.acceptance.unmet()


def _for_save_model(loop: LoopResults) -> list[str]:
    return [] if loop.model_path else ["There is no model yet: train first."]


def _for_export(loop: LoopResults) -> list[str]:
    if loop.volume is None or loop.segmentation is None:
        return ["Choose a volume and a segmentation."]
    if loop.user.problem:
        return [loop.user.problem]
    if not loop.user.known:
        return [READING]
    return [] if loop.user.drawn_slices() else ["The segmentation is empty: draw, or accept a prediction."]


ACTIONS: dict[str, Callable[[LoopResults], list[str]]] = {
    "train": _for_train,
    "stop": _for_stop,
    "suggest_next": _for_suggest_next,
    "accept_slice": _for_accept_slice,
    "accept_all": _for_accept_all,
    "undo": _for_undo,
    "discard": _for_prediction,
    "save_model": _for_save_model,
    "export": _for_export,
}
"""What the user can do, and how to find out what is missing for it."""
