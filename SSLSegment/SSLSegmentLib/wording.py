"""Every sentence that a panel says about the loop: the same in the desktop and in a browser. Plain English.

Nothing here knows a widget. A face may pass each sentence through its translator. Slices are counted from 1 here and
nowhere else: arrays and settings count from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from SSLSegmentLib.loop_state import State
from SSLSegmentLib.slice_views import slice_offsets

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop
    from SSLSegmentLib.loop_job import Suggestion

EMPTY = "empty"
EXCLUDED = "excluded"

NO_VIEW = "No slice view lies along the slices of the volume: rotate one to the volume plane, in the view's controls."

TITLES = {
    "train": "Train",
    "stop": "Stop",
    "suggest_next": "Suggest next slice",
    "accept_slice": "Accept this slice",
    "accept_all": "Accept all others",
    "undo": "Undo accepting",
    "discard": "Discard",
    "save_model": "Save trained model…",
    "export": "Export",
}
"""What is on the button of each action."""

DESCRIPTIONS = {
    "train": "Learn from all annotated slices, then predict the whole volume.",
    "stop": "Stop, and keep the best model so far. Press again to give up its prediction as well.",
    "suggest_next": "Go to the slice that would help most to annotate next, and say why.",
    "accept_slice": "Copy the prediction on the slice in view into your segmentation. It then counts as annotated.",
    "accept_all": "Copy the prediction on every slice that is not annotated into your segmentation.",
    "undo": "Take the last accepting back.",
    "discard": "Remove the prediction and its uncertainty from the scene. The model stays.",
    "save_model": "Save the model of the latest training in a file.",
    "export": "Write your segmentation to files.",
}

_ENDINGS = {
    State.DONE: "Done: correct a slice and train again, or accept the prediction.",
    State.CANCELLED: "Stopped.",
    State.FAILED: "Failed.",
}


@dataclass(frozen=True)
class SliceRow:
    """One line of the list of annotated slices.

    Attributes:
        index: array index along the loop's axis, for :meth:`AnnotationLoop.jump_to` and the marks.
        title: for example "Slice 12".
        offset: where it lies, as the slider of a slice view says: "S 12.5 mm".
        content: names of the segments that are drawn on it, "empty", or "excluded" with those names.
        empty: marked as holding no structure.
        excluded: does not count.
    """

    index: int
    title: str
    offset: str
    content: str
    empty: bool
    excluded: bool


def duration(seconds: float) -> str:
    """A time in words, as coarse as one reads it: "4 s", "2 min 10 s", "1 h 5 min"."""
    total = max(1, round(seconds))
    if total < 60:
        return f"{total} s"
    if total < 600:
        total = round(total / 10) * 10
        return _two(total, 60, "min", "s")
    return _two(round(total / 60), 60, "h", "min")


def slice_rows(loop: AnnotationLoop) -> list[SliceRow]:
    """The list of annotated slices, in order."""
    if loop.volume is None or loop.user.problem:
        return []
    axis, segmentation = loop.axis, loop.segmentation
    names: dict[str, str] = {}
    if segmentation is not None:
        stored = segmentation.GetSegmentation()
        names = {segment_id: stored.GetSegment(segment_id).GetName() for segment_id in stored.GetSegmentIDs()}
    rows = []
    entries = loop.annotated_slices()
    offsets = slice_offsets(loop.volume, axis, [entry.index for entry in entries])
    for entry, offset in zip(entries, offsets, strict=True):
        drawn = ", ".join(names[segment_id] for segment_id in entry.segments if segment_id in names)
        content = drawn or (EMPTY if entry.empty else "")
        if entry.excluded:
            content = f"{EXCLUDED}: {drawn}" if drawn else EXCLUDED
        rows.append(SliceRow(entry.index, slice_title(entry.index), offset, content, entry.empty, entry.excluded))
    return rows


def slice_title(index: int) -> str:
    """How a slice is called: counted from 1, as in "Slice 12"."""
    return f"Slice {index + 1}"


def status_line(loop: AnnotationLoop) -> str:
    """Where the loop is: the state, and while it works stage, step, time left and device; else what to do next."""
    if loop.accepting:
        return "Accepting the prediction…"
    if loop.state is State.STOPPING:
        return f"Stopping, the best model so far is kept. {_progress(loop)}".strip()
    if loop.state.busy:
        return _progress(loop) or "Preparing the training…"
    ended = _ENDINGS.get(loop.state, "")
    if ended:
        is_shown = loop.result is not None and loop.state is not State.DONE
        return f"{ended} The latest prediction is shown." if is_shown else ended
    reasons = loop.availability("train").reasons
    if reasons:
        return reasons[0]
    n = len(loop.user.used_slices())
    return f"Ready to train on {n} annotated slice{'s' if n != 1 else ''}."


def progress_fraction(loop: AnnotationLoop) -> float | None:
    """How far the present stage is, 0 to 1; None while that is unknown (a bar that only moves)."""
    progress = loop.progress
    return min(1.0, progress.step / progress.steps) if loop.state.busy and progress.steps else None


def tooltip(loop: AnnotationLoop, action: str) -> str:
    """What the button of one of :data:`SSLSegmentLib.loop_state.ACTIONS` does, and below it all that is missing."""
    reasons = loop.availability(action).reasons
    return "\n".join([DESCRIPTIONS[action], *(["Before that:"] if reasons else []), *(f"• {text}" for text in reasons)])


def suggestion_text(loop: AnnotationLoop, suggestion: Suggestion | None) -> str:
    """Why a slice is suggested, in one sentence; or that none is."""
    if suggestion is None:
        return " ".join(loop.availability("suggest_next").reasons) or "No slice is suggested."
    (where,) = slice_offsets(loop.volume, loop.result_axis, [suggestion.index])
    return f"{slice_title(suggestion.index)} ({where}) would help most: {suggestion.reason}."


def error_line(loop: AnnotationLoop) -> str:
    """Why the last training failed, in one line; empty where it did not. The whole text is ``loop.last_error``."""
    lines = [line.strip() for line in loop.last_error.splitlines() if line.strip()]
    return f"{lines[0]} It said last: {lines[-1]}" if len(lines) > 1 else "".join(lines)


def volume_rows(loop: AnnotationLoop) -> list[tuple[str, str]]:
    """Name and size ("12.3 ml") of each predicted segment."""
    return [(entry.name, volume_text(entry.volume_ml)) for entry in loop.segment_volumes()]


def volume_text(ml: float) -> str:
    """A volume with three digits: "0.123 ml", "12.3 ml", "1234 ml"; "not found" for nothing."""
    if ml <= 0:
        return "not found"
    digits = 0 if ml >= 100 else 1 if ml >= 10 else 2 if ml >= 1 else 3
    return f"{ml:.{digits}f} ml" if ml >= 0.001 else "less than 0.001 ml"


def device_text(device: str) -> str:
    """A device in words: "the CPU", "the GPU (cuda:0)"."""
    known = {"cpu": "the CPU", "mps": "the Apple GPU"}
    return known.get(device, f"the GPU ({device})")


def _progress(loop: AnnotationLoop) -> str:
    progress = loop.progress
    if not progress.stage:
        return ""
    parts = [progress.stage[0].upper() + progress.stage[1:]]
    if progress.steps:
        parts[0] += f": step {progress.step} of {progress.steps}"
    if progress.eta_s is not None:
        parts.append(f"about {duration(progress.eta_s)} left")
    if progress.device:
        parts.append(f"on {device_text(progress.device)}")
    return ", ".join(parts) + ("." if len(parts) > 1 or progress.steps else "…")


def _two(total: int, factor: int, large: str, small: str) -> str:
    whole, rest = divmod(total, factor)
    parts = [f"{whole} {large}"] if whole else []
    return " ".join([*parts, *([f"{rest} {small}"] if rest else [])])
