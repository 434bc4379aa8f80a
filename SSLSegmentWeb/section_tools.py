"""What the sections of the panel in a browser have in common: how a button, a switch and a sentence look and behave."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Protocol

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server import Server
from trame_server.utils.typed_state import TypedState

from sslseg.errors import SSLSegError
from SSLSegmentLib import wording
from SSLSegmentLib.choices import Choice
from SSLSegmentLib.labels import Label
from SSLSegmentLib.loop import AnnotationLoop

Drawing = tuple[str, tuple[Any, ...]]
"""A segmentation by its id, and what is drawn in it by :func:`SSLSegmentLib.segments.drawn_state`."""

Download = Callable[[list[Path], Drawing | None], list[str]]


class Section(Protocol):
    """One section of the panel."""

    def build(self) -> None:
        """Add the widgets to the element that is open."""
        ...

    def show(self) -> None:
        """Copy what the loop says into the state of the page."""
        ...


@dataclass
class ActionState:
    """Whether an action of the loop is possible, and the tooltip of its button."""

    allowed: bool = False
    tooltip: str = ""


@dataclass
class StepState:
    """Which action is put forward."""

    action: str = ""


class Context:
    """What every section works with.

    Args:
        server: the page's server.
        loop: the work; the sections call it and read it, and decide nothing.
        folder: private to this session; files to be downloaded are written there.
        download: takes files, and the drawing that they hold, and gives the addresses at which the browser gets them.
        show: shows the whole panel anew.

    Attributes:
        step: state that says which button is put forward.
    """

    def __init__(
        self, server: Server, loop: AnnotationLoop, folder: Path, download: Download, show: Callable[[], None]
    ) -> None:
        self.server = server
        self.loop = loop
        self.folder = folder
        self.download = download
        self.show = show
        self.step = TypedState(server.state, StepState)
        self._inputs: dict[str, Callable[[Any], object]] = {}

    def doing(self, action: Callable[..., object]) -> Callable[..., None]:
        """``action`` as a handler of the page: what has changed is shown at once."""

        def handler(*arguments: Any) -> None:
            action(*arguments)
            self.show()

        return handler

    def take(self, name: str, choose: Callable[[Any], object]) -> None:
        """Let ``choose`` have what the user enters in an input that is bound to a state."""
        self._inputs[name] = choose

    def choosing(self, setting: str) -> Callable[[Any], None]:
        """For :meth:`take`: puts a value into a setting of the loop."""

        def choose(value: Any) -> None:
            kept = getattr(self.loop.settings, setting)
            if value != kept and value is not None:
                setattr(self.loop.settings, setting, type(kept)(value))
                self.loop.update_display()

        return choose

    def listen(self) -> None:
        """Take what is entered from now on."""
        self.server.state.change(*self._inputs)(self._on_entered)

    def _on_entered(self, **_state: Any) -> None:
        """Take all that has arrived together before anything is shown: what is not taken would be put back."""
        state = self.server.state
        for name in self._inputs.keys() & state.modified_keys:
            with contextlib.suppress(TypeError, ValueError, SSLSegError):  # no page of ours sends that
                self._inputs[name](state[name])
        self.show()

    def show_action(self, state: ActionState, action: str) -> None:
        """What the loop says about an action."""
        state.allowed = self.loop.availability(action).allowed
        state.tooltip = wording.tooltip(self.loop, action)

    def action_button(self, names: ActionState, action: str, click: Callable[..., object], **options: Any) -> None:
        """A button of an action of the loop, with its title; filled where it is put forward."""
        forward = f"{self.step.name.action} === '{action}' && {names.allowed}"
        look = {
            "color": (f"{forward} ? 'primary' : undefined",),
            "variant": (f"{forward} ? 'flat' : 'tonal'",),
            **options,
        }
        button(wording.TITLES[action], names, self.doing(click), **look)


def fold(is_open: str, *, testid: str) -> html.Button:
    """What opens and closes a part of the panel, to be filled with its title; ``is_open`` is the name of a state."""
    part = html.Button(
        click=f"{is_open} = !{is_open}",
        classes="ssl-fold",
        raw_attrs=['type="button"', *marks(testid), f':aria-expanded="{is_open}"'],
    )
    with part:
        v3.VIcon(icon=(f"{is_open} ? 'mdi-chevron-down' : 'mdi-chevron-right'",), size="18")
    return part


def button(title: str, names: ActionState, click: Callable[..., object], *, testid: str, **options: Any) -> None:
    """A button that is enabled as ``names`` say; its tooltip is also there, for mouse and keyboard, while it is not."""
    with html.Div(classes="ssl-action", raw_attrs=[f':tabindex="{names.allowed} ? undefined : 0"']):
        v3.VBtn(
            title,
            block=True,
            disabled=(f"!{names.allowed}",),
            click=click,
            raw_attrs=[*marks(testid), f':aria-description="{names.tooltip}"'],
            **options,
        )
        hint(names.tooltip)


def hint(tooltip: str, *, literal: bool = False) -> None:
    """The tooltip of the element that is open: the name of a state, or the text itself."""
    v3.VTooltip(
        activator="parent",
        location="end",
        max_width=320,
        open_delay=700,
        content_class="ssl-hint",
        text=tooltip if literal else (tooltip,),
    )


def marks(testid: str, label: str = "") -> list[str]:
    """Attributes by which tests find an element, and what a screen reader calls it."""
    found = [f'data-testid="{escape(testid)}"']
    return [*found, f'aria-label="{escape(label)}"'] if label else found


def on_entered(name: str) -> str:
    """An attribute: what is typed into a field is taken once it is complete, not letter by letter."""
    return f'@change="{name} = $event.target.value"'


def heading(title: str, tooltip: str, *, icon: str) -> None:
    """The title of a section, with a mark that explains it."""
    with html.Div(classes="ssl-heading"):
        v3.VIcon(icon, size="18", color="primary", classes="mr-2")
        html.H2(title, classes="text-subtitle-2 flex-grow-1")
        with html.Span(classes="ssl-help", raw_attrs=['tabindex="0"', 'role="note"', *marks("help", tooltip)]):
            v3.VIcon("mdi-help-circle-outline", size="16")
            hint(tooltip, literal=True)


def hex_color(color: Sequence[float]) -> str:
    """A colour (red, green, blue, 0 to 1) as the page writes it."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)


