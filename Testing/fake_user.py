"""What a user does with the fake widgets: only what is shown and enabled can be used, and everything is measured."""

from fake_qt import LOOP, QObject
from fake_values import QKeySequence
from fake_widgets import QWidget


def _require_usable(widget: QObject) -> None:
    assert widget.visible, f"{widget.objectName} is hidden"
    assert widget.enabled, f"{widget.objectName} is disabled: {widget.toolTip}"


def click(button: QObject) -> None:
    """Press a button, a check box or the head of a section."""
    _require_usable(button)
    LOOP.stopwatch.run(f"click {button.objectName}", button.click)


def toggle(section: QObject) -> None:
    """Fold or unfold a section."""
    _require_usable(section)

    def fold() -> None:
        section.collapsed = not section.collapsed

    LOOP.stopwatch.run(f"fold {section.objectName}", fold)


def choose(combo: QObject, text: str) -> None:
    """Pick an entry of a combo box by its text."""
    _require_usable(combo)
    index = combo.findText(text)
    assert index >= 0, f"{combo.objectName} offers {entries(combo)}, not {text!r}"

    def pick() -> None:
        combo.currentIndex = index
        combo._emit("activated(int)", index)

    LOOP.stopwatch.run(f"choose {combo.objectName}", pick)


def entries(combo: QObject) -> list[str]:
    """What a combo box offers."""
    return [combo.itemText(index) for index in range(combo.count)]


def enter(widget: QObject, value: object) -> None:
    """Type or turn a value into an input."""
    _require_usable(widget)
    name = next(n for n in ("value", "currentPath", "directory", "plainText", "text") if hasattr(widget, n))

    def write() -> None:
        setattr(widget, name, value)
        if hasattr(widget, "editingFinished"):
            widget._emit("editingFinished()")

    LOOP.stopwatch.run(f"enter {widget.objectName}", write)


def click_cell(table: QObject, row: int, column: int = 0) -> None:
    """Click into a table."""
    _require_usable(table)
    assert 0 <= row < table.rowCount, f"{table.objectName} has {table.rowCount} rows"

    def press() -> None:
        table.setCurrentCell(row, column)
        table._emit("cellClicked(int,int)", row, column)
        if table.item(row, column) is not None:
            table._emit("itemClicked(QTableWidgetItem*)", table.item(row, column))

    LOOP.stopwatch.run(f"click {table.objectName}", press)


def cell_texts(table: QObject) -> list[list[str]]:
    """What a table shows, row by row."""
    cells = [[table.item(row, column) for column in range(table.columnCount)] for row in range(table.rowCount)]
    return [[cell.text() if cell else "" for cell in row] for row in cells]


def press(keys: str, window: QWidget) -> None:
    """Press keys while ``window`` has the focus: exactly one shortcut must be in reach."""
    reached = [each for each in shortcuts(window) if each.enabled and each.key == QKeySequence(keys)]
    assert len(reached) == 1, f"{keys} reaches {len(reached)} shortcuts"
    LOOP.stopwatch.run(f"press {keys}", reached[0]._emit, "activated()")


def shortcuts(window: QWidget) -> list[QObject]:
    """The shortcuts of a window and of all that is in it."""
    return [child for child in window.findChildren(QObject) if child.className() == "QShortcut"]
