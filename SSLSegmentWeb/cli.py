"""``sslsegment-web``: options, and what has to be there before anything is started."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import os
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any
from urllib.parse import quote

import click

from sslseg.cli import FILE, call, run
from sslseg.errors import InputError
from SSLSegmentWeb.access import Access, is_loopback, random_token
from SSLSegmentWeb.rendering import rendering_environment

RANDOM = ""
"""What ``--token`` without a value is."""
NEEDED = ("aiohttp", "psutil", "slicer", "trame", "trame_slicer")
MB = 1_000_000


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("volume", type=FILE, required=False)
@click.argument("segmentation", type=FILE, required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; this machine only.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--data-dir", type=FILE, metavar="DIR", help="Users may open the images in this folder.")
@click.option(
    "--token",
    is_flag=False,
    flag_value=RANDOM,
    metavar="[VALUE]",
    envvar="SSLSEGMENT_TOKEN",
    help="What users have to know; random without VALUE, and for every host but this machine.",
)
@click.option(
    "--upload-limit",
    type=click.FloatRange(0, min_open=True),
    default=1000,
    show_default=True,
    metavar="MB",
    help="The largest upload.",
)
@click.option(
    "--keep",
    type=click.FloatRange(0, min_open=True),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="How long a session waits for a closed page to come back.",
)
@click.option(
    "--max-sessions",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="How many browsers may work at once.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser of this machine.")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
def command(*, debug: bool, **options: Any) -> None:
    """Serve SSLSegment to browsers.

    VOLUME is NRRD, NIfTI or MHA, and SEGMENTATION a .seg.nrrd or a label map on its grid; every new page begins with
    them. Each browser has a session of its own. The connection is not encrypted: between machines, use an SSH tunnel,
    or a server with TLS in front.
    """
    run(lambda output: _start(output, SimpleNamespace(**options)), as_json=False, debug=debug)


def _start(output: Any, options: SimpleNamespace) -> None:
    check_paths(options.volume, options.segmentation, options.data_dir)
    access = Access(options.host, chosen_token(options.token, options.host))
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{missing[0]} is not installed: install SSLSegment with its extra 'web'.")
    environment = rendering_environment(os.environ)
    asyncio.run(serve(output, options, access, environment))


async def serve(output: Any, options: Any, access: Access, environment: dict[str, str]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        output: where the address is told.
        options: of :func:`command`, as attributes.
        access: who may come in.
        environment: of the sessions.

    Raises:
        InputError: it cannot listen there, or the first session could not open what was given.
    """
    from SSLSegmentWeb.gate import Gate, listen  # noqa: PLC0415 - aiohttp may be missing
    from SSLSegmentWeb.session_process import Recipe  # noqa: PLC0415 - as above
    from SSLSegmentWeb.sessions import Sessions  # noqa: PLC0415 - as above

    limit = int(options.upload_limit * MB)
    recipe = Recipe(options.data_dir, options.volume, options.segmentation, limit, environment)
    sessions = Sessions(recipe, options.keep * 60, options.max_sessions)
    gate = Gate(access, sessions, limit)
    with _asked_to_end() as ended:
        try:
            runner, port = await listen(gate.application(), options.host, options.port)
        except OSError as error:
            raise InputError(_cannot_listen(options, error)) from error
        try:
            begun, asked = asyncio.create_task(sessions.begin()), asyncio.create_task(ended.wait())
            await asyncio.wait({begun, asked}, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                if begun.result():
                    raise InputError(begun.result())
                _announce(output, options, access, port)
                await asked
        finally:
            await runner.cleanup()


def check_paths(volume: Path | None, segmentation: Path | None, data_dir: Path | None) -> None:
    """Say what is not there before anything is started.

    Raises:
        InputError: a file or folder is missing.
    """
    for name, path in (("volume", volume), ("segmentation", segmentation)):
        if path is not None and not path.exists():
            raise InputError(f"The {name} {path} is not there: check its name.")
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"--data-dir {data_dir} is not a folder: check its name.")


def chosen_token(given: str | None, host: str) -> str | None:
    """The token of this run: random where it has to be and none was given.

    Raises:
        InputError: the value is a file, most likely one of the arguments.
    """
    if given is None:
        return None if is_loopback(host) else random_token()
    if given and Path(given).exists():
        raise InputError(f"--token took {given} for its value: put --token behind the files.")
    return given or random_token()


def address(access: Access, port: int, token: str | None) -> str:
    """Where the first page is, with the token if one is needed."""
    host = f"[{access.public_name}]" if ":" in access.public_name else access.public_name
    return f"http://{host}:{port}/" + (f"?token={quote(token)}" if token else "")


def _announce(output: Any, options: Any, access: Access, port: int) -> None:
    url = address(access, port, access.token)
    output.say(f"SSLSegment is ready: {url}\nCtrl-C ends it.")
    sys.stdout.flush()
    # "start": the page of an earlier run may have left its cookie. A ticket: the list of processes shows the address.
    if options.open_page and _has_screen():
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(address(access, port, access.new_ticket()) if access.token else f"{url}?start=1")


def _has_screen() -> bool:
    """Without one, ``webbrowser`` would start a browser in the terminal, which cannot show the page."""
    return sys.platform in {"win32", "darwin"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _cannot_listen(options: Any, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {options.port} is in use by another program: choose another --port, or 0 for any free one."
    if error.errno == errno.EACCES:
        return f"Port {options.port} is for the administrator only: choose a --port above 1023."
    return f"Cannot listen at {options.host}, port {options.port} ({error.strerror}): check --host and --port."


@contextlib.contextmanager
def _asked_to_end() -> Iterator[asyncio.Event]:
    """An event for Ctrl-C and its like, on every platform; a second one changes nothing."""
    ended, running = asyncio.Event(), asyncio.get_running_loop()
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]

    def ask(_signal: int, _frame: FrameType | None) -> None:
        running.call_soon_threadsafe(ended.set)

    before: list[tuple[int, Callable[..., Any] | int | None]] = [(s, signal.signal(s, ask)) for s in signals]
    try:
        yield ended
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; the entry point of ``sslsegment-web``.

    Returns:
        The exit code: 0 ended when asked to, 1 failed, 2 bad input.
    """
    return call(command, arguments, "sslsegment-web")
