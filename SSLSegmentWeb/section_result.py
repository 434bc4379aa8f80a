"""What was found, how it is shown, and taking it over."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState

from SSLSegmentLib import labels, wording
from SSLSegmentLib.choices import STYLE_CHOICES
from SSLSegmentLib.panel_result import ResultWork
from SSLSegmentWeb.section_tools import ActionState, Context, heading, hex_color, hint, marks, toggle

DISPLAY = (
    "show_prediction", "prediction_opacity", "prediction_style", "show_in_3d", "show_uncertainty",
    "uncertainty_opacity",
)  # fmt: skip
"""Settings that the section changes."""


@dataclass
class VolumeState:
    """Name, colour and size of a predicted segment."""

    name: str
    color: str
    volume: str


@dataclass
class ResultState:
    """What the section shows."""

    present: bool = False
    missing: str = ""
    volumes: list[VolumeState] = field(default_factory=list)
    show_prediction: bool = True
    prediction_opacity: float = 1.0
    prediction_style: str = ""
    show_in_3d: bool = True
    show_uncertainty: bool = True
    uncertainty_opacity: float = 0.5
    accept_slice: ActionState = field(default_factory=ActionState)
    accept_all: ActionState = field(default_factory=ActionState)
    undo: ActionState = field(default_factory=ActionState)
    discard: ActionState = field(default_factory=ActionState)
    text: str = ""


class ResultSection:
    """Volumes, display of the prediction, accepting."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._work = ResultWork(context.loop)
        self._state = TypedState(context.server.state, ResultState)
        for name in DISPLAY:
            context.take(getattr(self._state.name, name), context.choosing(name))

    def build(self) -> None:
        """Without a prediction a sentence; with one, all about it."""
        names = self._state.name
        with html.Section(classes="ssl-section"):
            heading(labels.SECTIONS["result"], labels.VOLUMES, icon="mdi-check-decagram-outline")
            html.P(f"{{{{ {names.missing} }}}}", v_if=(f"!{names.present}",), classes="ssl-note")
            with html.Div(v_else=True):
                self._build_volumes()
                self._build_display()
                self._build_accepting()
            with html.Div(v_if=(f"{names.present} || {names.undo.allowed}",), classes="ssl-buttons"):
                for state, action, work, icon in (
                    (names.undo, "undo", self._work.undo, "mdi-undo"),
                    (names.discard, "discard", self._work.discard, "mdi-delete-outline"),
                ):
                    self._context.action_button(state, action, work, testid=action, prepend_icon=icon, variant="text")
            html.P(
                f"{{{{ {names.text} }}}}",
                v_if=(names.text,),
                classes="ssl-status",
                raw_attrs=[*marks("result"), 'role="status"'],
            )

    def _build_volumes(self) -> None:
        with (
            html.Ul(classes="ssl-volumes", raw_attrs=marks("volumes", labels.VOLUMES)),
            html.Li(v_for=f"(entry, n) in {self._state.name.volumes}", key="n"),
        ):
            html.Span(classes="ssl-dot", style=("{background: entry.color}",))
            html.Span("{{ entry.name }}", classes="ssl-volume")
            html.Strong("{{ entry.volume }}")

    def _build_display(self) -> None:
        names = self._state.name
        self._build_layer(names.show_prediction, names.prediction_opacity, "prediction", "opacity")
        toggle(names.prediction_style, STYLE_CHOICES, labels.SETTINGS["prediction_style"], testid="outline")
        self._build_layer(names.show_uncertainty, names.uncertainty_opacity, "uncertainty", "uncertainty")
        self._build_switch(names.show_in_3d, "show_in_3d")

    def _build_layer(self, shown: str, opacity: str, layer: str, testid: str) -> None:
        """Whether something is laid over the image, and how much of the image it hides."""
        with html.Div(classes="ssl-layer"):
            self._build_switch(shown, f"show_{layer}")
            with html.Div():
                v3.VSlider(
                    v_model=(opacity,),
                    name=labels.SETTINGS[f"{layer}_opacity"].tooltip,
                    disabled=(f"!{shown}",),
                    min=0,
                    max=1,
                    step=0.05,
                    density="compact",
                    color="primary",
                    thumb_size=14,
                    track_size=3,
                    hide_details=True,
                    raw_attrs=marks(testid),
                )
                hint(labels.SETTINGS[f"{layer}_opacity"].tooltip, literal=True)

    @staticmethod
    def _build_switch(name: str, setting: str) -> None:
        label = labels.SETTINGS[setting]
        with html.Div():
            v3.VSwitch(
                v_model=(name,),
                label=label.title,
                density="compact",
                color="primary",
                hide_details=True,
                raw_attrs=marks(setting.replace("_", "-").replace("-in-", "-")),
            )
            hint(label.tooltip, literal=True)

    def _build_accepting(self) -> None:
        names = self._state.name
        with html.Div(classes="ssl-buttons mt-1"):
            for state, action, work in (
                (names.accept_slice, "accept_slice", self._work.accept_slice),
                (names.accept_all, "accept_all", self._work.accept_all),
            ):
                self._context.action_button(state, action, work, testid=action.replace("_", "-"))

    def show(self) -> None:
        """What there is."""
        loop, data = self._context.loop, self._state.data
        self._work.follow()
        data.present = loop.result is not None
        data.missing = " ".join(loop.availability("discard").reasons[-1:])
        data.volumes = [
            VolumeState(entry.name, hex_color(entry.color), wording.volume_text(entry.volume_ml))
            for entry in loop.segment_volumes()
        ]
        for name in DISPLAY:
            setattr(data, name, getattr(loop.settings, name))
        for action in ("accept_slice", "accept_all", "undo", "discard"):
            self._context.show_action(getattr(data, action), action)
        data.text = self._work.text
