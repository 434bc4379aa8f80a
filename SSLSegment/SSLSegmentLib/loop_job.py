"""One training as a conversation with the worker: load, fine-tune, predict, suggest. No MRML, no Qt.

The files go through the session's file thread, so that the viewer never waits for a disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.annotation import Annotation, Segment
from sslseg.errors import SSLSegError
from sslseg.files import atomic_path
from sslseg.geometry import Geometry
from sslseg.progress import Progress
from sslseg.settings import Settings
from SSLSegmentLib.loop_session import OnError, WorkerSession, deliver, error_of
from SSLSegmentLib.result import Outputs, outputs

VOLUME_KEY = "volume"  # always the same, so that the worker never holds more than one volume


@dataclass(frozen=True)
class Suggestion:
    """A slice to annotate next."""

    index: int
    score: float
    reason: str


@dataclass(frozen=True)
class Inputs:
    """What a training starts from: a snapshot that later changes of the nodes do not touch.

    Attributes:
        volume_id: tells apart one state of a volume from any other.
        array: scalar voxels (K, J, I), any real type; read once, in the file thread.
        geometry: the grid of ``array``.
        segments: the classes.
        annotate: reads what the user annotated; called once, in the file thread.
        outdated: whether the user has drawn since; called on the main thread.
        axis: array axis of the annotated slices.
        settings: the choices for the training core.
        name: of the volume, for messages.
    """

    volume_id: Any
    array: np.ndarray
    geometry: Geometry
    segments: tuple[Segment, ...]
    annotate: Callable[[], Annotation]
    outdated: Callable[[], bool]
    axis: int
    settings: Settings
    name: str


@dataclass
class Outcome:
    """What a training left behind.

    Attributes:
        stopped: "schedule", "time limit" or "request" (a cancel, which keeps the best model so far).
        model: the model's file; None if it was cancelled before there was one.
        outputs: what was predicted; None if it was cancelled before there was a prediction.
        suggestions: slices to annotate next, best first.
        messages: sentences the user must see.
    """

    stopped: str = "schedule"
    model: Path | None = None
    outputs: Outputs | None = None
    suggestions: list[Suggestion] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


class TrainingJob:
    """From annotated slices to a prediction.

    Args:
        session: the worker and its file thread.
        look: takes the snapshot to train on. If the user draws while that is read, it is taken again.
        number: makes its file names unique within the session.
        with_surfaces: whether 3-D views will show the prediction.
        on_progress: called with each report.
        on_first: called with the labels that were carried to all slices, while the training goes on; not always.
        on_end: called once with the :class:`Outcome` or the error; never after :meth:`abandon`.
    """

    def __init__(  # noqa: PLR0913 - what to do, with whom, and whom to tell
        self,
        session: WorkerSession,
        look: Callable[[], Inputs],
        number: int,
        *,
        with_surfaces: Callable[[], bool],
        on_progress: Callable[[Progress], None],
        on_first: Callable[[Outputs], None],
        on_end: Callable[[Outcome | SSLSegError], None],
    ) -> None:
        self._session = session
        self._look = look
        self._inputs = look()
        self._with_surfaces = with_surfaces
        self._folder = session.folder / f"job-{number}"
        self._on_progress = on_progress
        self._on_first = on_first
        self._on_end = on_end
        self._outcome = Outcome()
        self._needs_volume = session.holds != self._inputs.volume_id
        self._complete = False
        self._first: int | None = None
        self._request: int | None = None
        self._cancelled: int | None = None
        self._finished = False

    def start(self) -> None:
        """Begin to write the files; everything else follows in the session's poll.

        Raises:
            SSLSegError: the worker cannot be started.
        """
        self._session.start()
        self._session.submit(self._write_inputs, self._ask_to_train, self.fail)

    def stop(self) -> bool:
        """Stop the present step: a training still predicts with the best model so far, a prediction is given up.

        Returns:
            False if the worker was asked before to stop this step, and has not done so yet.
        """
        if self._request is None:
            self._outcome.stopped = "request"
            self._end(self._outcome)
        elif self._request == self._cancelled:
            return False
        else:
            self._cancelled = self._request
            self._cancel()
        return True

    def fail(self, error: SSLSegError) -> None:
        """End with an error."""
        self._end(error)

    def abandon(self) -> None:
        """Stop, and forget whatever still arrives."""
        self._finished = True
        self._cancel()

    def _cancel(self) -> None:
        for request in (self._first, self._request):
            if request is not None:
                self._session.cancel(request)

    def _end(self, result: Outcome | SSLSegError) -> None:
        if not self._finished:
            self._finished = True
            self._on_end(result)

    def _path(self, name: str) -> str:
        return str(self._folder / name)

    def _write_inputs(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._needs_volume:
            save_array(self._inputs.array, self._folder / "volume.npy")
        annotation, axis = self._inputs.annotate(), self._inputs.axis
        self._complete = len(annotation.annotated_slices(axis)) == annotation.labels.shape[axis]
        save_array(annotation.labels, self._folder / "labels.npy")

    def _ask_to_train(self, _: None) -> None:
        if self._finished:
            return
        if self._inputs.outdated():
            self._look_again()
            return
        inputs = self._inputs
        if self._needs_volume:
            load = {"do": "load", "volume": VOLUME_KEY, "array": self._path("volume.npy"), "name": inputs.name}
            self._session.request({**load, "geometry": asdict(inputs.geometry)}, self._loaded)
            self._session.holds = inputs.volume_id
        settings = inputs.settings.as_dict()
        files = {"output": self._path("first.npy"), "uncertainty": self._path("first_uncertainty.npy")}
        first = {"do": "propagate", "settings": settings, **files, **self._annotated()}
        self._first = self._ask(first, self._carried, lambda _: None)  # the training will say the same
        case = {"volume": VOLUME_KEY, "labels": self._path("labels.npy"), "axis": inputs.axis}
        request = {"do": "finetune", "cases": [case], "settings": settings}
        model = self._path("model.safetensors")
        self._request = self._ask({**request, "segments": self._segments(), "model": model}, self._trained)

    def _carried(self, reply: dict[str, Any]) -> None:
        """Show what is known at once; the training goes on meanwhile."""
        self._first = None
        self._outcome.messages += reply.get("messages", [])
        if reply["stopped"] != "request":
            with_surfaces = self._with_surfaces()
            self._session.submit(
                lambda: self._read("first", "first_uncertainty", with_surfaces), self._first_arrived, lambda _: None
            )

    def _first_arrived(self, found: Outputs) -> None:
        if not self._finished and self._outcome.outputs is None:
            self._on_first(found)

    def _look_again(self) -> None:
        try:
            self._inputs = self._look()
        except SSLSegError as error:
            self.fail(error)
        else:
            self._needs_volume = self._session.holds != self._inputs.volume_id
            self._session.submit(self._write_inputs, self._ask_to_train, self.fail)

    def _loaded(self, reply: dict[str, Any]) -> None:
        if reply["event"] == "error":
            self._session.holds = None
            self.fail(error_of(reply))

    def _trained(self, reply: dict[str, Any]) -> None:
        outcome = self._outcome
        outcome.stopped = reply["stopped"]
        outcome.messages += reply.get("messages", [])
        if "model" not in reply:  # cancelled before it began
            self._end(outcome)
            return
        outcome.model = Path(reply["model"])
        request = {"do": "predict", "model": reply["model"], "device": self._inputs.settings.device}
        files = {"output": self._path("output.npy"), "uncertainty": self._path("uncertainty.npy")}
        self._request = self._ask({**request, **files, **self._annotated()}, self._predicted)

    def _predicted(self, reply: dict[str, Any]) -> None:
        outcome = self._outcome
        outcome.messages += reply.get("messages", [])
        if reply["stopped"] == "request":
            outcome.stopped = "request"
            self._end(outcome)
            return
        if self._complete:  # no slice is left to suggest
            self._suggested({})
            return
        request = {"do": "suggest", "output": reply["output"], "uncertainty": reply["uncertainty"]}
        self._request = self._ask({**request, **self._annotated()}, self._suggested, self._not_suggested)

    def _not_suggested(self, error: SSLSegError) -> None:
        """A prediction without a suggestion is still worth showing."""
        self._outcome.messages.append(str(error))
        self._suggested({})

    def _suggested(self, reply: dict[str, Any]) -> None:
        self._outcome.suggestions = [Suggestion(**row) for row in reply.get("suggestions", [])]
        with_surfaces = self._with_surfaces()
        self._session.submit(lambda: self._read_outputs(with_surfaces), self._arrived, self.fail)

    def _read_outputs(self, with_surfaces: bool) -> Outputs:
        found = self._read("output", "uncertainty", with_surfaces)
        _remove_all_but(self._session.folder, self._outcome.model)
        return found

    def _read(self, labels: str, uncertainty: str, with_surfaces: bool) -> Outputs:
        inputs = self._inputs
        classes = np.load(self._folder / f"{labels}.npy")
        unsure = np.load(self._folder / f"{uncertainty}.npy", mmap_mode="r")  # four times as large as what is kept
        found = outputs(classes, unsure, inputs.geometry, inputs.segments, inputs.axis, with_surfaces)
        del unsure  # Windows removes no file that is in use
        return found

    def _arrived(self, found: Outputs) -> None:
        self._outcome.outputs = found
        self._end(self._outcome)

    def _annotated(self) -> dict[str, Any]:
        """What predict and suggest want to know of the annotation."""
        labels, axis = self._path("labels.npy"), self._inputs.axis
        return {"volume": VOLUME_KEY, "labels": labels, "axis": axis, "segments": self._segments()}

    def _segments(self) -> list[dict[str, Any]]:
        return [segment.as_dict() for segment in self._inputs.segments]

    def _ask(
        self, request: dict[str, Any], on_result: Callable[[dict[str, Any]], None], on_error: OnError | None = None
    ) -> int:
        def on_reply(reply: dict[str, Any]) -> None:
            if not self._finished:
                deliver(reply, on_progress=self._on_progress, on_result=on_result, on_error=on_error or self.fail)

        return self._session.request(request, on_reply)


def save_array(array: np.ndarray, path: Path) -> None:
    """Write a .npy file, all or nothing. Raises :class:`sslseg.errors.OutputError`."""
    with atomic_path(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def _remove_all_but(folder: Path, model: Path | None) -> None:
    """Remove what earlier jobs left, and this one's arrays; logs and the latest model stay."""
    for job in folder.glob("job-*"):
        if model is None or job != model.parent:
            shutil.rmtree(job, ignore_errors=True)
        else:
            for file in job.glob("*.npy"):
                file.unlink(missing_ok=True)
