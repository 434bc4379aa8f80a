"""The part of the loop about what a training has found: what may be done with it, and doing it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from sslseg.annotation import Segment
from sslseg.errors import InputError, SSLSegError
from sslseg.files import atomic_path
from SSLSegmentLib.apply_job import ApplyJob
from SSLSegmentLib.export import Export, add_to_database, suggested_name
from SSLSegmentLib.hardware import Hardware
from SSLSegmentLib.loop_job import Suggestion
from SSLSegmentLib.loop_nodes import LoopNodes
from SSLSegmentLib.loop_overlay import Overlay
from SSLSegmentLib.loop_session import WorkerSession
from SSLSegmentLib.loop_state import Availability, State, availability
from SSLSegmentLib.result import Result, SegmentVolume
from SSLSegmentLib.slice_views import jump_to_slice, slice_in_view


class LoopResults(LoopNodes):
    """See :class:`SSLSegmentLib.loop.AnnotationLoop`, which this is a part of."""

    state: State
    messages: list[str]
    error: SSLSegError | None
    result: Result | None
    suggestions: list[Suggestion]
    model_path: Path | None
    overlay: Overlay
    worker: WorkerSession
    apply: ApplyJob
    hardware: Hardware

    def availability(self, action: str) -> Availability:
        """Whether one of :data:`SSLSegmentLib.loop_state.ACTIONS` is possible now, and all that is missing for it."""
        return availability(self, action)

    def _require(self, action: str) -> None:
        reasons = self.availability(action).reasons
        if reasons:
            raise InputError(" ".join(reasons))

    @property
    def result_axis(self) -> int:
        """Array axis of the prediction and its suggestions, whatever was chosen since; :attr:`axis` without one."""
        return self.result.axis if self.result is not None else self.axis

    def suggest_next(self) -> Suggestion | None:
        """The slice that it would help most to annotate; those annotated meanwhile are left out."""
        annotated = set(self.user.used_slices(self.result_axis))
        return next((entry for entry in self.suggestions if entry.index not in annotated), None)

    def jump_to(self, index: int, axis: int | None = None) -> int:
        """Move all slice views that show such slices to one of the volume; nothing else in them changes.

        Args:
            index: of the slice.
            axis: along which array axis, if not along :attr:`axis`.

        Returns:
            How many views show it now.

        Raises:
            InputError: there is no volume, or no such slice.
        """
        return jump_to_slice(self._scene, self.user.volume, self.axis if axis is None else axis, index)

    def slice_in_view(self, axis: int | None = None) -> int | None:
        """The slice along an array axis (or :attr:`axis`) that the user looks at; None where no view shows one."""
        return slice_in_view(self._scene, self.user.volume, self.axis if axis is None else axis)

    def segment_volumes(self) -> list[SegmentVolume]:
        """How large each predicted segment is, in the order of the segments; empty where there is no prediction."""
        return list(self.result.volumes) if self.result else []

    def update_display(self) -> None:
        """Show the result as the settings say now; to be called after any of them has changed."""
        self.overlay.update_display()

    def accept_slice(self, index: int) -> None:
        """Copy one predicted slice into the user's segmentation, as one undo step. It is annotated from then on.

        In a large volume this takes a few polls, see :attr:`accepting`.

        Raises:
            InputError: there is no prediction, or no such slice.
        """
        self._require("accept_slice")
        self._accept([index])

    def accept_all(self) -> None:
        """Copy every slice that is not annotated into the user's segmentation, as one undo step.

        Where single voxels are annotated rather than slices (there is a background segment), that is every slice.
        In a large volume this takes a few polls, see :attr:`accepting`.

        Raises:
            InputError: there is no prediction, or every slice is annotated.
        """
        self._require("accept_all")
        self._accept(None)

    @property
    def accepting(self) -> bool:
        """Whether an acceptance is under way: poll until it is not."""
        return self.acceptance.busy

    def undo(self) -> None:
        """Take the last accepting back.

        Raises:
            InputError: nothing was accepted, or the segmentation has been changed since.
        """
        self._require("undo")
        self.acceptance.undo()

    def discard(self) -> None:
        """Remove the prediction and its uncertainty from the scene. The model stays.

        Raises:
            InputError: there is no prediction, or a training is running.
        """
        self._require("discard")
        self.overlay.remove()
        self._drop_result()

    def save_model(self, path: str | Path) -> None:
        """Copy the latest model to ``path``.

        Raises:
            InputError: there is no model.
            OutputError: the file cannot be written.
        """
        self._require("save_model")
        with atomic_path(path) as temporary:
            shutil.copyfile(str(self.model_path), temporary)

    def export(self, folder: str | Path | None = None, formats: Sequence[str] | None = None) -> list[Path]:
        """Write the user's segmentation to files named after it, and wait; without arguments, as the settings say.

        Raises:
            InputError: there is nothing to export, no folder or no format is chosen, or there is no such format.
            OutputError: a file cannot be written.
        """
        return self._exported(self._prepared_export(folder, formats).write())

    def start_export(self, then: Callable[[list[Path]], None], failed: Callable[[SSLSegError], None]) -> None:
        """Do the same as :meth:`export` without waiting, as the settings say; how it ended is told in a later poll.

        Raises:
            InputError: there is nothing to export, no folder or no format is chosen, or there is no such format.
        """
        write = self._prepared_export(None, None).write
        voxels = self.volume.GetImageData().GetNumberOfPoints()

        def succeed(written: tuple[list[Path], list[str]]) -> None:
            then(self._exported(written))
            self._changed()

        def fail(error: SSLSegError) -> None:
            failed(error)
            self._changed()

        self.worker.submit(write, succeed, fail, voxels=voxels)
        self._changed()

    def _prepared_export(self, folder: str | Path | None, formats: Sequence[str] | None) -> Export:
        self._require("export")
        target = folder or self.settings.export_folder
        if not target:
            raise InputError("Choose a folder to export to.")
        wanted = formats or self.settings.export_formats
        if not wanted:
            raise InputError("Choose at least one format to export.")
        return Export(
            self.segmentation,
            self.volume,
            target,
            formats=wanted,
            base_name=self.settings.export_name or suggested_name(self.segmentation, self.volume),
        )

    def _exported(self, written: tuple[list[Path], list[str]]) -> list[Path]:
        paths, told = written
        self.messages += told
        dicom = [path for path in paths if path.suffix == ".dcm"]
        if dicom and self.settings.export_to_database and add_to_database(dicom):
            self.messages.append("The DICOM SEG is in the DICOM database, too.")
        return paths

    def _drop_result(self) -> None:
        """What cannot be seen any more cannot be accepted."""
        self.result = None
        self.suggestions = []
        self._enter(self.state if self.state.busy else State.IDLE)

    def _accept(self, slices: Sequence[int] | None) -> None:
        assert self.result is not None
        if self.state is State.FAILED:  # the user has read why, and goes on
            self.state, self.error = State.DONE, None
        slices = slices or self.acceptance.open_slices(self.result)
        self.acceptance.accept(self.result, slices, self._accepted, self._fail)
        self._changed()

    def _accepted(self, left_out: tuple[Segment, ...]) -> None:
        self.messages += [f"'{segment.name}' was left out: there is no such segment any more." for segment in left_out]
        self._changed()

    def _fail(self, error: SSLSegError) -> None:
        """Be ``FAILED``."""
        raise NotImplementedError

    def _enter(self, state: State) -> None:
        """Be in ``state``, and say so."""
        raise NotImplementedError

    def _changed(self) -> None:
        """Say that something that a panel shows may have changed."""
        raise NotImplementedError
