"""Loss and Dice while a training goes on, as a drawing of the page itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import html
from trame_server.utils.typed_state import TypedState

from SSLSegmentLib import labels
from SSLSegmentWeb.curve import HEIGHT, LEFT, RIGHT, WIDTH, Tick, draw
from SSLSegmentWeb.section_tools import Context, fold, hint, marks


@dataclass
class CurveState:
    """What is drawn (see :class:`SSLSegmentWeb.curve.Drawing`), and whether it is unfolded."""

    loss: str = ""
    dice: str = ""
    area: str = ""
    ticks: list[Tick] = field(default_factory=list)
    lines: list[float] = field(default_factory=list)
    latest: list[str] = field(default_factory=list)
    is_open: bool = False


class CurveSection:
    """The curves of the latest training: open while it goes on, folded afterwards; without any they take no room."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._drawn = (0, 0)
        self._busy = False
        self._state = TypedState(context.server.state, CurveState)

    def build(self) -> None:
        """The legend, which opens and closes the drawing."""
        names = self._state.name
        with html.Div(v_if=(names.loss,), classes="ssl-curve", raw_attrs=marks("curve")):
            with fold(names.is_open, testid="curve-fold"):
                html.Span(
                    "{{ text }}",
                    v_for=f"(text, n) in {names.latest}",
                    key="n",
                    classes=("n ? 'ssl-legend ssl-legend-dice' : 'ssl-legend ssl-legend-loss'",),
                )
                hint(labels.CURVES, literal=True)
            html.Svg(
                self._drawing(),
                v_if=(names.is_open,),
                raw_attrs=[f'viewBox="0 0 {WIDTH} {HEIGHT}"', 'role="img"', self._label()],
            )

    def _label(self) -> str:
        return f":aria-label=\"{self._state.name.latest}.join(', ')\""

    def _drawing(self) -> str:
        names = self._state.name
        return f"""
<line v-for="y in {names.lines}" :key="y" class="ssl-line" x1="{LEFT}" x2="{RIGHT}" :y1="y" :y2="y" />
<path v-if="{names.area}" class="ssl-area" :d="{names.area}" />
<path v-if="{names.dice}" class="ssl-dice" :d="{names.dice}" />
<path class="ssl-loss" :d="{names.loss}" />
<text v-for="(tick, n) in {names.ticks}" :key="n" :x="tick.x" :y="tick.y" :text-anchor="tick.anchor"
  >{{{{ tick.text }}}}</text>"""

    def show(self) -> None:
        """The curves as they are now; drawn anew only where there are new points."""
        overlay, data, busy = self._context.loop.overlay, self._state.data, self._context.loop.state.busy
        if busy != self._busy:
            self._busy = data.is_open = busy
        loss, dice = overlay.curve("Loss"), overlay.curve("Dice")
        if (len(loss), len(dice)) == self._drawn:
            return
        self._drawn = (len(loss), len(dice))
        drawing = draw(loss, dice)
        data.loss, data.dice, data.area = drawing.loss, drawing.dice, drawing.area
        data.ticks, data.lines, data.latest = drawing.ticks, drawing.lines, drawing.latest
