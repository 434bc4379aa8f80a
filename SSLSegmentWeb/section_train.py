"""One button to train and to stop, how far it is, its curves, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState

from SSLSegmentLib import labels, wording
from SSLSegmentLib.panel_train import TrainWork
from SSLSegmentWeb.section_curve import CurveSection
from SSLSegmentWeb.section_options import OptionsSection
from SSLSegmentWeb.section_tools import ActionState, Context, fold, heading, marks


@dataclass
class TrainState:
    """What the section shows.

    Attributes:
        busy: whether a training is under way.
        train: whether it can be started.
        stop: whether it can be stopped.
        fraction: how far it is, in percent; negative while that is unknown.
        status: where it is.
        messages: the latest sentences for the user.
        error: why it failed, in one line.
        details: the whole story; empty where the line says it all.
        log: the end of what the worker printed, while anybody looks at it.
        has_log: whether there is one.
        is_log_open: whether anybody looks at it.
    """

    busy: bool = False
    train: ActionState = field(default_factory=ActionState)
    stop: ActionState = field(default_factory=ActionState)
    fraction: float = -1.0
    status: str = ""
    messages: list[str] = field(default_factory=list)
    error: str = ""
    details: str = ""
    log: str = ""
    has_log: bool = False
    is_log_open: bool = False


class TrainSection:
    """Preset and options, Train or Stop, progress, curve, error, log."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._work = TrainWork(context.loop)
        self._options = OptionsSection(context)
        self._curve = CurveSection(context)
        self._state = TypedState(context.server.state, TrainState)
        context.take(self._state.name.is_log_open, lambda _: None)  # showing it anew is all that there is to do

    def build(self) -> None:
        """From the choice of a preset to the log."""
        names = self._state.name
        with html.Section(classes="ssl-section"):
            heading(labels.SECTIONS["train"], wording.DESCRIPTIONS["train"], icon="mdi-school-outline")
            self._options.build()
            self._build_buttons()
            v3.VProgressLinear(
                v_if=(names.busy,),
                model_value=(f"{names.fraction}",),
                indeterminate=(f"{names.fraction} < 0",),
                height=6,
                rounded=True,
                color="primary",
                classes="mt-2",
                raw_attrs=marks("progress", labels.SECTIONS["train"]),
            )
            html.P(f"{{{{ {names.status} }}}}", classes="ssl-status", raw_attrs=[*marks("status"), 'role="status"'])
            with html.Ul(v_if=(f"{names.messages}.length",), classes="ssl-messages", raw_attrs=marks("messages")):
                html.Li("{{ message }}", v_for=f"message in {names.messages}", key="message")
            self._build_error()
            self._curve.build()
            self._build_log()

    def _build_buttons(self) -> None:
        names = self._state.name
        with html.Div(classes="mt-2", v_if=(f"!{names.busy}",)):
            self._context.action_button(
                names.train, "train", self._work.press, testid="train", prepend_icon="mdi-play", size="large"
            )
        with html.Div(classes="mt-2", v_else=True):
            self._context.action_button(
                names.stop,
                "stop",
                self._work.press,
                testid="stop",
                prepend_icon="mdi-stop",
                size="large",
                color="error",
                variant="tonal",
            )

    def _build_error(self) -> None:
        names = self._state.name
        with v3.VAlert(
            v_if=(names.error,), type="error", variant="tonal", density="compact", icon_size=22,
            classes="ssl-text mt-2",
            raw_attrs=[*marks("error"), 'role="alert"'],
        ):  # fmt: skip
            html.Div(f"{{{{ {names.error} }}}}")
            with html.Details(v_if=(names.details,), classes="mt-1"):
                html.Summary("Details")
                html.Pre(f"{{{{ {names.details} }}}}", classes="ssl-log", raw_attrs=['tabindex="0"'])

    def _build_log(self) -> None:
        names = self._state.name
        with html.Div(v_if=(names.has_log,)):
            with fold(names.is_log_open, testid="log"):
                html.Span(labels.LOG.title)
            html.Pre(
                f"{{{{ {names.log} }}}}",
                v_if=(names.is_log_open,),
                classes="ssl-log",
                raw_attrs=['tabindex="0"', *marks("log-text", labels.LOG.tooltip)],
            )

    def show(self) -> None:
        """Where the training is."""
        loop, data = self._context.loop, self._state.data
        self._options.show()
        self._curve.show()
        data.busy = loop.state.busy
        self._context.show_action(data.train, "train")
        self._context.show_action(data.stop, "stop")
        fraction = wording.progress_fraction(loop)
        data.fraction = -1.0 if fraction is None else round(100 * fraction, 1)
        data.status, *data.messages = self._work.status
        data.error = self._work.error
        data.details = loop.last_error if "\n" in loop.last_error else ""
        data.has_log = self._work.log_size > 0
        data.log = self._work.log_tail() if data.is_log_open else ""
