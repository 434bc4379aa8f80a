"""Works with the browser's panel as a browser does: by the page's template, its state, and the server's triggers."""

import html as markup
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import slicer
from loop_driver import Driver
from trame.app import get_server
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import vuetify3 as v3

from SSLSegmentWeb.panel import Panel

_NUMBERS = itertools.count()
TRIGGER = re.compile(r"trigger\('(?P<name>\w+)'(?:, \[(?P<arguments>.*)\])?\)")
BINDING = re.compile(r"\$\{(?P<name>[\w.]+)\}")


class Template(HTMLParser):
    """All elements of a page's template, with what is written inside of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.parents: list[int | None] = []
        self.texts: list[str] = []
        self._open: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attrs):
        self.parents.append(self._open[-1] if self._open else None)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.texts.append("")

    def handle_endtag(self, tag):
        if self._open and self.elements[self._open[-1]][0] == tag:
            self._open.pop()

    def handle_data(self, data):
        for index in self._open:
            self.texts[index] += data.strip()

    def find(self, testid: str) -> dict[str, str]:
        """The attributes of an element; ``testid`` as it is in the template ("jump-${row.index}")."""
        (found,) = [attrs for _, attrs in self.elements if testid in testids(attrs)]
        return found


def testids(attributes: dict[str, str]) -> set[str]:
    return {attributes.get("data-testid", ""), attributes.get(":data-testid", "").strip("`")} - {""}


class WebPanel(Driver):
    """A loop with a panel in a page, and a user in front of it.

    Attributes:
        server: the page's server; nothing listens.
        folder: where files to be downloaded are.
        offered: what was given to the browser, export by export.
        drawings: which drawing was in it; None for a model.
    """

    def __init__(self, scene, folder: Path, settings=None, **options) -> None:
        self._is_dirty = False
        super().__init__(scene, settings, **options)
        self.server = get_server(f"panel-{next(_NUMBERS)}", client_type="vue3")
        self.server.state.ready()
        self.folder = folder
        self.offered: list[list[Path]] = []
        self.drawings: list[tuple | None] = []
        self.panel = Panel(self.server, self.loop, folder=folder, download=self._download)
        with VAppLayout(self.server) as layout, layout, v3.VNavigationDrawer():
            self.panel.build()
        self.template = Template(layout.html)
        self.show()

    def _download(self, paths: list[Path], drawing: tuple | None) -> list[str]:
        self.offered.append(paths)
        self.drawings.append(drawing)
        return [f"files/token/{path.name}" for path in paths]

    def _on_changed(self) -> None:
        super()._on_changed()
        self._is_dirty = True

    def do(self, name, *arguments, **options):
        """As in a viewer, where a timer shows what has changed."""
        result = super().do(name, *arguments, **options)
        if self._is_dirty and hasattr(self, "panel"):
            self.show()
        return result

    def show(self) -> None:
        self._is_dirty = False
        with self.server.state:
            self.panel.show()

    def state(self, name: str):
        """What the page knows under ``section.field`` or ``section.button.field``."""
        section, field, *inner = name.split(".")
        key = f"{section}State__{field}"
        return self.server.state[f"{key}__ActionState__{inner[0]}" if inner else key]

    def click(self, testid: str, **row: int) -> None:
        """Press a button that is there and enabled; ``row`` for one that belongs to a row ("jump-${row.index}")."""
        attributes = self.template.find(testid)
        disabled = attributes.get(":disabled", "")
        assert not disabled or self.server.state[disabled.lstrip("!")], f"{testid} is disabled"
        call = TRIGGER.fullmatch(markup.unescape(attributes["@click"]))
        assert call, attributes["@click"]
        arguments = [row[name.removeprefix("row.")] for name in (call["arguments"] or "").split(",") if name]
        with self.server.state:
            self.server.controller.trigger_fn(call["name"])(*arguments)

    def enter(self, testid: str, value) -> None:
        """Change what an input shows, as the browser tells it: by the state that it is bound to."""
        attributes = self.template.find(testid)
        key = attributes.get("v-model") or attributes[":modelvalue"]
        with self.server.state as state:
            state.update({key: value})


def add_volume(array, geometry, name="volume"):
    ijk_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
    return slicer.util.addVolumeFromArray(array, ijk_to_ras, name)


def add_segmentation(volume, masks, *, name="segmentation"):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for (segment_id, mask), color in zip(masks.items(), [(0.9, 0.2, 0.1), (0.1, 0.6, 0.9)], strict=True):
        node.GetSegmentation().AddEmptySegment(segment_id, f"Name of {segment_id}", color)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment_id, volume)
    return node
