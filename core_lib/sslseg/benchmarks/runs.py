"""A table of jobs whose results are kept as they come, so that a run can be stopped and resumed.

A job is a plain dictionary that says all that its result depends on; it is also the key under which the result is kept.
Results are lines of JSON. A line that was cut by a kill is left out when the file is read, and its job is done again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import torch

from sslseg.benchmarks.environment import environment
from sslseg.errors import InputError, OutputError
from sslseg.progress import OnProgress, Progress, ShouldStop

Job: TypeAlias = Mapping[str, Any]
"""JSON values."""

Work: TypeAlias = Callable[[Job], Mapping[str, Any]]
"""From a job to its result, JSON values both. Goes to other processes: a function of a module, or a partial of one."""

_LOOK_S = 0.5  # between two looks at whether to stop


@dataclass(frozen=True)
class Row:
    """A job and its result.

    Attributes:
        job: what was done.
        result: what came out.
        environment: where; see :func:`sslseg.benchmarks.environment.environment`.
    """

    job: Job
    result: Mapping[str, Any]
    environment: Mapping[str, Any]


class ResultFile:
    """Rows as lines of JSON in a file that only grows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[Row]:
        """All complete rows, one a job: the latest."""
        found = {}
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        for line in text.splitlines():
            try:
                values = json.loads(line)
                row = Row(values["job"], values["result"], values["environment"])
            except (ValueError, KeyError, TypeError):
                continue
            found[key_of(row.job)] = row
        return list(found.values())

    def append(self, row: Row) -> None:
        """Keep one more row.

        Raises:
            OutputError: the file could not be written.
        """
        line = json.dumps({"job": row.job, "result": row.result, "environment": row.environment}, allow_nan=False)
        try:
            with self.path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read() == b"\n" else "\n" + line  # after one that was cut
                file.write(f"{line}\n".encode())
        except OSError as error:
            raise OutputError(f"{self.path} could not be written: {error.strerror or error}.") from error


def key_of(job: Job) -> str:
    """The same text for equal jobs."""
    return json.dumps(job, sort_keys=True)


def checksum(path: Path) -> str:
    """What tells one file of weights from another in a job.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give a file of pretrained weights.") from error


def run_jobs(  # noqa: PLR0913 - what to do, how, where to, and how to be watched
    jobs: Sequence[Job],
    work: Work,
    results: ResultFile,
    *,
    processes: int,
    threads: int,
    on_progress: OnProgress,
    should_stop: ShouldStop,
) -> bool:
    """Do the jobs that have no result yet, and keep each result as soon as it is there.

    Args:
        jobs: in the order in which they are begun.
        work: does one.
        results: what is known already, and where new results go.
        processes: that work at the same time; with 1 it is this one.
        threads: of each process.
        on_progress: called after each job.
        should_stop: asked between jobs; those that run are finished and kept.

    Returns:
        Whether all jobs are done.
    """
    known = {key_of(row.job) for row in results.rows()}
    todo = [job for job in jobs if key_of(job) not in known]
    started, done = time.monotonic(), 0
    on_progress(Progress("benchmark", 0, len(todo), message=f"{len(jobs) - len(todo)} of {len(jobs)} jobs are known."))
    spread = _here if processes == 1 else partial(_spawned, processes)
    for row in spread(threads, todo, work, should_stop):
        results.append(row)
        done += 1
        eta = (time.monotonic() - started) / done * (len(todo) - done)
        on_progress(Progress("benchmark", done, len(todo), eta_s=eta))
    return done == len(todo)


def _here(threads: int, todo: Sequence[Job], work: Work, should_stop: ShouldStop) -> Iterator[Row]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for job in todo:
            if should_stop():
                return
            yield _row(work, job)
    finally:
        torch.set_num_threads(before)


def _spawned(processes: int, threads: int, todo: Sequence[Job], work: Work, should_stop: ShouldStop) -> Iterator[Row]:
    """Never more jobs in flight than processes, so that a stop need not wait for a queue."""
    waiting = list(reversed(todo))
    running: set[Future[Row]] = set()
    pool = ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (threads,))
    with pool:
        while True:
            while waiting and len(running) < processes and not should_stop():
                running.add(pool.submit(_row, work, waiting.pop()))
            if not running:
                return
            finished, running = wait(running, _LOOK_S, FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def _row(work: Work, job: Job) -> Row:
    started = time.perf_counter()
    result = work(job)
    return Row(job, {"seconds": round(time.perf_counter() - started, 2), **result}, environment())
