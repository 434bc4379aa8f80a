"""What is no widget: items of tables and lists, settings, keys, dialogs and the enumerators of the namespace Qt."""

from typing import ClassVar

from fake_inputs import USER_ROLE
from fake_qt import LOOP, QObject, Value
from fake_widgets import QWidget


class Qt(Value):
    """``qt.Qt``. The values are Qt's."""

    AlignLeft, AlignRight, AlignHCenter, AlignTop, AlignVCenter, AlignCenter = 1, 2, 4, 32, 128, 132
    Unchecked, PartiallyChecked, Checked = 0, 1, 2
    DisplayRole, DecorationRole, ToolTipRole, BackgroundRole, ForegroundRole, CheckStateRole = 0, 1, 3, 8, 9, 10
    UserRole = USER_ROLE
    NoItemFlags, ItemIsSelectable, ItemIsEditable, ItemIsUserCheckable, ItemIsEnabled = 0, 1, 2, 16, 32
    WidgetShortcut, WindowShortcut, ApplicationShortcut, WidgetWithChildrenShortcut = 0, 1, 2, 3
    PlainText, RichText, AutoText = 0, 1, 2
    ElideLeft, ElideRight, ElideMiddle, ElideNone = 0, 1, 2, 3
    WaitCursor, ArrowCursor = 3, 0
    Horizontal, Vertical = 1, 2
    TextSelectableByMouse, TextBrowserInteraction = 1, 13
    DownArrow, RightArrow = 2, 4
    ToolButtonIconOnly, ToolButtonTextOnly, ToolButtonTextBesideIcon = 0, 1, 2


class Item(Value):
    """What items of tables and lists share: data by role, which PythonQt reads and writes by methods."""

    def __init__(self, text: str = "") -> None:
        self._data = {Qt.DisplayRole: text}
        self._owner = None
        self._flags = Qt.ItemIsSelectable | Qt.ItemIsEditable | Qt.ItemIsUserCheckable | Qt.ItemIsEnabled
        self._selected = False

    def text(self) -> str:
        return self._data[Qt.DisplayRole]

    def setText(self, text: str) -> None:
        self.setData(Qt.DisplayRole, text)

    def data(self, role: int):
        return self._data.get(role)

    def setData(self, role: int, value: object) -> None:
        changed = self._data.get(role) != value
        self._data[role] = value
        if changed and self._owner is not None:
            self._owner._tell_item_changed(self)

    def toolTip(self) -> str:
        return self._data.get(Qt.ToolTipRole, "")

    def setToolTip(self, text: str) -> None:
        self.setData(Qt.ToolTipRole, text)

    def checkState(self) -> int:
        return self._data.get(Qt.CheckStateRole, Qt.Unchecked)

    def setCheckState(self, state: int) -> None:
        self.setData(Qt.CheckStateRole, state)

    def flags(self) -> int:
        return self._flags

    def setFlags(self, flags: int) -> None:
        self._flags = flags

    def setTextAlignment(self, alignment: int) -> None:
        self.setData(7, alignment)

    def setForeground(self, brush: Value) -> None:
        self.setData(Qt.ForegroundRole, brush)

    def setFont(self, font: Value) -> None:
        self.setData(6, font)

    def setIcon(self, icon: Value) -> None:
        self.setData(Qt.DecorationRole, icon)


class QTableWidgetItem(Item):
    def row(self) -> int:
        return self._owner._place(self)[0] if self._owner is not None else -1

    def column(self) -> int:
        return self._owner._place(self)[1] if self._owner is not None else -1


