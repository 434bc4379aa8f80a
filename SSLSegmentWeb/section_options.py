"""What to start from, how long to train, and where."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState

from SSLSegmentLib import labels
from SSLSegmentLib.choices import PRESETS, axis_choices, segment_choices
from SSLSegmentLib.panel_model import ModelWork
from SSLSegmentWeb.section_tools import Context, fold, items_of, marks, on_entered, select, toggle

NUMBERS = {"time_limit_s": 86_400, "seed": 2**31 - 1}
"""Settings that are typed in, and their largest values."""


@dataclass
class OptionsState:
    """What the section shows."""

    preset: str = ""
    hardware: str = ""
    is_open: bool = False
    weights: str = ""
    weights_items: list[dict] = field(default_factory=list)
    device: str = ""
    device_items: list[dict] = field(default_factory=list)
    axis: int = -1
    axis_items: list[dict] = field(default_factory=list)
    background_segment_id: str = ""
    background_items: list[dict] = field(default_factory=list)
    time_limit_s: str = ""
    seed: str = ""


class OptionsSection:
    """Preset and expected time; weights, device and what is rarely changed in a fold."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._work = ModelWork(context.loop)
        self._state = TypedState(context.server.state, OptionsState)
        names = self._state.name
        for setting in ("preset", "background_segment_id"):
            context.take(getattr(names, setting), context.choosing(setting))
        context.take(names.weights, self._choose_weights)
        context.take(names.device, self._choose_device)
        context.take(names.axis, self._choose_axis)
        for setting in NUMBERS:
            context.take(getattr(names, setting), functools.partial(self._choose_number, setting))

    def build(self) -> None:
        """The preset, what to expect of it, and the fold."""
        names = self._state.name
        toggle(names.preset, PRESETS, labels.SETTINGS["preset"], testid="preset")
        with html.Div(classes="ssl-caption", v_if=(names.hardware,)):
            v3.VIcon("mdi-chip", size="15", classes="mr-1")
            html.Span(f"{{{{ {names.hardware} }}}}", raw_attrs=[*marks("hardware"), 'role="status"'])
        with fold(names.is_open, testid="options"):
            html.Span("Options")
            html.Span(f"{{{{ {self._summary()} }}}}", v_if=(f"!{names.is_open}",), classes="ssl-fold-summary")
        with html.Div(v_if=(names.is_open,), classes="pt-2"):
            self._build_fold()

    def _summary(self) -> str:
        """An expression: which weights are chosen."""
        names = self._state.name
        found = f"{names.weights_items}.find(each => each.value === {names.weights})?.title"
        return f"{found} ? '{labels.SETTINGS['weights'].title}: ' + {found} : ''"

    def _build_fold(self) -> None:
        names, settings = self._state.name, labels.SETTINGS
        for name, items, setting, testid in (
            (names.weights, names.weights_items, "weights", "weights"),
            (names.device, names.device_items, "device", "device"),
            (names.axis, names.axis_items, "axis", "axis"),
            (names.background_segment_id, names.background_items, "background_segment_id", "background"),
        ):
            select(name, items, settings[setting], testid=testid)
        with html.Div(classes="ssl-buttons"):
            for name, setting, suffix, testid in (
                (names.time_limit_s, "time_limit_s", "s", "time-limit"),
                (names.seed, "seed", None, "seed"),
            ):
                v3.VTextField(
                    model_value=(name,),
                    label=settings[setting].title,
                    suffix=suffix,
                    type="number",
                    min=0,
                    density="compact",
                    variant="outlined",
                    hide_details=True,
                    raw_attrs=[*marks(testid), on_entered(name)],
                )

    def show(self) -> None:
        """The choices as they are now."""
        loop, data, settings = self._context.loop, self._state.data, self._context.loop.settings
        data.preset = settings.preset
        data.hardware = loop.hardware.text if loop.worker.alive else ""
        data.weights_items, data.weights = items_of(self._work.weights()), settings.weights
        data.device_items, data.device = items_of(self._work.devices()), settings.device
        data.axis_items, data.axis = items_of(axis_choices(loop.volume)), settings.axis
        data.background_items = items_of(segment_choices(loop.segmentation))
        data.background_segment_id = settings.background_segment_id
        data.time_limit_s, data.seed = f"{settings.time_limit_s:g}", str(settings.seed)

    def _choose_weights(self, weights: str) -> None:
        """Nothing but what is offered: any other one would be looked for among the files of the server."""
        if weights in {choice.value for choice in self._work.weights()}:
            self._context.choosing("weights")(weights)

    def _choose_device(self, device: str) -> None:
        if device != self._context.loop.settings.device:
            self._work.choose_device(str(device))

    def _choose_axis(self, axis: int) -> None:
        if axis != self._context.loop.settings.axis:
            self._context.loop.axis = int(axis)

    def _choose_number(self, setting: str, text: Any) -> None:
        """What is no number is put back."""
        settings = self._context.loop.settings
        number = min(NUMBERS[setting], max(0.0, float(text)))  # in this order nan becomes 0
        setattr(settings, setting, type(getattr(settings, setting))(number))
