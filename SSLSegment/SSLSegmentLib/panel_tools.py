"""What the parts of every panel have in common. No Qt."""

from __future__ import annotations

from collections.abc import Callable

from sslseg.errors import SSLSegError


def attempt(action: Callable[[], object], tell: Callable[[str], None]) -> bool:
    """Do what the user asked for, and tell in a sentence why it cannot be done; whether it was done."""
    try:
        action()
    except SSLSegError as error:
        tell(str(error))
        return False
    tell("")
    return True