class QTableWidget(QWidget):
    NoEditTriggers, NoSelection, SingleSelection, SelectRows = 0, 0, 1, 1
    AdjustToContents = 2

    def __init__(self, *arguments: object) -> None:
        super().__init__(*[argument for argument in arguments if isinstance(argument, QObject)])
        self._cells: dict[tuple[int, int], QTableWidgetItem] = {}
        self._headers: list[str] = []
        self._current = (-1, -1)
        self._selected_rows: set[int] = set()

    def _after_rowCount(self, count: int) -> None:
        self._cells = {place: item for place, item in self._cells.items() if place[0] < count}
        self._select({row for row in self._selected_rows if row < count})
        if self._current[0] >= count:
            self._move_to(count - 1, self._current[1])

    def setItem(self, row: int, column: int, item: QTableWidgetItem) -> None:
        if not (0 <= row < self.rowCount and 0 <= column < self.columnCount):
            raise AssertionError(f"there is no cell ({row}, {column}): Qt would drop the item without a word")
        item._owner = self
        self._cells[row, column] = item
        self._tell_item_changed(item)

    def item(self, row: int, column: int):
        return self._cells.get((row, column))

    def clearContents(self) -> None:
        self._cells.clear()

    def setHorizontalHeaderLabels(self, labels: list[str]) -> None:
        self._headers = list(labels)

    def currentRow(self) -> int:
        return self._current[0]

    def currentColumn(self) -> int:
        return self._current[1]

    def setCurrentCell(self, row: int, column: int) -> None:
        self._select({row} if row >= 0 else set())
        self._move_to(row, column)

    def selectRow(self, row: int) -> None:
        self.setCurrentCell(row, max(0, self._current[1]))

    def clearSelection(self) -> None:
        self._select(set())

    def selectedItems(self) -> list:
        return [item for (row, _), item in sorted(self._cells.items()) if row in self._selected_rows]

    def resizeColumnsToContents(self) -> None:
        """Nothing is drawn."""

    resizeRowsToContents = resizeColumnsToContents

    def resizeColumnToContents(self, column: int) -> None:
        """Nothing is drawn."""

    def scrollToItem(self, item: QTableWidgetItem) -> None:
        """Nothing is drawn."""

    def setColumnWidth(self, column: int, width: int) -> None:
        """Nothing is drawn."""

    def _move_to(self, row: int, column: int) -> None:
        before, self._current = self._current, (row, column)
        if before != self._current:
            self._emit("currentCellChanged(int,int,int,int)", row, column, *before)

    def _select(self, rows: set[int]) -> None:
        changed, self._selected_rows = rows != self._selected_rows, rows
        if changed:
            self._emit("itemSelectionChanged()")

    def _place(self, item: QTableWidgetItem) -> tuple[int, int]:
        return next(place for place, known in self._cells.items() if known is item)

    def _tell_item_changed(self, item: QTableWidgetItem) -> None:
        self._emit("itemChanged(QTableWidgetItem*)", item)
        self._emit("cellChanged(int,int)", *self._place(item))


class QSettings(QObject):
    """The user's settings: one store for all, which ``fake_slicer_app`` empties."""

    _store: ClassVar[dict[str, object]] = {}

    def __init__(self, *_: object) -> None:
        super().__init__()
        self._groups: list[str] = []

    def _key(self, key: str) -> str:
        return "/".join([*self._groups, key])

    def value(self, key: str, default: object = None):
        return self._store.get(self._key(key), default)

    def setValue(self, key: str, value: object) -> None:
        """As an .ini file gives it back: text, or a list of texts."""
        kept = [str(part) for part in value] if isinstance(value, (list, tuple)) else value
        if isinstance(value, bool):
            kept = "true" if value else "false"
        elif isinstance(value, (int, float)):
            kept = str(value)
        self._store[self._key(key)] = kept

    def contains(self, key: str) -> bool:
        return self._key(key) in self._store

    def remove(self, key: str) -> None:
        self._store.pop(self._key(key), None)

    def beginGroup(self, name: str) -> None:
        self._groups.append(name)

    def endGroup(self) -> None:
        self._groups.pop()

    def sync(self) -> None:
        """Nothing is written."""


class QKeySequence(Value):
    def __init__(self, keys: object = "") -> None:
        self._keys = keys

    def toString(self, *_: int) -> str:
        return str(self._keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QKeySequence) and str(self._keys) == str(other._keys)

    __hash__ = None


class Opaque(Value):
    """Made and handed on, never looked into."""

    def __init__(self, *arguments: object) -> None:
        self._arguments = arguments


class QIcon(Opaque):
    pass


class QUrl(Value):
    def __init__(self, address: str = "") -> None:
        self._address = address

    @staticmethod
    def fromLocalFile(path: str) -> "QUrl":
        return QUrl(f"file://{path}")

    def toString(self) -> str:
        return self._address


class QDesktopServices(Value):
    """Remembers what was opened."""

    _opened: ClassVar[list[str]] = []

    @staticmethod
    def openUrl(url: QUrl) -> bool:
        QDesktopServices._opened.append(url.toString())
        return True


class Dialogs:
    """What the user answers, one after the other, and what was asked. A question without an answer is an error."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.asked: list[str] = []

    def ask(self, question: str):
        self.asked.append(question)
        if not self.answers:
            raise AssertionError(f"nobody is there to answer: {question}")
        return self.answers.pop(0)


DIALOGS = Dialogs()


class QMessageBox(QWidget):
    Ok, Save, Yes, No, Cancel, Close = 0x400, 0x800, 0x4000, 0x10000, 0x400000, 0x200000
    NoIcon, Information, Warning, Critical, Question = 0, 1, 2, 3, 4

    def _do_exec(self) -> int:
        return DIALOGS.ask(self.text)


class ctkMessageBox(QMessageBox):
    pass


class QFileDialog(QWidget):
    @staticmethod
    def getExistingDirectory(_parent: object = None, caption: str = "", *_: object) -> str:
        return DIALOGS.ask(caption)

    getOpenFileName = getSaveFileName = getExistingDirectory


def reset() -> None:
    """As at the start of the application."""
    QSettings._store.clear()
    QDesktopServices._opened.clear()
    DIALOGS.answers.clear()
    DIALOGS.asked.clear()
    LOOP.reset()
