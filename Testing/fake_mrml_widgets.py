"""Slicer's own widgets, on the real scene."""

from typing import ClassVar

import slicer

from fake_qt import LOOP, QObject
from fake_widgets import QWidget


class qMRMLWidget(QWidget):
    """Tells its scene to whom it is connected; its children get none by themselves."""

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene: object) -> None:
        if scene is not self._scene:
            self._scene = scene
            self._emit("mrmlSceneChanged(vtkMRMLScene*)", scene)


class qSlicerWidget(QWidget):
    setMRMLScene = qMRMLWidget.setMRMLScene

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self._scene = None


class NodeList(QWidget):
    """The nodes of a scene that a selector offers, kept up to date."""

    _initial: ClassVar = {"addEnabled": True, "removeEnabled": True, "showChildNodeTypes": True}

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self.__dict__.update(_scene=None, _tags=[], _offered=[])
        LOOP.at_end.append(self._stop_observing)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene: object) -> None:
        if scene is self._scene:
            return
        self._stop_observing()
        self._scene = scene
        if scene is not None:
            events = slicer.vtkMRMLScene
            for event in (events.NodeAddedEvent, events.NodeRemovedEvent, events.EndBatchProcessEvent):
                self._tags.append(scene.AddObserver(event, self._on_scene_changed))
        self._look()

    def delete(self) -> None:
        self._stop_observing()
        super().delete()

    def nodeCount(self) -> int:
        return len(self._offered)

    def nodeFromIndex(self, index: int):
        return self._offered[index]

    def _stop_observing(self) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags.clear()

    def _on_scene_changed(self, *_: object) -> None:
        if not self._scene.IsBatchProcessing():
            self._look()

    def _after_nodeTypes(self, _: object) -> None:
        self._look()

    def _look(self) -> None:
        nodes = [self._scene.GetNthNode(n) for n in range(self._scene.GetNumberOfNodes())] if self._scene else []
        self._offered = [node for node in nodes if self._offers(node)]
        self._nodes_changed()

    def _offers(self, node: object) -> bool:
        kinds = [kind for kind in self.nodeTypes if node.IsA(kind)]
        exact = node.GetClassName() in self.nodeTypes
        fits = bool(kinds) and (exact or self.showChildNodeTypes) and node.GetClassName() not in self.hideChildNodeTypes
        return fits and (self.showHidden or not node.GetHideFromEditors())

    def _nodes_changed(self) -> None:
        raise NotImplementedError


