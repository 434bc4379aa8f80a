"""The slices of many images in one memory-mapped file, so that data sets larger than memory can be trained on.

A store is two files: the slices as float16 in one flat .npy array, and an index in JSON.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from sslseg.errors import InputError, SSLSegError
from sslseg.files import atomic_path, check_writable
from sslseg.itk_io import itk_session
from sslseg.pretrain_data import DataSet, fingerprint, read_images
from sslseg.progress import OnProgress, Progress, ShouldStop
from sslseg.slices import InPlaneGrid, SliceStack, plane_of

_VERSION = 1
_LEAST_STD = 0.05  # of a slice of a volume of unit variance; below lies air, or nothing
_MOST_THREADS = 8
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class SliceStore:
    """Slices of the data sets of a pretraining.

    Attributes:
        values: float16, all slices one after the other, memory-mapped.
        offsets: int64 (slices,), where each begins.
        sizes: int64 (slices, 2), rows and columns of each.
        domains: int64 (slices,), index of the data set of each.
        data_sets: those that slices come from.
        skipped: a sentence for each source that could not be used.
        key: of the data and of how they were prepared.
    """

    values: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    domains: np.ndarray
    data_sets: tuple[DataSet, ...]
    skipped: tuple[str, ...]
    key: str

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> np.ndarray:
        """A slice as float16 (rows, columns); a view of the file."""
        rows, columns = (int(n) for n in self.sizes[index])
        start = int(self.offsets[index])
        return self.values[start : start + rows * columns].reshape(rows, columns)


def open_store(  # noqa: PLR0913 - what decides on the content, and the two ends of a job
    folder: Path,
    data_sets: Sequence[DataSet],
    *,
    max_pixels: int,
    spacing_mm: float | None,
    on_progress: OnProgress,
    should_stop: ShouldStop,
) -> SliceStore:
    """The store of ``data_sets`` in ``folder``; built where it is not there or the data have changed.

    Args:
        folder: made where it does not exist; holds one store for each set of data.
        data_sets: with their sources.
        max_pixels: the most pixels along the longer side of a slice.
        spacing_mm: pixel size; None: square pixels at the finer native spacing of each image.
        on_progress: told of each source, and of each one that is skipped.
        should_stop: polled between sources.

    Raises:
        InputError: no source could be read, or the folder cannot be written.
        OutputError: the disk is full; no half store stays.
        SSLSegError: stopped on request.
    """
    key = "-".join(str(part) for part in (fingerprint(data_sets), _VERSION, max_pixels, spacing_mm or "native"))
    values_path, index_path = folder / f"slices-{key}.npy", folder / f"slices-{key}.json"
    if not index_path.is_file() or not values_path.is_file():
        check_writable(index_path)
        sources = [(number, path) for number, data_set in enumerate(data_sets) for path in data_set.sources]
        with atomic_path(values_path) as temporary, temporary.open("wb") as file:
            index = _build(file, sources, (max_pixels, spacing_mm), on_progress, should_stop)
        with atomic_path(index_path) as temporary:  # last: a store with an index is complete
            temporary.write_text(json.dumps(index), encoding="utf-8")
    index = json.loads(index_path.read_text(encoding="utf-8"))
    sizes = np.array(index["sizes"], np.int64)
    ends = np.cumsum(sizes.prod(axis=1))
    return SliceStore(
        np.load(values_path, mmap_mode="r"), ends - sizes.prod(axis=1), sizes, np.array(index["domains"], np.int64),
        tuple(data_sets), tuple(index["skipped"]), key,
    )  # fmt: skip


def _build(
    file: BinaryIO,
    sources: Sequence[tuple[int, Path]],
    size: tuple[int, float | None],
    on_progress: OnProgress,
    should_stop: ShouldStop,
) -> dict[str, list]:
    """Write the slices to ``file``; returns the index."""
    index: dict[str, list] = {"sizes": [], "domains": [], "skipped": []}
    _write_header(file, 0)
    count = 0
    for done, ((domain, path), found) in enumerate(zip(sources, _read_all(sources, size), strict=True), start=1):
        if should_stop():
            raise SSLSegError("Stopped while the images were being prepared: nothing was kept.")
        message = ""
        try:
            slices = found.result()
        except (InputError, OSError, RuntimeError) as error:  # one odd file must not end hours of preparing
            slices, message = [], f"Skipped: {error}"
            index["skipped"].append(str(error))
        if not slices and not message:
            message = f"Skipped: {path} has no slice that shows something."
            index["skipped"].append(message.removeprefix("Skipped: "))
        for image in slices:
            file.write(image.tobytes())
            index["sizes"].append(list(image.shape))
            index["domains"].append(domain)
            count += image.size
        on_progress(Progress("preparing images", done, len(sources), message=message))
    if not index["sizes"]:
        raise InputError(
            f"None of the {len(sources)} images found can be used ({index['skipped'][0].rstrip('.')}): give others."
        )
    file.seek(0)
    _write_header(file, count)
    return index


def _read_all(
    sources: Sequence[tuple[int, Path]], size: tuple[int, float | None]
) -> Iterator[Future[list[np.ndarray]]]:
    """The slices of each source in order, read ahead by a few threads: only a few images are in memory at once."""
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    # One session around all threads: they would switch ITK's warnings on and off under each other.
    with itk_session(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[np.ndarray]]] = deque()
        try:
            for _, path in sources:
                waiting.append(pool.submit(_slices_of, path, *size))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()


def _slices_of(path: Path, max_pixels: int, spacing_mm: float | None) -> list[np.ndarray]:
    """The slices of one source that show something, along its coarsest axis, float16."""
    kept = []
    for volume in read_images(path):
        axis = volume.geometry.default_axis()
        native, spacing = plane_of(volume, axis)
        grid = InPlaneGrid.fit(native, spacing, max_pixels=max_pixels, model_spacing_mm=spacing_mm)
        images = SliceStack.from_volume(volume, axis, grid, _CPU).images[:, 0]
        shows = images.flatten(1).std(1) > _LEAST_STD
        kept += [image.half().numpy() for image in images[shows]]
    return kept


def _write_header(file: BinaryIO, count: int) -> None:
    """The header of a flat .npy array; its length does not depend on ``count``, so that it can be written again."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": (count,)})
