"""Inputs that the parameter node wrapper has no binding for: folders, files and names as text."""

from __future__ import annotations

from typing import Any

from SSLSegmentLib.widget_tools import Context


class PathInputs:
    """Path inputs that show and change text parameters; an empty one stays empty, which a ``pathlib.Path`` cannot.

    Args:
        context: what every section works with.
        parameters: name of the parameter of each ``ctkPathLineEdit``.
    """

    def __init__(self, context: Context, parameters: dict[str, str]) -> None:
        self._context = context
        self._inputs = [(getattr(context.ui, name), parameter) for name, parameter in parameters.items()]
        for widget, parameter in self._inputs:
            widget.connect("currentPathChanged(QString)", self._chooser(parameter))

    def update(self) -> None:
        """Show the paths as they are chosen now."""
        for widget, parameter in self._inputs:
            path = getattr(self._context.loop.settings, parameter)
            if widget.currentPath != path:
                widget.currentPath = path

    def _chooser(self, parameter: str) -> Any:
        return lambda path: self._context.choose(parameter, path)
