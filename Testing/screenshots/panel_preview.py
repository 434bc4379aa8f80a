"""Draws ``SSLSegment.ui`` with PySide6 as Slicer would show it, in the state that a JSON file describes.

``python panel_preview.py STATE.json OUT.png``; the state is written by ``panel_state.py``. Qt's widgets are Qt's, those
of CTK and Slicer are stand-ins that take about the same room.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtUiTools import QUiLoader

UI = Path(__file__).resolve().parents[2] / "SSLSegment" / "Resources" / "UI" / "SSLSegment.ui"
WIDTH = 380
HEAD = 24


class Section(QtWidgets.QWidget):
    """``ctkCollapsibleButton``: a head with an arrow, and what is below it."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.title, self.is_collapsed = "", False

    def get_text(self):
        return self.title

    def set_text(self, text):
        self.title = text

    def get_collapsed(self):
        return self.is_collapsed

    def set_collapsed(self, collapsed):
        self.is_collapsed = collapsed

    text = QtCore.Property(str, get_text, set_text)
    collapsed = QtCore.Property(bool, get_collapsed, set_collapsed)

    def arrange(self):
        """Leave room for the head, and hide what is collapsed."""
        if self.layout():
            margins = self.layout().contentsMargins()
            self.layout().setContentsMargins(8, HEAD + 6, 8, margins.bottom())
        if self.is_collapsed:
            self.setFixedHeight(HEAD)
            for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
                child.hide()

    def paintEvent(self, _event):
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), HEAD)
        option.state |= QtWidgets.QStyle.State_Raised
        self.style().drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option, painter, self)
        arrow = QtWidgets.QStyle.PE_IndicatorArrowRight if self.is_collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown
        option.rect = QtCore.QRect(8, 6, 12, 12)
        self.style().drawPrimitive(arrow, option, painter, self)
        painter.setPen(self.palette().buttonText().color())
        painter.drawText(QtCore.QRect(26, 0, self.width() - 30, HEAD), QtCore.Qt.AlignVCenter, self.title)


class Group(QtWidgets.QGroupBox):
    """``ctkCollapsibleGroupBox``"""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.is_collapsed = False

    def get_collapsed(self):
        return self.is_collapsed

    def set_collapsed(self, collapsed):
        self.is_collapsed = collapsed

    collapsed = QtCore.Property(bool, get_collapsed, set_collapsed)

    def arrange(self):
        self.setTitle(("▸ " if self.is_collapsed else "▾ ") + self.title())
        if self.is_collapsed:
            self.setStyleSheet(
                "QGroupBox { border: 0; margin-top: 16px } QGroupBox::title { subcontrol-origin: margin; left: 0 }"
            )
            self.setFixedHeight(HEAD - 4)
            for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
                child.hide()


class NodeSelector(QtWidgets.QComboBox):
    """``qMRMLNodeComboBox``"""


class Row(QtWidgets.QWidget):
    """Widgets side by side."""

    def __init__(self, parent, *widgets):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in widgets:
            row.addWidget(widget)


class Slider(Row):
    """``ctkSliderWidget``"""

    def __init__(self, parent=None):
        self.slider, self.box = QtWidgets.QSlider(QtCore.Qt.Horizontal), QtWidgets.QDoubleSpinBox()
        super().__init__(parent, self.slider, self.box)

    def show_value(self, value, maximum):
        self.slider.setRange(0, 100)
        self.slider.setValue(round(100 * value / (maximum or 1)))
        self.box.setRange(0, maximum)
        self.box.setValue(value)


class PathEdit(Row):
    """``ctkPathLineEdit``"""

    def __init__(self, parent=None):
        self.edit, button = QtWidgets.QComboBox(), QtWidgets.QToolButton()
        self.edit.setEditable(True)
        self.edit.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Fixed)
        button.setText("...")
        super().__init__(parent, self.edit, button)


