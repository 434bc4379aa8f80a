"""trame-slicer's segment editor, arranged for annotating: tools above the views, segments in the drawer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server import Server
from trame_server.utils.typed_state import TypedState
from trame_slicer.app.logic import SegmentEditorLogic
from trame_slicer.app.ui import (
    DrawEffectUI,
    IslandsEffectUI,
    LogicalOperatorsEffectUI,
    PaintEffectState,
    ScissorsEffectUI,
    SegmentDisplayUI,
    SegmentEditAreaUI,
    SegmentEditorUI,
    Slider,
    SmoothingEffectUI,
    ThresholdEffectUI,
)
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import (
    SegmentationEffectDraw,
    SegmentationEffectErase,
    SegmentationEffectIslands,
    SegmentationEffectLogicalOperators,
    SegmentationEffectNoTool,
    SegmentationEffectPaint,
    SegmentationEffectScissors,
    SegmentationEffectSmoothing,
    SegmentationEffectThreshold,
)
from undo_stack import UndoStack

from SSLSegmentWeb.section_tools import hint, marks

COLORS = [
    (128, 174, 128), (241, 214, 145), (111, 184, 210), (216, 101, 79), (220, 130, 200),
    (90, 120, 200), (240, 160, 60), (144, 238, 144), (177, 122, 101), (200, 200, 90),
]  # fmt: skip
"""Red, green and blue of new segments: Slicer's generic anatomy colours, and some as far from these and each other."""

ALIKE = 0.1
"""Colours that differ less, in parts of 1, are taken for the same."""

BRUSH_SIZES = (1, 30, 1, 5)
"""Smallest, largest, step and first one, as a share of the height of the view in percent."""

BRUSHES = (SegmentationEffectPaint, SegmentationEffectErase)
TOOLS = (
    ("No tool: move and zoom", "mdi-cursor-default", "none", SegmentationEffectNoTool),
    ("Paint", "mdi-brush", "paint", SegmentationEffectPaint),
    ("Erase", "mdi-eraser", "erase", SegmentationEffectErase),
    ("Draw an outline", "mdi-draw", "draw", SegmentationEffectDraw),
    ("Scissors", "mdi-content-cut", "scissors", SegmentationEffectScissors),
    ("Threshold", "mdi-auto-fix", "threshold", SegmentationEffectThreshold),
    ("Islands", "mdi-scatter-plot", "islands", SegmentationEffectIslands),
    ("Smoothing", "mdi-square-rounded-outline", "smoothing", SegmentationEffectSmoothing),
    ("Logical operators", "mdi-vector-intersection", "logical", SegmentationEffectLogicalOperators),
)
"""Name, icon, id and effect."""

OPTIONS = {
    SegmentationEffectDraw: DrawEffectUI,
    SegmentationEffectScissors: ScissorsEffectUI,
    SegmentationEffectThreshold: ThresholdEffectUI,
    SegmentationEffectIslands: IslandsEffectUI,
    SegmentationEffectSmoothing: SmoothingEffectUI,
    SegmentationEffectLogicalOperators: LogicalOperatorsEffectUI,
}
"""What can be chosen for a tool, beside the brush."""


class Editor:
    """The segment editor and its two places in the page.

    Args:
        server: trame's.
        app: its editor does the work.
    """

    def __init__(self, server: Server, app: SlicerApp) -> None:
        self._server = server
        self._editor = app.segmentation_editor
        self._logic = SegmentEditorLogic(server, app)
        # A sphere would reach into slices that the user does not look at, and these would count as annotated.
        TypedState(server.state, PaintEffectState).data.use_sphere_brush = False

    @property
    def undo_stack(self) -> UndoStack:
        """What was edited."""
        return self._editor.undo_stack

    @property
    def segmentation(self) -> Any:
        """The node that is edited, or None."""
        return self._editor.active_segmentation_node

    def edit(self, segmentation: Any, volume: Any) -> None:
        """Edit another segmentation (None: none). What was done before cannot be undone any more."""
        if segmentation is None:
            self._editor.clear()
            return
        self._editor.set_active_segmentation(segmentation, volume)

    def add_segment(self) -> None:
        """Add a segment in a colour that no other one has, as long as there are any."""
        taken = [properties.color for properties in self._editor.get_all_segment_properties().values()]
        colors = [tuple(part / 255 for part in color) for color in COLORS]
        free = [color for color in colors if all(math.dist(color, other) > ALIKE for other in taken)]
        self._editor.add_empty_segment(segment_color=list((free or colors)[0]))

    def connect(self, tools: EditorTools) -> None:
        """Let the tools of the page work, once all of them are there."""
        self._logic.set_ui(tools)


