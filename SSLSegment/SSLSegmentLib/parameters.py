"""The user's choices in two places, kept the same: the loop's settings and the parameter node of the scene. No Qt."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from SSLSegmentLib.settings import LoopSettings

OF_THE_USER = ("device",)
"""Settings that belong to the user and the machine; they are not kept with the scene."""

KEPT_WITH_SCENE = tuple(entry.name for entry in fields(LoopSettings) if entry.name not in OF_THE_USER)
"""Settings for which the parameter node has a parameter of the same name."""

NODES = ("volume", "segmentation")
"""Parameters that are nodes."""


def read_settings(parameters: Any, settings: LoopSettings) -> bool:
    """Take the choices of a parameter node over; whether any of them was another one."""
    return _copy(parameters, settings)


def write_settings(settings: LoopSettings, parameters: Any) -> bool:
    """Note the choices in a parameter node; whether any of them was another one."""
    return _copy(settings, parameters)


def _copy(source: Any, target: Any) -> bool:
    """Values that are the same are not written: each would call whoever observes the node."""
    changed = False
    for name in KEPT_WITH_SCENE:
        value = _plain(getattr(source, name))
        if value != _plain(getattr(target, name)):
            setattr(target, name, value)
            changed = True
    return changed


def _plain(value: Any) -> Any:
    """Parameter nodes give lists that write through to the node; the settings want lists of their own."""
    return value if isinstance(value, (str, bool, int, float)) else list(value)