def select(name: str, items: str, label: Label, *, testid: str) -> None:
    """A list to choose from, as :func:`items_of` makes it; its tooltip says all about the entry that is chosen."""
    with html.Div(classes="mb-2"):
        v3.VSelect(
            v_model=(name,),
            items=(items,),
            label=label.title,
            item_props=True,
            density="compact",
            variant="outlined",
            hide_details=True,
            menu_props=("{contentClass: 'ssl-menu', maxWidth: 340}",),
            raw_attrs=marks(testid),
        )
        chosen = f"{items}.find(each => each.value === {name})?.subtitle"
        hint(f"[`{label.tooltip}`, {chosen}].filter(Boolean).join('\\n\\n')")


def items_of(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Choices as the entries of :func:`select`."""
    return [{"title": choice.title, "value": choice.value, "subtitle": choice.tooltip} for choice in choices]


def toggle(name: str, choices: Sequence[Choice], label: Label, *, testid: str) -> None:
    """A row of buttons of which one is chosen."""
    with v3.VBtnToggle(
        v_model=(name,),
        mandatory=True,
        divided=True,
        density="compact",
        variant="outlined",
        color="primary",
        classes="ssl-toggle",
        raw_attrs=[*marks(testid, label.title), 'role="group"'],
    ):
        for choice in choices:
            with v3.VBtn(
                choice.title,
                value=choice.value,
                size="small",
                raw_attrs=[
                    *marks(f"{testid}-{choice.value.replace(' ', '-')}"),
                    f":aria-pressed=\"{name} === '{choice.value}'\"",
                ],
            ):
                if choice.tooltip:
                    hint(choice.tooltip, literal=True)
