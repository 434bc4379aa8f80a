"""The slices that are annotated, and the one to annotate next."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState

from SSLSegmentLib import labels, wording
from SSLSegmentLib.panel_slices import SlicesWork
from SSLSegmentWeb.section_tools import ActionState, Context, button, heading, hex_color, hint, marks


@dataclass
class SegmentState:
    """Name and colour ("#rrggbb") of a segment."""

    name: str
    color: str


@dataclass
class RowState:
    """One line of the list.

    Attributes:
        index: of the slice.
        title: "Slice 12".
        offset: where it lies.
        mark: "empty", "excluded" or nothing.
        drawn: name and colour of each segment that is drawn on it.
        counts: whether a training learns from it.
        remove: what its button says.
    """

    index: int
    title: str
    offset: str
    mark: str
    drawn: list[SegmentState]
    counts: bool
    remove: str


@dataclass
class SlicesState:
    """What the section shows."""

    rows: list[RowState] = field(default_factory=list)
    suggestion: str = ""
    suggest: ActionState = field(default_factory=ActionState)
    mark_empty: ActionState = field(default_factory=ActionState)


class SlicesSection:
    """The list of annotated slices, marks, and the suggestion.

    Args:
        context: what every section works with.
        work: jumps, marks and suggests.
    """

    def __init__(self, context: Context, work: SlicesWork) -> None:
        self._context = context
        self._work = work
        self._rows: dict[int, wording.SliceRow] = {}
        self._state = TypedState(context.server.state, SlicesState)

    def build(self) -> None:
        """The list, and two buttons below it."""
        names, context = self._state.name, self._context
        with html.Section(classes="ssl-section"):
            heading(labels.SECTIONS["slices"], labels.SLICES, icon="mdi-layers-outline")
            html.P(labels.DRAWING, v_if=(f"!{names.rows}.length",), classes="ssl-note")
            with html.Ul(v_else=True, classes="ssl-rows", raw_attrs=[f'aria-label="{labels.SECTIONS["slices"]}"']):
                self._build_row()
            with html.Div(classes="ssl-buttons"):
                mark_empty = context.doing(self._work.mark_empty)
                button(labels.MARK_EMPTY.title, names.mark_empty, mark_empty, testid="mark-empty", variant="tonal")
                context.action_button(names.suggest, "suggest_next", self._work.suggest, testid="suggest")
            v3.VAlert(
                v_if=(names.suggestion,),
                text=(names.suggestion,),
                density="compact",
                variant="tonal",
                icon="mdi-lightbulb-on-outline",
                icon_size=20,
                classes="ssl-text mt-2",
                raw_attrs=[*marks("suggestion"), 'role="status"'],
            )

    def _build_row(self) -> None:
        context, jump, remove = self._context, self._jump, self._remove
        with html.Li(
            v_for=f"row in {self._state.name.rows}",
            key="row.index",
            classes=("row.counts ? 'ssl-row' : 'ssl-row ssl-off'",),
            raw_attrs=[':data-testid="`slice-row-${row.index}`"'],
        ):
            with html.Button(
                click=(context.doing(jump), "[row.index]"),
                classes="ssl-row-main",
                raw_attrs=['type="button"', ':data-testid="`jump-${row.index}`"'],
            ):
                html.Span("{{ row.title }}", classes="ssl-row-title")
                html.Span("{{ row.offset }}", classes="ssl-row-offset")
                with html.Span(classes="ssl-row-drawn"):
                    html.Span("{{ row.mark }}", v_if="row.mark", classes="ssl-row-mark")
                    with html.Span(v_for="(segment, n) in row.drawn", key="n"):
                        html.Span(classes="ssl-dot", style=("{background: segment.color}",))
                        html.Span("{{ segment.name }}")
            with v3.VBtn(
                icon=True,
                size="x-small",
                variant="text",
                click=(context.doing(remove), "[row.index]"),
                raw_attrs=[':data-testid="`remove-${row.index}`"', ':aria-label="`${row.remove}: ${row.title}`"'],
            ):
                v3.VIcon(icon=("row.counts ? 'mdi-close' : 'mdi-undo'",), size="16")
                hint("row.remove")

    def show(self) -> None:
        """The slices as they are annotated now."""
        loop, data = self._context.loop, self._state.data
        self._work.follow()
        rows = wording.slice_rows(loop)
        self._rows = {row.index: row for row in rows}
        segments = self._segments()
        data.rows = [
            RowState(
                index=row.index,
                title=row.title,
                offset=row.offset,
                mark=wording.EXCLUDED if row.excluded else wording.EMPTY if row.empty else "",
                drawn=segments[row.index],
                counts=not row.excluded,
                remove=labels.USE_AGAIN if row.excluded else labels.REMOVE.title,
            )
            for row in rows
        ]
        data.suggestion = self._work.text
        self._context.show_action(data.suggest, "suggest_next")
        data.mark_empty.allowed = loop.volume is not None
        data.mark_empty.tooltip = labels.MARK_EMPTY.tooltip

    def _segments(self) -> dict[int, list[SegmentState]]:
        """What is drawn on each slice of the list."""
        loop = self._context.loop
        if not self._rows:
            return {}
        known = {}
        if loop.segmentation is not None:
            stored = loop.segmentation.GetSegmentation()
            for segment_id in stored.GetSegmentIDs():
                segment = stored.GetSegment(segment_id)
                known[segment_id] = SegmentState(segment.GetName(), hex_color(segment.GetColor()))
        return {
            entry.index: [known[segment_id] for segment_id in entry.segments if segment_id in known]
            for entry in loop.annotated_slices()
        }

    def _jump(self, index: int) -> None:
        self._work.jump(int(index))

    def _remove(self, index: int) -> None:
        row = self._rows.get(int(index))
        if row is not None:
            self._work.remove(row)
