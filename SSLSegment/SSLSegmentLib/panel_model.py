"""What a panel offers to start from and to compute with. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from SSLSegmentLib.choices import Choice
from SSLSegmentLib.user_store import set_weights_folder, weights_folder
from SSLSegmentLib.weights import weights_choices

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop

DEVICE = "SSLSegment/Device"
"""Where the user's settings keep the device: another computer has other ones."""


class ModelWork:
    """Weights and devices.

    Args:
        loop: the work; its device becomes the one that the user chose last on this computer.
    """

    def __init__(self, loop: AnnotationLoop) -> None:
        self._loop = loop
        self._looked_for: tuple[Path, str] | None = None
        self._found: list[Choice] = []
        loop.settings.device = str(loop.store.value(DEVICE, loop.settings.device))

    def weights(self) -> list[Choice]:
        """The weights to choose from; files are looked at only when another file or folder is chosen."""
        wanted = (self.folder, self._loop.settings.weights)
        if self._looked_for != wanted:
            self._looked_for = wanted
            found = weights_choices(*wanted)
            self._found = [Choice(choice.value, choice.title, choice.problem or choice.tooltip) for choice in found]
        return self._found

    def look_again(self) -> None:
        """Read again which weights there are."""
        self._looked_for = None

    @property
    def folder(self) -> Path:
        """The folder of the user's own weights."""
        return weights_folder(self._loop.store)

    def choose_folder(self, folder: str) -> None:
        """Look for weights in another folder."""
        set_weights_folder(self._loop.store, folder)
        self.look_again()

    def devices(self) -> list[Choice]:
        """The devices to choose from."""
        return [Choice(choice.value, choice.title, choice.tooltip) for choice in self._loop.hardware.choices()]

    def choose_device(self, device: str) -> None:
        """Compute on another device, here and in the next session."""
        self._loop.settings.device = device
        self._loop.store.setValue(DEVICE, device)
