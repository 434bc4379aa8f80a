"""What belongs to the user rather than to the scene: the folder of weights, measurements of this machine. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

WEIGHTS_FOLDER = "SSLSegment/WeightsFolder"


class UserStore(Protocol):
    """What ``qt.QSettings`` offers and is used of it. It may give numbers back as text."""

    def value(self, key: str, default: Any = None) -> Any:
        """What was kept under ``key``."""
        ...

    def setValue(self, key: str, value: Any) -> None:  # noqa: N802 - Qt's name
        """Keep ``value`` (text) under ``key``."""
        ...

    def remove(self, key: str) -> None:
        """Forget ``key``."""
        ...


class MemoryStore:
    """A store that forgets everything at the end, for work without a desktop."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def value(self, key: str, default: Any = None) -> Any:
        """What was kept under ``key``."""
        return self._values.get(key, default)

    def setValue(self, key: str, value: Any) -> None:  # noqa: N802 - Qt's name
        """Keep ``value`` under ``key``."""
        self._values[key] = value

    def remove(self, key: str) -> None:
        """Forget ``key``."""
        self._values.pop(key, None)


def weights_folder(store: UserStore) -> Path:
    """The folder of the user's own weights: the chosen one, or one in the home folder. It need not exist yet."""
    chosen = str(store.value(WEIGHTS_FOLDER, "") or "")
    return Path(chosen) if chosen else Path.home() / "SSLSegment" / "weights"


def set_weights_folder(store: UserStore, folder: str | Path) -> None:
    """Choose the folder of the user's own weights; an empty text goes back to the usual one."""
    store.setValue(WEIGHTS_FOLDER, str(folder))
