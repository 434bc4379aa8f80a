"""How the server finds out whether a session can draw."""

import ctypes
import os
import subprocess
import sys

import pytest

from sslseg.errors import InputError
from SSLSegmentWeb import rendering
from SSLSegmentWeb.rendering import EGL, OSMESA, VARIABLE, rendering_environment


@pytest.mark.parametrize(
    ("platform", "base", "there", "expected"),
    [
        ("linux", {}, {EGL, OSMESA}, {VARIABLE: EGL}),
        ("linux", {"A": "1"}, {OSMESA}, {"A": "1", VARIABLE: OSMESA}),
        ("linux", {VARIABLE: "vtkXOpenGLRenderWindow"}, set(), {VARIABLE: "vtkXOpenGLRenderWindow"}),
        ("win32", {}, set(), {}),
        ("darwin", {"A": "1"}, set(), {"A": "1"}),
    ],
)
def test_kind_of_window(platform, base, there, expected):
    assert rendering_environment(base, platform, there.__contains__) == expected


def test_nothing_to_draw_with_is_explained():
    with pytest.raises(InputError, match="apt install libegl1") as fault:
        rendering_environment({}, "linux", lambda _: False)
    assert fault.value.exit_code == 2


def test_this_machine_can_draw():
    assert rendering_environment({}, sys.platform)


def test_libraries_that_are_not_there(monkeypatch):
    monkeypatch.setattr(rendering, "LIBRARIES", {EGL: ("libnothere.so",), OSMESA: ("libnothere.so.8",)})
    assert not rendering.can_draw(EGL)
    assert not rendering.can_draw(OSMESA)


@pytest.mark.parametrize("answer", [0, 1])
def test_a_driver_that_does_not_start(monkeypatch, answer):
    """A library that has the functions of EGL, and a display that cannot be initialised."""

    class Function:
        def __init__(self, result):
            self.result = result

        def __call__(self, *_):
            return self.result

    class Library:
        eglGetDisplay = Function(4711)  # noqa: N815 - EGL's name
        eglInitialize = Function(answer)  # noqa: N815
        eglGetProcAddress = Function(None)  # noqa: N815

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    assert rendering.can_draw(EGL) is bool(answer)


@pytest.mark.skipif(sys.platform == "win32", reason="the probe is for Linux")
def test_a_driver_that_crashes_does_not_take_the_server_along(monkeypatch, tmp_path):
    (tmp_path / "ctypes.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    crashed = subprocess.run([sys.executable, "-c", "import ctypes"], check=False)
    assert crashed.returncode == -11
    assert rendering.probe(EGL) is False


def test_the_command_explains_what_to_install():
    """Without a driver the command ends with one sentence before anything is started."""
    script = (
        "import sys; from SSLSegmentWeb import rendering; from SSLSegmentWeb.cli import main; "
        "rendering.LIBRARIES = {}; rendering.probe = lambda window: False; sys.exit(main(['--port', '0']))"
    )
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr == f"Error: {rendering.NOT_FOUND}\n"