class EditorTools(SegmentEditorUI):
    """The editor's signals and states with a layout of our own."""

    def _build_ui(self) -> None:
        names = self._typed_state.name
        with self:
            self.edit_ui.color_edit()
            with html.Div(classes="ssl-tools"):
                for title, icon, testid, effect in TOOLS:
                    _tool(
                        title, icon, f"tool-{testid}", lambda effect=effect: self.effect_button_clicked(effect),
                        f"!{names.segment_list.active_segment_id}", active=self.is_active_effect(effect),
                    )  # fmt: skip
                v3.VDivider(vertical=True, classes="mx-2")
                _tool("Undo", "mdi-undo", "editor-undo", self.undo_clicked, f"!{names.can_undo}")
                _tool("Redo", "mdi-redo", "editor-redo", self.redo_clicked, f"!{names.can_redo}")
                v3.VDivider(vertical=True, classes="mx-2")
                self._build_brush()

    def _build_brush(self) -> None:
        brush: TypedState[PaintEffectState] = TypedState(self.state, PaintEffectState)
        names = brush.name
        size = brush.get_sub_state(names.brush_diameter_slider)
        size.data.min_value, size.data.max_value, size.data.step, size.data.value = BRUSH_SIZES
        active = " || ".join(self.is_active_effect(effect)[0] for effect in BRUSHES)
        with html.Div(v_if=(active,), classes="ssl-brush"):
            html.Span("Brush", classes="text-body-2 mr-2")
            Slider(typed_state=size, density="compact", raw_attrs=marks("brush-size", "Brush size"))
            _tool(
                "Sphere: paint on neighbouring slices, too", "mdi-sphere", "brush-sphere",
                f"{names.use_sphere_brush} = !{names.use_sphere_brush}", "false", active=(names.use_sphere_brush,),
            )  # fmt: skip

    def build_options(self) -> None:
        """A card over the views with the choices of the active tool, where it has any beside the brush."""
        shown = " || ".join(self.is_active_effect(effect)[0] for effect in OPTIONS)
        with v3.VCard(v_if=(shown,), elevation=6, classes="ssl-options"):
            for title, _, _, effect in TOOLS:
                if effect in OPTIONS:
                    with html.Div(v_if=self.is_active_effect(effect)):
                        v3.VCardTitle(title, classes="text-subtitle-2 pb-0")
                        with v3.VCardText():
                            self._effect_ui[effect] = OPTIONS[effect]()

    def build_segments(self, add: Callable[[], None]) -> None:
        """The segments of the drawing: names, colours, one more (``add``), and how they are shown and masked."""
        names = self._typed_state.name
        with html.Div(classes="ssl-segments"):
            self._create_segment_list()
            v3.VBtn(
                "Add segment",
                prepend_icon="mdi-plus",
                variant="text",
                size="small",
                click=add,
                raw_attrs=marks("segment-add"),
            )
            SegmentDisplayUI(typed_state=self.sub_state(names.segment_display), variant="flat")
            SegmentEditAreaUI(segment_edit_area_typed_state=self.sub_state(names.segment_edit_area), variant="flat")


def _tool(  # noqa: PLR0913, PLR0917 - what a small button has
    title: str, icon: str, testid: str, click: Any, disabled: str, active: tuple[str] = ("false",)
) -> None:
    with v3.VBtn(
        icon=True,
        rounded=0,
        variant="text",
        size=36,
        click=click,
        disabled=(disabled,),
        active=active,
        raw_attrs=marks(testid, title),
    ):
        v3.VIcon(icon, size=21)
        hint(title, literal=True)
