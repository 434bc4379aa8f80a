"""Qt's and CTK's inputs: numbers, texts, choices and paths."""

from typing import ClassVar

from fake_widgets import QWidget, TextFirst

USER_ROLE = 256
"""``qt.Qt.UserRole``"""


class Number(QWidget):
    """What all inputs of a number share; ``_signature`` is the signal's."""

    _initial: ClassVar = {"maximum": 99, "singleStep": 1}
    _signature = "valueChanged(int)"

    def _clean_value(self, value: float) -> float:
        return min(max(value, self.minimum), self.maximum)

    def _after_value(self, value: float) -> None:
        self._emit(self._signature, value)

    def _after_minimum(self, value: float) -> None:
        self.value = max(self.value, value)

    def _after_maximum(self, value: float) -> None:
        self.value = min(self.value, value)


class Ranged(Number):
    def setRange(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


class QSpinBox(Ranged):
    def _get_text(self) -> str:
        return f"{self.prefix}{self.value}{self.suffix}"


class Decimal(Number):
    _initial: ClassVar = {"maximum": 99.99, "decimals": 2, "singleStep": 1.0}
    _signature = "valueChanged(double)"

    def _clean_value(self, value: float) -> float:
        return round(float(super()._clean_value(value)), self.decimals)


class QDoubleSpinBox(Decimal, Ranged):
    pass


class ctkSliderWidget(Decimal):
    _initial: ClassVar = {"spinBoxVisible": True, "tracking": True}


class QComboBox(QWidget):
    """Its items are texts with data of their own by role."""

    AdjustToContents, AdjustToContentsOnFirstShow, AdjustToMinimumContentsLengthWithIcon = 0, 1, 3
    _initial: ClassVar = {"currentIndex": -1}

    def __init__(self, parent: object = None) -> None:
        super().__init__(parent)
        self._items: list[tuple[str, dict[int, object]]] = []

    def addItem(self, text: str, data: object = None) -> None:
        self._items.append((text, {USER_ROLE: data}))
        self.currentIndex = max(self.currentIndex, 0)

    def addItems(self, texts: list[str]) -> None:
        for text in texts:
            self.addItem(text)

    def insertItem(self, index: int, text: str, data: object = None) -> None:
        self._items.insert(index, (text, {USER_ROLE: data}))

    def removeItem(self, index: int) -> None:
        del self._items[index]
        self.currentIndex = min(self.currentIndex, len(self._items) - 1)

    def clear(self) -> None:
        self._items.clear()
        self.currentIndex = -1

    def setItemData(self, index: int, data: object, role: int = USER_ROLE) -> None:
        self._items[index][1][role] = data

    def itemData(self, index: int, role: int = USER_ROLE):
        return self._items[index][1].get(role) if 0 <= index < len(self._items) else None

    def itemText(self, index: int) -> str:
        return self._items[index][0] if 0 <= index < len(self._items) else ""

    def setItemText(self, index: int, text: str) -> None:
        self._items[index] = (text, self._items[index][1])

    def findText(self, text: str) -> int:
        return next((index for index, item in enumerate(self._items) if item[0] == text), -1)

    def findData(self, data: object, role: int = USER_ROLE) -> int:
        return next((index for index, item in enumerate(self._items) if item[1].get(role) == data), -1)

    def _get_count(self) -> int:
        return len(self._items)

    def _get_currentText(self) -> str:
        return self.itemText(self.currentIndex)

    def _get_currentData(self):
        return self.itemData(self.currentIndex)

    def _clean_currentText(self, value: str) -> str:
        self.currentIndex = self.findText(value) if value in [item[0] for item in self._items] else self.currentIndex
        return value

    def _clean_currentIndex(self, value: int) -> int:
        return value if value < len(self._items) else self.currentIndex

    def _after_currentIndex(self, value: int) -> None:
        self._emit("currentIndexChanged(int)", value)
        self._emit("currentIndexChanged(QString)", self.itemText(value))
        self._emit("currentTextChanged(QString)", self.itemText(value))


class QLineEdit(TextFirst):
    def _after_text(self, value: str) -> None:
        self._emit("textChanged(QString)", value)

    def clear(self) -> None:
        self.text = ""


class QPlainTextEdit(QWidget):
    NoWrap, WidgetWidth = 0, 1

    def _after_plainText(self, _: str) -> None:
        self._emit("textChanged()")

    def toPlainText(self) -> str:
        return self.plainText

    def appendPlainText(self, text: str) -> None:
        self.plainText = f"{self.plainText}\n{text}" if self.plainText else text

    def clear(self) -> None:
        self.plainText = ""

    def ensureCursorVisible(self) -> None:
        """Nothing is drawn."""


class ctkPathLineEdit(QWidget):
    def _after_currentPath(self, value: str) -> None:
        self._emit("currentPathChanged(QString)", value)

    def addCurrentPathToHistory(self) -> None:
        """Kept in the user's settings by CTK."""
