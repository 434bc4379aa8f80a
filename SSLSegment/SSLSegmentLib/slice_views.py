"""The slice views of a scene: where they stand, and what lies in front of their image."""

from __future__ import annotations

from typing import Any


def jump_to_slice(scene: Any, volume: Any, axis: int, index: int) -> int:
    """Move every slice view that shows slices along an array axis of ``volume`` to one of them.

    Only offsets change: a view that shows another orientation stays, and so do zoom, centre and layers.

    Args:
        scene: its slice nodes are moved.
        volume: the volume node.
        axis: array axis of the slice, 0 (K), 1 (J) or 2 (I).
        index: of the slice along ``axis``.

    Returns:
        How many views show the slice now.

    Raises:
        InputError: there is no volume, or no such slice.
    """
    raise NotImplementedError


def slice_offset(volume: Any, axis: int, index: int) -> float:
    """Where a slice lies along its axis, in mm as the slider of a slice view counts (RAS, for an upright volume)."""
    raise NotImplementedError


class ForegroundLayer:
    """A volume laid over another one in all slice views that show it; what was there before can come back.

    A view whose foreground the user changes meanwhile is the user's again.

    Args:
        scene: its slice views are used.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    def show(self, volume: Any, over: Any, opacity: float) -> None:
        """Lay ``volume`` over ``over`` wherever that is the background."""
        raise NotImplementedError

    def hide(self) -> None:
        """Give every view its former foreground and opacity back."""
        raise NotImplementedError