class qMRMLNodeComboBox(NodeList):
    """As Slicer's, it chooses a node by itself without ``noneEnabled``, and one that is yet to come once it comes."""

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self.__dict__.update(_node=None, _wanted=None)

    def currentNode(self):
        return self._node

    def setCurrentNode(self, node: object) -> None:
        if self._scene is None and node is not None:
            raise AssertionError(f"{self.objectName} has no scene: Slicer would choose nothing, without a word")
        self._wanted = node
        self._choose(node if node in self._offered else None)

    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(node_id) if node_id else None)

    def _get_currentNodeID(self) -> str:
        return "" if self._node is None else self._node.GetID()

    def addNode(self):
        node = self._scene.AddNewNodeByClass(self.nodeTypes[0], self.baseName)
        self.setCurrentNode(node)
        self._emit("nodeAddedByUser(vtkMRMLNode*)", node)
        return node

    def _choose(self, node: object) -> None:
        self._wanted = None if node is not None else self._wanted
        if node is not self._node:
            self._node = node
            self._emit("currentNodeChanged(vtkMRMLNode*)", node)
            self._emit("currentNodeChanged(bool)", node is not None)

    def _nodes_changed(self) -> None:
        if self._wanted in self._offered:
            self._choose(self._wanted)
        elif self._node not in self._offered:
            self._choose(self._offered[0] if self._offered and not self.noneEnabled else None)


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    _initial: ClassVar = {"noneEnabled": True}

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self._checked: list[object] = []

    def checkedNodes(self) -> list:
        return [node for node in self._offered if node in self._checked]

    def uncheckedNodes(self) -> list:
        return [node for node in self._offered if node not in self._checked]

    def noneChecked(self) -> bool:
        return not self.checkedNodes()

    def setCheckState(self, node: object, state: int) -> None:
        before = self.checkedNodes()
        self._checked = [each for each in self._checked if each is not node] + ([node] if state else [])
        if self.checkedNodes() != before:
            self._emit("checkedNodesChanged()")

    def _nodes_changed(self) -> None:
        super()._nodes_changed()
        kept = [node for node in self._checked if node in self._offered]
        if kept != self._checked:
            self._checked = kept
            self._emit("checkedNodesChanged()")


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """The editor without its tools: it binds a segmentation, a volume and a parameter node."""

    _initial: ClassVar = {"undoEnabled": True, "show3DButtonVisible": True, "maskingSectionVisible": True}

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self.__dict__.update(_editor=None, _shortcuts=False, _observes_views=False, _effect=None)
        self._editor_logic = slicer.vtkSlicerSegmentEditorLogic()

    def mrmlSegmentEditorNode(self):
        return self._editor

    def setMRMLSegmentEditorNode(self, node: object) -> None:
        if node is not None and self._scene is None:
            raise AssertionError("the Segment Editor has no scene: Slicer would not work with this node")
        self._editor = node
        self._editor_logic.SetMRMLScene(self._scene)
        self._editor_logic.SetSegmentEditorNode(node)

    def segmentationNode(self):
        return None if self._editor is None else self._editor.GetSegmentationNode()

    def setSegmentationNode(self, node: object) -> None:
        if self._editor is None:
            if node is not None:
                raise AssertionError("the Segment Editor has no parameter node: Slicer would not take a segmentation")
            return
        if node is not self.segmentationNode():
            self._editor.SetAndObserveSegmentationNode(node)
            self._fit_geometry()
            self._emit("segmentationNodeChanged(vtkMRMLSegmentationNode*)", node)

    def sourceVolumeNode(self):
        return None if self._editor is None else self._editor.GetSourceVolumeNode()

    def setSourceVolumeNode(self, node: object) -> None:
        if self._editor is None:
            if node is not None:
                raise AssertionError("the Segment Editor has no parameter node: Slicer would not take a volume")
            return
        if node is not self.sourceVolumeNode():
            self._editor.SetAndObserveSourceVolumeNode(node)
            self._fit_geometry()
            self._emit("sourceVolumeNodeChanged(vtkMRMLVolumeNode*)", node)

    def currentSegmentID(self) -> str:
        return "" if self._editor is None else self._editor.GetSelectedSegmentID() or ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._editor is not None:
            self._editor.SetSelectedSegmentID(segment_id)
            self._emit("currentSegmentIDChanged(QString)", segment_id)

    def activeEffect(self):
        return self._effect

    def setActiveEffect(self, effect: object) -> None:
        self._effect = effect

    def setActiveEffectByName(self, name: str) -> None:
        self._effect = name or None

    def installKeyboardShortcuts(self, _parent: object = None) -> None:
        self._shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:
        self._shortcuts = False

    def setupViewObservations(self) -> None:
        self._observes_views = True

    def removeViewObservations(self) -> None:
        self._observes_views = False

    def updateWidgetFromMRML(self) -> None:
        """It asks its nodes each time."""

    def updateVolume(self, *_: object) -> None:
        """It asks its nodes each time."""

    def saveStateForUndo(self) -> None:
        self._editor_logic.SaveStateForUndo()

    def undo(self) -> None:
        self._editor_logic.Undo()

    def redo(self) -> None:
        self._editor_logic.Redo()

    def _fit_geometry(self) -> None:
        """A segmentation without a grid gets the volume's."""
        node, volume = self.segmentationNode(), self.sourceVolumeNode()
        name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
        if node is not None and volume is not None and not node.GetSegmentation().GetConversionParameter(name):
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)


class qMRMLPlotWidget(qMRMLWidget):
    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self._plot_view = None

    def setMRMLPlotViewNode(self, node: object) -> None:
        if node is not None and self._scene is None:
            raise AssertionError(f"{self.objectName} has no scene: Slicer would show no plot")
        self._plot_view = node

    def mrmlPlotViewNode(self):
        return self._plot_view


class qMRMLSliceWidget(qMRMLWidget):
    """A slice view: its logic and nodes, without a picture."""

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self._slice_logic = None

    def sliceLogic(self):
        return self._slice_logic

    def mrmlSliceNode(self):
        return self._slice_logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._slice_logic.GetSliceCompositeNode()


class qSlicerLayoutManager(QObject):
    """Three slice views; ``layout`` is the number of the arrangement."""

    _VIEWS: ClassVar = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}

    def __init__(self, scene: object, logic: object) -> None:
        super().__init__()
        self._scene = scene
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
        self._views = {name: self._make_view(name, plane, logic) for name, plane in self._VIEWS.items()}

    def _make_view(self, name: str, orientation: str, logic: object) -> qMRMLSliceWidget:
        view = qMRMLSliceWidget()
        view.setMRMLScene(self._scene)
        view._slice_logic = slicer.vtkMRMLSliceLogic()
        view._slice_logic.SetMRMLApplicationLogic(logic)
        view._slice_logic.SetMRMLScene(self._scene)
        view._slice_logic.AddSliceNode(name).SetOrientation(orientation)
        return view

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._VIEWS)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget:
        return self._views[name]

    def _after_layout(self, value: int) -> None:
        self._emit("layoutChanged(int)", value)

    def _close(self) -> None:
        for view in self._views.values():
            view._slice_logic.SetMRMLScene(None)
