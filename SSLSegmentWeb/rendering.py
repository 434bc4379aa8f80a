"""How a session draws without a screen: EGL or OSMesa, whichever this machine has.

A broken driver can end the process that asks it, so a child process asks: ``python -m SSLSegmentWeb.rendering NAME``.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

from sslseg.errors import InputError
from SSLSegmentLib.worker_process import creation_flags, python_executable, worker_environment

VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
EGL = "vtkEGLRenderWindow"
OSMESA = "vtkOSOpenGLRenderWindow"
LIBRARIES = {EGL: ("libEGL.so.1", "libEGL.so"), OSMESA: ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")}
"""What VTK loads for each kind of window, in its order."""
NOT_FOUND = (
    "The views cannot be drawn, because this machine has neither EGL nor OSMesa: install one of them "
    "(Debian and Ubuntu: apt install libegl1 libgl1-mesa-dri; Fedora: dnf install mesa-libEGL mesa-dri-drivers)."
)
_PROBE_S = 20.0
_MAX_DEVICES = 32
_EGL_PLATFORM_DEVICE = 0x313F
_OSMESA_RGBA = 0x1908


def rendering_environment(
    base: Mapping[str, str], platform: str = sys.platform, works: Callable[[str], bool] | None = None
) -> dict[str, str]:
    """``base`` with the kind of window that VTK shall open. Who has chosen one keeps it.

    Raises:
        InputError: there is no way to draw; the sentence says what to install.
    """
    if platform in {"win32", "darwin"} or base.get(VARIABLE):
        return dict(base)
    window = next(filter(works or probe, (EGL, OSMESA)), None)
    if window is None:
        raise InputError(NOT_FOUND)
    return {**base, VARIABLE: window}


def probe(window: str) -> bool:
    """Whether a kind of window can be opened, by a process of its own."""
    try:
        answer = subprocess.run(
            [str(python_executable()), "-m", "SSLSegmentWeb.rendering", window],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
            env=worker_environment(os.environ),
            creationflags=creation_flags(),
        )
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0


def can_draw(window: str) -> bool:
    """Load the library of a kind of window and let it start. May crash where a driver is broken."""
    library = next(filter(None, map(_load, LIBRARIES[window])), None)
    if library is None:
        return False
    return _starts_egl(library) if window == EGL else _starts_osmesa(library)


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _starts_egl(library: ctypes.CDLL) -> bool:
    """Whether the default display or that of a device can be initialised; a server without a screen has devices."""
    library.eglGetDisplay.restype = ctypes.c_void_p
    library.eglGetDisplay.argtypes = [ctypes.c_void_p]
    library.eglInitialize.argtypes = [ctypes.c_void_p] * 3
    displays = itertools.chain([library.eglGetDisplay(None)], _device_displays(library))
    return any(display and library.eglInitialize(display, None, None) for display in displays)


def _device_displays(library: ctypes.CDLL) -> Iterator[int | None]:
    """By the extensions EGL_EXT_device_enumeration and EGL_EXT_platform_device."""
    library.eglGetProcAddress.restype = ctypes.c_void_p
    query, display_of = map(library.eglGetProcAddress, (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT"))
    if not (query and display_of):
        return
    query_devices = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(query)
    platform_display = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)(display_of)
    devices, count = (ctypes.c_void_p * _MAX_DEVICES)(), ctypes.c_int()
    if query_devices(_MAX_DEVICES, devices, ctypes.byref(count)):
        for device in devices[: count.value]:
            yield platform_display(_EGL_PLATFORM_DEVICE, device, None)


def _starts_osmesa(library: ctypes.CDLL) -> bool:
    library.OSMesaCreateContext.restype = ctypes.c_void_p
    library.OSMesaCreateContext.argtypes = [ctypes.c_uint, ctypes.c_void_p]
    return bool(library.OSMesaCreateContext(_OSMESA_RGBA, None))


if __name__ == "__main__":
    sys.exit(not can_draw(sys.argv[1]))
