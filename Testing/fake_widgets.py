"""Qt's and CTK's widgets that show or start something: what they hold, and what they say when it changes."""

from typing import ClassVar

from fake_qt import QObject, Value


class QWidget(QObject):
    """Shown unless it or an ancestor is hidden; windows count as open."""

    _initial: ClassVar = {"enabled": True, "updatesEnabled": True, "maximumWidth": 16777215, "maximumHeight": 16777215}

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self.__dict__.update(_hidden=False, _layout=None, _focus=False)

    def _get_visible(self) -> bool:
        above = self._parent
        return not self._hidden and (above is None or not above.isWidgetType() or above._shows_contents())

    def _clean_visible(self, value: bool) -> bool:
        self._hidden = not value
        return value

    def _shows_contents(self) -> bool:
        return self.visible

    def _get_enabled(self) -> bool:
        above = self._parent
        own = self._values.get("enabled", True)
        return own and (above is None or not above.isWidgetType() or above.enabled)

    def _get_focus(self) -> bool:
        return self._focus

    def show(self) -> None:
        self.visible = True

    def hide(self) -> None:
        self.visible = False

    def isHidden(self) -> bool:
        return self._hidden

    def setDisabled(self, value: bool) -> None:
        self.enabled = not value

    def setFocus(self) -> None:
        self._focus = True

    def layout(self):
        return self._layout

    def setLayout(self, layout: QObject) -> None:
        self._layout = layout
        layout.setParent(self)

    def parentWidget(self):
        return self._parent

    def window(self):
        return self if self._parent is None else self._parent.window()

    def addAction(self, action: QObject) -> None:
        self.__dict__.setdefault("_actions", []).append(action)

    def actions(self) -> list:
        return list(self.__dict__.get("_actions", []))

    def setFixedHeight(self, pixels: int) -> None:
        self.minimumHeight = self.maximumHeight = pixels

    def setFixedWidth(self, pixels: int) -> None:
        self.minimumWidth = self.maximumWidth = pixels

    def _nothing(self, *_: object) -> None:
        """What only changes the drawing."""

    _do_raise = repaint = update = adjustSize = updateGeometry = activateWindow = setAttribute = _nothing


class Layout(QObject):
    """What all layouts share: widgets that are put in become children of the widget that is laid out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__()
        self._items = []
        if parent is not None:
            parent.setLayout(self)

    def addWidget(self, widget: QWidget, *_: int) -> None:
        self._items.append(widget)
        if self._parent is not None:
            widget.setParent(self._parent)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int):
        return self._items[index]

    def removeItem(self, item: object) -> None:
        self._items.remove(item)

    def removeWidget(self, widget: QWidget) -> None:
        self._items.remove(widget)

    def setContentsMargins(self, *_: int) -> None:
        """Nothing is drawn."""


class BoxLayout(Layout):
    def addStretch(self, factor: int = 0) -> None:
        self._items.append(factor)


class QVBoxLayout(BoxLayout):
    pass


class TextFirst(QWidget):
    """Widgets that are made with their text: ``QLabel("text", parent)``."""

    def __init__(self, *arguments: object) -> None:
        text = [argument for argument in arguments if isinstance(argument, str)]
        super().__init__(*[argument for argument in arguments if not isinstance(argument, str)])
        if text:
            self.text = text[0]


class Button(TextFirst):
    """What all buttons share."""

    def _after_checked(self, value: bool) -> None:
        self._emit("toggled(bool)", value)

    def click(self) -> None:
        if not self.enabled:
            return
        if self.checkable:
            self.checked = not self.checked
        for signature in ("pressed()", "released()"):
            self._emit(signature)
        self._emit("clicked(bool)", self.checked)

    def toggle(self) -> None:
        self.checked = not self.checked

    animateClick = click


class QPushButton(Button):
    pass


class QToolButton(Button):
    InstantPopup, MenuButtonPopup = 2, 1


class QCheckBox(Button):
    _initial: ClassVar = {"checkable": True}

    def _after_checked(self, value: bool) -> None:
        super()._after_checked(value)
        self._emit("stateChanged(int)", 2 if value else 0)


class ctkCollapsibleButton(Button):
    _initial: ClassVar = {"checkable": True}

    def _after_collapsed(self, value: bool) -> None:
        self._emit("contentsCollapsed(bool)", value)

    def click(self) -> None:
        if self.enabled:
            self.collapsed = not self.collapsed

    def _shows_contents(self) -> bool:
        return self.visible and not self.collapsed


class QGroupBox(QWidget):
    _initial: ClassVar = {"checked": True}

    def _after_checked(self, value: bool) -> None:
        self._emit("toggled(bool)", value)


class ctkCollapsibleGroupBox(QGroupBox):
    def _shows_contents(self) -> bool:
        return self.visible and not self.collapsed


class QLabel(TextFirst):
    NoFrame, StyledPanel = 0, 6

    def clear(self) -> None:
        self.text = ""


class QFrame(QWidget):
    NoFrame, HLine, StyledPanel, Plain, Sunken = 0, 4, 6, 16, 48


class QProgressBar(QWidget):
    _initial: ClassVar = {"maximum": 100, "format": "%p%", "value": -1, "textVisible": True}

    def setRange(self, minimum: int, maximum: int) -> None:
        self.minimum, self.maximum = minimum, maximum

    def _clean_value(self, value: int) -> int:
        """Qt ignores what lies outside."""
        return value if self.minimum <= value <= self.maximum or self.maximum == 0 == self.minimum else self.value

    def _after_value(self, value: int) -> None:
        self._emit("valueChanged(int)", value)

    def reset(self) -> None:
        self._values["value"] = self.minimum - 1


class QShortcut(QObject):
    """In reach of its parent; ``fake_user.press`` presses it."""

    _initial: ClassVar = {"enabled": True, "autoRepeat": True}

    def __init__(self, key: Value, parent: QWidget) -> None:
        super().__init__(parent)
        self.key = key
