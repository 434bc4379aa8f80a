"""trame-slicer's segment editor, arranged for annotating: tools above the views, segments in the drawer."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server import Server
from trame_server.utils.typed_state import TypedState
from trame_slicer.app.logic import SegmentEditorLogic
from trame_slicer.app.ui import (
    ControlButton,
    DrawEffectUI,
    IslandsEffectUI,
    LogicalOperatorsEffectUI,
    PaintEffectState,
    PaintEffectUI,
    ScissorsEffectUI,
    SegmentDisplayUI,
    SegmentEditAreaUI,
    SegmentEditorUI,
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

BRUSHES = (SegmentationEffectPaint, SegmentationEffectErase)
TOOLS = (
    ("No tool: move and zoom", "mdi-cursor-default", "none", SegmentationEffectNoTool, None),
    ("Paint", "mdi-brush", "paint", SegmentationEffectPaint, PaintEffectUI),
    ("Erase", "mdi-eraser", "erase", SegmentationEffectErase, PaintEffectUI),
    ("Draw an outline", "mdi-draw", "draw", SegmentationEffectDraw, DrawEffectUI),
    ("Scissors", "mdi-content-cut", "scissors", SegmentationEffectScissors, ScissorsEffectUI),
    ("Threshold", "mdi-auto-fix", "threshold", SegmentationEffectThreshold, ThresholdEffectUI),
    ("Islands", "mdi-scatter-plot", "islands", SegmentationEffectIslands, IslandsEffectUI),
    ("Smoothing", "mdi-square-rounded-outline", "smoothing", SegmentationEffectSmoothing, SmoothingEffectUI),
    ("Logical operators", "mdi-vector-intersection", "logical", SegmentationEffectLogicalOperators,
     LogicalOperatorsEffectUI),
)  # fmt: skip
"""Name, icon, id, effect, and the choices that belong to it."""


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
        else:
            self._editor.set_active_segmentation(segmentation, volume)

    def connect(self, tools: EditorTools) -> None:
        """Let the tools of the page work, once all of them are there."""
        self._logic.set_ui(tools)


class EditorTools(SegmentEditorUI):
    """The editor's signals and states with a layout of our own."""

    def _build_ui(self) -> None:
        with self:
            self.edit_ui._build_color_dialog()
            with html.Div(classes="d-flex align-center flex-wrap px-2", style="min-height: 44px;"):
                for name, icon, tool, effect, _ in TOOLS:
                    self._tool_button(name, icon, tool, effect)
                v3.VDivider(vertical=True, classes="mx-2")
                self._button(
                    "Undo", "mdi-undo", "editor-undo", self.undo_clicked, f"!{self._typed_state.name.can_undo}"
                )
                self._button(
                    "Redo", "mdi-redo", "editor-redo", self.redo_clicked, f"!{self._typed_state.name.can_redo}"
                )
                v3.VDivider(vertical=True, classes="mx-2")
                self._build_brush()

    def _build_brush(self) -> None:
        active = " || ".join(self.is_active_effect(brush)[0] for brush in BRUSHES)
        with html.Div(v_if=(active,), style="width: 280px;"):
            self._effect_ui[SegmentationEffectPaint] = self._effect_ui[SegmentationEffectErase] = PaintEffectUI()

    def build_options(self) -> None:
        """A card over the views with the choices of the active tool, where it has any beside the brush."""
        with_options = [tool for tool in TOOLS if tool[4] and tool[3] not in BRUSHES]
        shown = " || ".join(self.is_active_effect(effect)[0] for *_, effect, _ in with_options)
        with v3.VCard(
            v_if=(shown,), elevation=6, style="position: absolute; top: 8px; right: 8px; width: 320px; z-index: 5;"
        ):
            for name, _, _, effect, options in with_options:
                with html.Div(v_if=self.is_active_effect(effect)):
                    v3.VCardTitle(name, classes="text-subtitle-1 pb-0")
                    with v3.VCardText():
                        self._effect_ui[effect] = options()

    def build_segments(self) -> None:
        """The segments of the drawing: names, colours, one more, and how they are shown and masked."""
        with html.Div():
            self._create_segment_list()
            v3.VBtn(
                "Add segment",
                prepend_icon="mdi-plus",
                variant="text",
                size="small",
                click=self.add_segment_clicked,
                disabled=("!data_has_segmentation",),
                raw_attrs=['data-testid="segment-add"'],
            )
            SegmentDisplayUI(typed_state=self.sub_state(self._typed_state.name.segment_display), variant="flat")
            SegmentEditAreaUI(
                segment_edit_area_typed_state=self.sub_state(self._typed_state.name.segment_edit_area), variant="flat"
            )

    def _tool_button(self, name: str, icon: str, tool: str, effect: type) -> None:
        ControlButton(
            name=name,
            icon=icon,
            click=lambda: self.effect_button_clicked(effect),
            active=self.is_active_effect(effect),
            disabled=(f"!{self._typed_state.name.segment_list.active_segment_id}",),
            raw_attrs=[f'data-testid="tool-{tool}"'],
        )

    def _button(self, name: str, icon: str, test_id: str, click: Any, disabled: str) -> None:
        ControlButton(name=name, icon=icon, click=click, disabled=(disabled,), raw_attrs=[f'data-testid="{test_id}"'])
