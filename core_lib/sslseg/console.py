"""What the command line says and where: results on stdout, progress and faults on stderr, Ctrl-C as a request."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from sslseg.progress import OnProgress, Progress, ShouldStop, ignore_progress
from sslseg.protocol import encode

_PIPE_WIDTH = 200
"""Columns for tables that go to a file: wide enough not to cut names."""


class Output:
    """The two voices of a command: sentences and tables for people, or one JSON object for machines.

    Args:
        as_json: nothing but the result goes to stdout, as one JSON object on one line.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._interrupt = _Interrupt()
        self._stdout = sys.stdout  # kept: with JSON, whatever libraries print is led to stderr

    def say(self, text: str) -> None:
        """A line for people; machines find the same in the result."""
        if not self.as_json:
            self._stdout.write(f"{text}\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people; columns of numbers are aligned on the right."""
        if self.as_json:
            return
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(columns):
            words = any(row[number].strip("-–.0123456789") for row in rows)
            table.add_column(Text(column), justify="left" if words else "right", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))  # names are the user's: no markup in them
        width = None if self._stdout.isatty() else _PIPE_WIDTH
        Console(file=self._stdout, width=width, highlight=False).print(table)

    def result(self, fields: dict[str, Any]) -> None:
        """The result for machines: JSON values and paths. What is not finite becomes null."""
        if self.as_json:
            self._stdout.write(encode(_plain(fields)).decode("ascii"))

    def fault(self, message: str, kind: str) -> None:
        """Why there is no result."""
        sys.stderr.write(f"Error: {message}\n")
        self.result({"error": message, "kind": kind})

    @contextlib.contextmanager
    def job(self) -> Iterator[tuple[OnProgress, ShouldStop]]:
        """Show a job and let Ctrl-C stop it: a bar on a terminal, else one line a stage; nothing with JSON."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._interrupt)
            stages = None
            if not self.as_json:
                console = Console(stderr=True, highlight=False, soft_wrap=True)
                bar = stack.enter_context(_bar(console)) if console.is_terminal else None
                stages = _Stages(lambda text: console.print(text, markup=False), bar)
            yield stages.show if stages else ignore_progress, self._interrupt.asked
            if stages:
                stages.finish()


class _Interrupt:
    """Ctrl-C as a request: the first one asks the running job to stop, the second one aborts the command.

    A context manager that may be entered once for each job; what was asked of one job does not stop the next.
    """

    def __init__(self) -> None:
        self._presses = 0
        self._asked = self._told = False

    def asked(self) -> bool:
        """Whether the running job is to stop. Tells the user so the first time."""
        if self._asked and not self._told:
            self._told = True
            sys.stderr.write("Stopping; Ctrl-C again aborts.\n")
        return self._asked

    def __enter__(self) -> None:
        self._asked = self._told = False
        self._mine = threading.current_thread() is threading.main_thread()  # others cannot take signals
        if self._mine:
            self._before = signal.signal(signal.SIGINT, self._pressed)

    def __exit__(self, *_: object) -> None:
        if self._mine:
            signal.signal(signal.SIGINT, self._before)

    def _pressed(self, _signal: int, _frame: FrameType | None) -> None:
        self._presses += 1
        if self._presses > 1:
            raise KeyboardInterrupt
        self._asked = True  # nothing is written here: the signal may have come in the middle of writing


class _Stages:
    """Turns progress reports into lines, one at the end of each stage, and feeds the bar where there is one."""

    def __init__(self, write: Callable[[str], None], bar: Bar | None) -> None:
        self._write = write
        self._bar = bar
        self._task = None if bar is None else bar.add_task("", total=None, figures="", left="")
        self._last: Progress | None = None

    def show(self, progress: Progress) -> None:
        if self._last is not None and self._last.stage != progress.stage:
            self.finish()
        if progress.message:
            self._write(progress.message)
        self._last = progress
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, description=progress.stage, completed=progress.step, total=progress.steps or None,
                figures=_figures(progress), left="" if progress.eta_s is None else f"{duration(progress.eta_s)} left",
            )  # fmt: skip

    def finish(self) -> None:
        if self._last is not None:
            steps = f"{self._last.step} of {self._last.steps}" if self._last.steps else ""
            parts = [part for part in (steps, _figures(self._last), self._last.device) if part]
            self._write(f"{self._last.stage}: {', '.join(parts)}" if parts else self._last.stage)
        self._last = None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _bar(console: Console) -> Bar:
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False), TextColumn("{task.fields[left]}", markup=False),
    )  # fmt: skip
    return Bar(*columns, console=console, transient=True)


def _figures(progress: Progress) -> str:
    loss = None if progress.loss is None else f"loss {progress.loss:.3f}"
    dice = None if progress.dice is None else f"Dice {progress.dice:.3f}"
    speed = None if progress.images_per_s is None else f"{progress.images_per_s:.1f} images/s"
    return ", ".join(part for part in (loss, dice, speed) if part)


def duration(seconds: float) -> str:
    """Seconds as people say them: "12 s", "3 min 05 s"."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
