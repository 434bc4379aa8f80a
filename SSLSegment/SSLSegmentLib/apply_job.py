"""Apply a finished model to other volumes of the scene, or to a folder of images. No Qt.

The worker of the loop does it, which has the model in memory: a second one would fight with it for processor and GPU.
So a training cannot be started meanwhile, nor the other way round; both say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from sslseg.annotation import Segment
from sslseg.errors import CheckpointError, DeviceError, InputError, OutputError, SSLSegError
from sslseg.geometry import Geometry
from sslseg.header import read_header
from sslseg.progress import Progress
from SSLSegmentLib import mrml
from SSLSegmentLib.apply_targets import ENDINGS, ImageTarget, Plan, VolumeTarget, plan_folder
from SSLSegmentLib.background_job import BackgroundJob, JobState
from SSLSegmentLib.loop_job import VOLUME_KEY, save_array
from SSLSegmentLib.loop_state import Availability
from SSLSegmentLib.oriented_image import label_image
from SSLSegmentLib.requirements import unmet

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop

__all__ = ["ENDINGS", "ApplyJob"]

_SAME_FOR_ALL = (OutputError, CheckpointError, DeviceError)
_MODEL_METHOD = "finetune"
_VOLUME, _LABEL_MAP = "vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode"
_PARTS = 100  # that a volume counts as in the progress over all


class ApplyJob(BackgroundJob):
    """Segments one volume or image after the other with the latest model, or with ``settings.apply_model``.

    Each volume gets a new segmentation node "NAME prediction", with the names, colours and terminology of the trained
    segments. Each image file gets a file beside it, or at the same place below ``settings.apply_output_folder``:
    "NAME.seg.nrrd" or "NAME_seg.nii.gz". An image that cannot be read, or whose result is there already, is skipped
    with a sentence in ``messages``. A cancel keeps what is finished.

    Attributes:
        total: volumes or images to segment.
        skipped: how many were left out, each with a sentence in ``messages``.
        results: the segmentation nodes that were made.
        written: the files that were written.
    """

    def __init__(self, loop: AnnotationLoop, scene: slicer.vtkMRMLScene, on_changed: Callable[[], None]) -> None:
        super().__init__(on_changed)
        self._loop = loop
        self._scene = scene
        self._waiting: list[VolumeTarget | ImageTarget] = []
        self._model = ""
        self._segments: tuple[Segment, ...] = ()
        self._name = ""
        self._began = 0.0
        self._left_out = 0
        self._jobs = 0
        self.total = 0
        self.skipped = 0
        self.results: list[Any] = []
        self.written: list[Path] = []

    def candidates(self) -> list[Any]:
        """The scalar volumes of the scene but label maps, uncertainty, and the one that a training predicts anyway."""
        count = self._scene.GetNumberOfNodesByClass(_VOLUME)
        volumes = [self._scene.GetNthNodeByClass(n, _VOLUME) for n in range(count)]
        trained_on = None if self._loop.settings.apply_model else self._loop.volume
        left_out = (trained_on, self._loop.overlay.uncertainty)
        return [node for node in volumes if node not in left_out and not node.IsA(_LABEL_MAP)]

    def availability(self, action: str = "start") -> Availability:
        """What is missing for "start" (volumes of the scene), "start_folder" or "cancel"."""
        if action == "cancel":
            return self._for_cancel("No model is being applied.")
        reasons = unmet()
        if self.state.busy:
            reasons.append("The model is being applied: wait for it, or stop it.")
        if self._loop.state.busy:
            reasons.append("A training is running: wait for it, or stop it.")
        if not (self._loop.settings.apply_model or self._loop.model_path):
            reasons.append("There is no model yet: train first, or choose a saved one.")
        if action == "start_folder" and not self._loop.settings.apply_folder:
            reasons.append("Choose a folder of images.")
        if action == "start_folder" and self._loop.settings.apply_ending not in ENDINGS:
            reasons.append(f"There is no format {self._loop.settings.apply_ending}: choose {' or '.join(ENDINGS)}.")
        return Availability(tuple(reasons))

    def start(self, volumes: Sequence[Any]) -> None:
        """Segment volume nodes of the scene.

        Raises:
            InputError: something is missing, no volume is given, or the saved model cannot be used.
            SSLSegError: the worker cannot be started.
        """
        self._require(self.availability())
        if not volumes:
            raise InputError("Choose at least one volume that the model has not learned from.")
        self._start()
        self._work(Plan([VolumeTarget(node.GetName(), node) for node in volumes], []))

    def start_folder(self, *, overwrite: bool = False) -> None:
        """Segment all images below ``settings.apply_folder``.

        Args:
            overwrite: replace results that are there already.

        Raises:
            InputError: something is missing, or the saved model cannot be used.
            SSLSegError: the worker cannot be started.
        """
        self._require(self.availability("start_folder"))
        settings = replace(self._loop.settings)
        self._start()

        def found(reply: dict[str, Any]) -> None:
            if self._stopping:
                self._end(JobState.CANCELLED)
                return
            plan = partial(plan_folder, reply["images"], settings, overwrite=overwrite)
            self._submit(self._loop.worker, plan, self._work)

        self._ask(self._loop.worker, {"do": "find", "folder": settings.apply_folder}, found)

    def close(self) -> None:
        """Forget the run; the owner ends the worker."""
        self._end(JobState.IDLE)

    @property
    def summary(self) -> str:
        """How far it is, or how it ended, in one sentence: "3 of 5 segmented, 1 skipped." Empty before the start."""
        if self.state is JobState.IDLE or not self.total:
            return ""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        ending = {JobState.CANCELLED: "Cancelled: ", JobState.FAILED: "Failed: "}.get(self.state, "")
        return f"{ending}{len(self.results) + len(self.written)} of {self.total} segmented{skipped}."

    def _start(self) -> None:
        model = self._loop.settings.apply_model or str(self._loop.model_path)
        self._segments = _segments_of(model)
        self._model = model
        self._loop.worker.start()
        self._loop.hardware.give_way()
        self._jobs += 1
        self.total = self.skipped = 0
        self.results, self.written = [], []
        self._began = time.monotonic()
        self._begin("looking for images")

    def _work(self, plan: Plan) -> None:
        self._waiting = list(plan.targets)
        self.total = len(plan.targets) + len(plan.skipped)
        self.skipped = self._left_out = len(plan.skipped)
        self._take_messages(plan.skipped)
        self._next()

    def _next(self) -> None:
        """Begin with the next target, or end."""
        while self._waiting and not self._stopping:
            target = self._waiting.pop(0)
            self._name = target.name
            self.progress = self._report(0.0)
            self._on_changed()
            try:
                if isinstance(target, VolumeTarget):
                    self._begin_volume(target)
                else:
                    self._begin_image(target)
            except InputError as error:
                self._skip(str(error))
            else:
                return
        self._end(JobState.CANCELLED if self._stopping else JobState.DONE)

    def _skip(self, reason: str) -> None:
        self.skipped += 1
        self.messages.append(f"Skipped: {reason}")

    def _skip_and_go_on(self, error: SSLSegError) -> None:
        """An image that cannot be read is one less; a disk that is full is full for all that follow."""
        if isinstance(error, _SAME_FOR_ALL):
            self.fail(error)
            return
        self._skip(str(error))
        self._next()

    def _begin_image(self, target: ImageTarget) -> None:
        def written(_: dict[str, Any]) -> None:
            self.written.append(target.output)
            self._next()

        self._load({"image": str(target.path)}, str(target.output), written)

    def _begin_volume(self, target: VolumeTarget) -> None:
        self._check_present(target)
        array, geometry = mrml.scalar_voxels(target.node), mrml.volume_geometry(target.node)
        folder = self._loop.worker.folder / f"apply-{self._jobs}"
        source, output = folder / "volume.npy", folder / "output.npy"

        def write() -> None:
            folder.mkdir(exist_ok=True)
            save_array(array, source)

        def read() -> tuple[np.ndarray, slicer.vtkOrientedImageData]:
            labels = np.load(output)
            for file in (source, output):
                file.unlink()
            return labels, label_image(labels, geometry)

        def predicted(_: dict[str, Any]) -> None:
            self._submit(self._loop.worker, read, partial(self._show, target, geometry))

        def load(_: None) -> None:
            request = {"array": str(source), "geometry": asdict(geometry), "name": target.name}
            self._load(request, str(output), predicted)

        self._submit(self._loop.worker, write, load)

    def _load(self, source: dict[str, Any], output: str, then: Callable[[dict[str, Any]], None]) -> None:
        """Let the worker read an image, and go on to :meth:`_predict`."""
        if self._stopping:
            self._end(JobState.CANCELLED)
            return
        self._loop.worker.holds = None
        request = {"do": "load", "volume": VOLUME_KEY, **source}
        self._ask(self._loop.worker, request, lambda _: self._predict(output, then), self._skip_and_go_on)

    def _predict(self, output: str, then: Callable[[dict[str, Any]], None]) -> None:
        if self._stopping:
            self._end(JobState.CANCELLED)
            return

        def predicted(reply: dict[str, Any]) -> None:
            self._take_messages(reply.get("messages", []))
            if reply["stopped"] == "request":
                self._end(JobState.CANCELLED)
            else:
                then(reply)

        request = {"do": "predict", "model": self._model, "volume": VOLUME_KEY, "output": output}
        device = {"device": self._loop.settings.device}
        self._ask(self._loop.worker, {**request, **device}, predicted, self._skip_and_go_on)

    def _show(
        self, target: VolumeTarget, geometry: Geometry, found: tuple[np.ndarray, slicer.vtkOrientedImageData]
    ) -> None:
        labels, image = found
        try:
            self._check_present(target)
            self._check_unchanged(target, geometry)
            name = self._scene.GenerateUniqueName(f"{target.node.GetName()} prediction")
            node = mrml.show_prediction(self._scene, target.node, labels, self._segments, name=name, image=image)
        except InputError as error:
            self._skip(str(error))
        else:
            self.results.append(node)
        self._next()

    def _check_present(self, target: VolumeTarget) -> None:
        if not self._scene.IsNodePresent(target.node):
            raise InputError(f"The volume '{target.name}' was removed from the scene.")

    @staticmethod
    def _check_unchanged(target: VolumeTarget, geometry: Geometry) -> None:
        if mrml.volume_geometry(target.node).difference(geometry):
            raise InputError(f"The volume '{target.name}' was changed meanwhile: apply the model to it again.")

    def _on_progress(self, progress: Progress) -> None:
        """One volume's progress as a part of the whole."""
        share = progress.step / progress.steps if progress.steps else 0.0
        super()._on_progress(replace(self._report(share), message=progress.message, device=progress.device))

    def _report(self, share: float) -> Progress:
        """Where the job is when ``share`` of the present target is done."""
        worked_off = self.total - self._left_out - len(self._waiting) - 1 + share
        rest = len(self._waiting) + 1 - share
        eta = (time.monotonic() - self._began) / worked_off * rest if worked_off > 0 else None
        step = round(_PARTS * (self._left_out + worked_off))
        return Progress(f"segmenting {self._name}", step, _PARTS * self.total, eta_s=eta)


def _segments_of(model: str) -> tuple[Segment, ...]:
    """The segments that a model knows.

    Raises:
        CheckpointError: it is no model.
    """
    header = read_header(model)
    if header["method"] != _MODEL_METHOD:
        raise CheckpointError(f"{model} holds pretrained weights, which cannot segment yet: choose a trained model.")
    return tuple(Segment.from_dict(entry) for entry in header["classes"])
