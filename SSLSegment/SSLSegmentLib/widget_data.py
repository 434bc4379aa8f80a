"""Section 1 of the panel: the volume, the segmentation, and the editor to draw with."""

from __future__ import annotations

import itertools
from typing import Any

import slicer

from SSLSegmentLib.panel_tools import attempt
from SSLSegmentLib.widget_tools import Context, warn

_NUMBERS = itertools.count(1)


class DataSection:
    """Volume, segmentation and the embedded segment editor, which has a parameter node of its own.

    The user's own segment editor, its node and its active effect are left alone.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ui = context.ui
        self._editor = context.ui.segmentEditorWidget
        self._tag = f"SSLSegmentEditor{next(_NUMBERS)}"
        context.ui.createSegmentationButton.connect("clicked(bool)", self._create)

    def enter(self) -> None:
        """Let the editor work: its node, its keys."""
        self._editor.setMRMLSegmentEditorNode(self._editor_node())
        self.update()
        self._editor.updateWidgetFromMRML()
        self._editor.installKeyboardShortcuts()

    def exit(self) -> None:
        """Take the editor's hands off the views and the keyboard."""
        self._editor.setActiveEffect(None)
        self._editor.uninstallKeyboardShortcuts()
        self._editor.removeViewObservations()

    def forget(self) -> None:
        """Let go of the nodes: the scene is about to be closed."""
        self._editor.setActiveEffect(None)
        self._editor.setSegmentationNode(None)
        self._editor.setSourceVolumeNode(None)
        self._editor.removeViewObservations()

    def remove(self) -> None:
        """Take the editor's node out of the scene."""
        self.exit()
        self._editor.setMRMLSegmentEditorNode(None)
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self._tag, "vtkMRMLSegmentEditorNode")
        if node is not None:
            scene.RemoveNode(node)

    def update(self) -> None:
        """Let the editor work on what the loop works on."""
        loop, node = self._context.loop, self._editor.mrmlSegmentEditorNode()
        self._ui.createSegmentationButton.setEnabled(loop.volume is not None)
        if node is None:
            return
        if node.GetSegmentationNode() is not loop.segmentation:
            self._editor.setSegmentationNode(loop.segmentation)
        if node.GetSourceVolumeNode() is not loop.volume:
            self._editor.setSourceVolumeNode(loop.volume)

    def _create(self, *_: Any) -> None:
        self._context.loop.set_segmentation(None)
        attempt(self._context.loop.create_segmentation, warn)

    def _editor_node(self) -> Any:
        """A node for this panel alone. Singletons outlive the closing of a scene; this one is not saved with it."""
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self._tag, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag(self._tag)
            node = scene.AddNode(node)
        node.SetSaveWithScene(False)
        return node
