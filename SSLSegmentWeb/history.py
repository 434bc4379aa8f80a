"""Accepting as one step of the segment editor's own undo."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from undo_stack import UndoCommand, UndoStack

from SSLSegmentLib.segments import LABELMAP, set_layer


class EditorHistory:
    """What :class:`SSLSegmentLib.loop_accept.Acceptance` saves states in: the undo stack of the segment editor.

    The last acceptance can be taken back by the editor and by the panel. Where the editor's stack has forgotten it, or
    has a new name of a segment on top, the panel can still.

    Args:
        stack: of the editor.
        segmentation_node: says which node is edited now.
    """

    def __init__(self, stack: UndoStack, segmentation_node: Callable[[], Any]) -> None:
        self._stack = stack
        self._segmentation_node = segmentation_node
        self._commands: list[AcceptCommand] = []

    def SaveState(self) -> None:  # noqa: N802 - as vtkSegmentationHistory calls it
        """Remember which label maps there are, before they are replaced."""
        node = self._segmentation_node()
        self._commands = [command for command in self._commands if command.done and command.node is node]
        self._commands.append(AcceptCommand(node))
        self._stack.push(self._commands[-1])

    def RestorePreviousState(self) -> None:  # noqa: N802 - as vtkSegmentationHistory calls it
        """Take the last acceptance back."""
        self._commands = [command for command in self._commands if command.done]
        command = self._commands.pop()
        if self._stack.undo_text() == command.text():
            self._stack.undo()
        else:
            command.give_up()


class AcceptCommand(UndoCommand):
    """A change that replaced label maps by others. Nothing is copied: the label maps change places.

    Args:
        node: the segmentation node, as it is before the change.

    Attributes:
        done: whether the change is in effect.
    """

    _numbers = itertools.count(1)

    def __init__(self, node: Any) -> None:
        super().__init__()
        self._text = f"Accept {next(self._numbers)}"
        self.node = node
        self.done = True
        self._other = self._layers()

    def undo(self) -> None:
        """Put the former label maps in place."""
        self._swap()

    def redo(self) -> None:
        """Put the new ones in place again."""
        self._swap()

    def give_up(self) -> None:
        """Undo beside the stack, which is to pass over this step from now on."""
        self._swap()
        self._is_obsolete = True

    def _swap(self) -> None:
        present = self._layers()
        replaced: dict[Any, list[str]] = {}
        for segment_id, image in self._other.items():
            if segment_id in present and present[segment_id] is not image:
                replaced.setdefault(image, []).append(segment_id)
        for image, segment_ids in replaced.items():
            set_layer(self.node.GetSegmentation(), segment_ids, image)
        self._other = present
        self.done = not self.done

    def _layers(self) -> dict[str, Any]:
        segmentation = self.node.GetSegmentation()
        return {i: segmentation.GetSegment(i).GetRepresentation(LABELMAP) for i in segmentation.GetSegmentIDs()}
