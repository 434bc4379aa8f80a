"""What the parts of every panel have in common. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sslseg.errors import SSLSegError

if TYPE_CHECKING:
    from SSLSegmentLib.loop import AnnotationLoop


def attempt(action: Callable[[], object], tell: Callable[[str], None]) -> bool:
    """Do what the user asked for, and tell in a sentence why it cannot be done; whether it was done."""
    try:
        action()
    except SSLSegError as error:
        tell(str(error))
        return False
    tell("")
    return True


def look_at_hardware(loop: AnnotationLoop) -> None:
    """Look for devices and measure, where the packages for it are there."""

    def tell(sentence: str) -> None:
        loop.messages += [sentence] if sentence else []

    if loop.hardware.availability().allowed:
        attempt(loop.hardware.start, tell)