class Editor(QtWidgets.QWidget):
    """``qMRMLSegmentEditorWidget``: segments and effects."""

    EFFECTS = ("None", "Threshold", "Paint", "Draw", "Erase", "Level tracing", "Scissors", "Smoothing")

    def __init__(self, parent=None):
        super().__init__(parent)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(Row(self, *(QtWidgets.QPushButton(text) for text in ("Add", "Remove", "Show 3D"))))
        self.table = QtWidgets.QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["", "Name"])
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.setColumnWidth(0, 32)
        self.table.verticalHeader().hide()
        self.table.setFixedHeight(110)
        column.addWidget(self.table)
        grid = QtWidgets.QGridLayout()
        for n, effect in enumerate(self.EFFECTS):
            button = QtWidgets.QToolButton()
            button.setText(effect)
            button.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
            grid.addWidget(button, n // 4, n % 4)
        column.addLayout(grid)

    def show_segments(self, segments):
        self.table.setRowCount(len(segments))
        for row, (name, color) in enumerate(segments):
            patch = QtWidgets.QTableWidgetItem()
            patch.setBackground(QtGui.QColor.fromRgbF(*color))
            self.table.setItem(row, 0, patch)
            self.table.setItem(row, 1, QtWidgets.QTableWidgetItem(name))


class Plot(QtWidgets.QWidget):
    """``qMRMLPlotWidget``: lines over a common x axis, each scaled to the height."""

    COLORS = ("#1f77b4", "#d62728", "#2ca02c")

    def __init__(self, parent=None):
        super().__init__(parent)
        self.curves = {}

    def paintEvent(self, _event):
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        painter.fillRect(self.rect(), QtCore.Qt.white)
        area = self.rect().adjusted(24, 20, -12, -20)
        painter.setPen(QtGui.QColor("#888888"))
        painter.drawRect(area)
        ends = [x for curve in self.curves.values() for x, _ in curve]
        for n, (name, curve) in enumerate(self.curves.items()):
            painter.setPen(QtGui.QPen(QtGui.QColor(self.COLORS[n % 3]), 2))
            painter.drawText(area.left() + 8 + 80 * n, area.top() - 5, name)
            top = max(1e-9, *(y for _, y in curve)) if curve else 1
            last = max(1, *ends)
            points = [
                QtCore.QPointF(area.left() + x / last * area.width(), area.bottom() - y / top * area.height())
                for x, y in curve
            ]
            painter.drawPolyline(points)


STAND_INS = {
    "qMRMLWidget": QtWidgets.QWidget,
    "ctkCollapsibleButton": Section,
    "ctkCollapsibleGroupBox": Group,
    "ctkSliderWidget": Slider,
    "ctkPathLineEdit": PathEdit,
    "qMRMLNodeComboBox": NodeSelector,
    "qMRMLCheckableNodeComboBox": NodeSelector,
    "qMRMLSegmentEditorWidget": Editor,
    "qMRMLPlotWidget": Plot,
}


class Loader(QUiLoader):
    """Qt's loader with the stand-ins."""

    def createWidget(self, name, parent=None, object_name=""):
        if name not in STAND_INS:
            return super().createWidget(name, parent, object_name)
        widget = STAND_INS[name](parent)
        widget.setObjectName(object_name)
        return widget


def apply(widget, state):
    """Put a fake widget's state into the real one."""
    widget.setEnabled(state["enabled"])
    if not state["shown"]:
        widget.hide()
    for name in ("text", "title", "plainText", "checked", "collapsed", "minimum", "maximum", "value"):
        if name in state and not isinstance(widget, Slider):
            widget.setProperty(name, state[name])
    if isinstance(widget, Slider):
        widget.show_value(state["value"], state["maximum"])
    if isinstance(widget, PathEdit):
        widget.edit.setEditText(state["currentPath"])
    if "items" in state:
        widget.clear()
        widget.addItems(state["items"])
        widget.setCurrentIndex(state["currentIndex"])
    if "rows" in state:
        fill(widget, state["rows"], state["headers"])
    if isinstance(widget, Editor):
        widget.show_segments(state["segments"])
    if isinstance(widget, Plot):
        widget.curves = state["curves"]


def fill(table, rows, headers):
    table.setRowCount(len(rows))
    table.setColumnCount(len(headers))
    table.setHorizontalHeaderLabels(headers)
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            table.setItem(r, c, QtWidgets.QTableWidgetItem(text))
    table.resizeColumnsToContents()
    table.horizontalHeader().setStretchLastSection(True)


def render(states, path):
    """Draw the panel 380 px wide, as high as it wants to be.

    Returns:
        The names of labels and buttons whose text does not fit.
    """
    panel = Loader().load(str(UI))
    for widget in panel.findChildren(QtWidgets.QWidget):
        if widget.objectName() in states:
            apply(widget, states[widget.objectName()])
    for section in panel.findChildren(Section) + panel.findChildren(Group):
        section.arrange()
    panel.setFixedWidth(WIDTH)
    panel.show()
    QtWidgets.QApplication.processEvents()
    panel.resize(WIDTH, max(panel.layout().heightForWidth(WIDTH), panel.sizeHint().height()))
    QtWidgets.QApplication.processEvents()
    panel.grab().save(str(path))
    return cut_off(panel)


def cut_off(panel):
    """Buttons and labels that are too narrow for their text, and a panel that is wider than it may be."""
    names = ["the panel"] * (panel.minimumSizeHint().width() > WIDTH)
    for widget in panel.findChildren(QtWidgets.QWidget):
        narrow = widget.width() < widget.minimumSizeHint().width()
        if widget.isVisible() and narrow and isinstance(widget, (QtWidgets.QAbstractButton, QtWidgets.QLabel)):
            names.append(widget.objectName())
    return names


def main(state_path, picture_path):
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    application.setStyle("Fusion")
    states = json.loads(Path(state_path).read_text(encoding="utf-8"))
    cut = render(states, picture_path)
    sys.stdout.write(f"{picture_path}\n")
    if cut:
        sys.exit(f"{picture_path}: cut off: {', '.join(cut)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
