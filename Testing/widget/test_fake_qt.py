"""The fake is as strict as the table: what a real Slicer does not have, it does not have either."""

import pytest

import fake_ui
import fake_user
from fake_qt import LOOP, QObject
from fake_slicer_app import BEHAVIOURS, CLASSES
from fake_table import ENTRIES, NotFakedError, api, without_argument_names

DECORATED = {"testingEnabled", "createNewWidgetRepresentation", "widgetRepresentation", "name"}
"""What Slicer adds to its classes in Python only, which headers do not tell."""


@pytest.fixture
def qt(desktop):
    return desktop.qt


@pytest.fixture
def ctk(desktop):
    return desktop.ctk


def test_a_typo_in_an_attribute_raises(qt):
    label = qt.QLabel("text")
    with pytest.raises(AttributeError, match="tooltip"):
        label.tooltip = "text"
    with pytest.raises(AttributeError, match="txet"):
        _ = label.txet
    with pytest.raises(AttributeError, match="setTxet"):
        label.setTxet("text")
    assert not hasattr(label, "txet")


def test_a_typo_in_a_class_raises(qt, ctk):
    with pytest.raises(AttributeError, match="QLable"):
        _ = qt.QLable
    with pytest.raises(AttributeError, match="ctkColapsibleButton"):
        _ = ctk.ctkColapsibleButton


@pytest.mark.parametrize("signature", ["clicked(int)", "clickd()", "clicked", "clicked(bool,bool)", "timeout()"])
def test_a_wrong_signal_signature_raises(qt, signature):
    button = qt.QPushButton("text")
    with pytest.raises(AttributeError, match="no signal"):
        button.connect(signature, print)


@pytest.mark.parametrize("signature", ["clicked()", "clicked(bool)", "toggled( bool )"])
def test_a_right_signal_signature_is_taken(qt, signature):
    button = qt.QPushButton("text")
    heard = []
    button.checkable = True
    assert button.connect(signature, lambda *arguments: heard.append(arguments))
    button.click()
    assert heard == [() if signature == "clicked()" else (True,)]
    assert not button.disconnect(signature, print)


@pytest.mark.parametrize(
    ("name", "value"),
    [("enabled", 1), ("enabled", None), ("text", 3), ("text", None), ("checked", "yes"), ("minimumWidth", 2.5)],
)
def test_a_value_of_another_type_raises(qt, name, value):
    with pytest.raises(AttributeError, match=f"'{name}' of QPushButton"):
        setattr(qt.QPushButton(), name, value)


def test_a_read_only_property_raises(qt):
    with pytest.raises(AttributeError, match="read only"):
        qt.QTableWidget().width = 3


def test_properties_are_no_methods(qt):
    label = qt.QLabel("text")
    assert label.text == "text"
    with pytest.raises(TypeError):
        label.text()


def test_what_exists_but_is_not_faked_says_so(qt):
    with pytest.raises(NotFakedError, match="grabGesture"):
        qt.QLabel().grabGesture(1)
    with pytest.raises(NotFakedError, match="NotAnEnumerator"):
        _ = qt.Qt.NotAnEnumerator


def test_nothing_is_offered_that_slicer_lacks():
    """Every public method of a fake class is in the table."""
    wrong = {}
    for classes in CLASSES.values():
        for name, made in classes.items():
            offered = {n for base in made.__mro__ for n in vars(base) if not n.startswith("_")}
            wrong[name] = offered - DECORATED - api(name).names - set(api(name).properties)
    assert not {name: names for name, names in wrong.items() if names}


def test_nothing_is_faked_in_vain():
    """Every fake class is in the table, or shared by some that are."""
    shared = {base.__name__ for classes in CLASSES.values() for made in classes.values() for base in made.__mro__}
    assert set(BEHAVIOURS) - {"Qt"} <= shared


def test_every_property_has_a_type():
    for name in ENTRIES:
        assert all(api(name).properties.values()), name


def test_slots_get_as_many_arguments_as_they_take(qt):
    box = qt.QSpinBox()
    heard = []
    box.connect("valueChanged(int)", lambda: heard.append("none"))
    box.connect("valueChanged(int)", lambda value, _more=None: heard.append(value))
    box.value = 7
    box.value = 7
    assert heard == ["none", 7]


def test_hidden_and_disabled_widgets_cannot_be_clicked(qt, ctk):
    section = ctk.ctkCollapsibleButton()
    button = qt.QPushButton(section)
    button.enabled = False
    with pytest.raises(AssertionError, match="disabled"):
        fake_user.click(button)
    button.enabled = True
    fake_user.click(button)
    section.collapsed = True
    with pytest.raises(AssertionError, match="hidden"):
        fake_user.click(button)
    assert button.visible is False


def test_timers_follow_the_clock(qt):
    timer = qt.QTimer()
    fired = []
    timer.connect("timeout()", lambda: fired.append(1))
    timer.setInterval(50)
    timer.start()
    LOOP.process()
    assert not fired
    LOOP.advance(0.06)
    assert fired == [1]
    timer.stop()
    LOOP.advance(1.0)
    assert fired == [1]
    qt.QTimer.singleShot(10, lambda: fired.append(2))
    LOOP.advance(0.02)
    assert fired == [1, 2]


def test_the_stopwatch_measures_the_handler_of_a_signal(qt):
    button = qt.QPushButton()

    def slow() -> None:
        sum(range(3_000_000))

    button.connect("clicked()", slow)
    fake_user.click(button)
    assert LOOP.stopwatch.seconds["click "][0] > 0.005


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("currentNodeIDChanged(const QString& id)", "currentNodeIDChanged(QString)"),
        ("f(unsigned int delay, void* caller, unsigned long event)", "f(unsignedint,void*,unsignedlong)"),
        ("g(vtkMRMLNode*)", "g(vtkMRMLNode*)"),
        ("h()", "h()"),
    ],
)
def test_argument_names_are_left_out(declared, expected):
    assert without_argument_names(declared) == expected


UI = """<ui><widget class="QWidget" name="all"><layout class="QVBoxLayout"><item>
<widget class="{kind}" name="one"><property name="{name}">{value}</property></widget></item></layout></widget></ui>"""


@pytest.mark.parametrize(
    ("kind", "name", "value", "error"),
    [
        ("QLable", "text", "<string>a</string>", KeyError),
        ("QLabel", "tooltip", "<string>a</string>", AttributeError),
        ("QLabel", "wordWrap", "<string>true</string>", AttributeError),
        ("QLabel", "text", "<enum>QFrame::Box</enum>", AttributeError),
    ],
)
def test_a_wrong_ui_file_raises(tmp_path, kind, name, value, error):
    path = tmp_path / "wrong.ui"
    path.write_text(UI.format(kind=kind, name=name, value=value), encoding="utf-8")
    with pytest.raises(error):
        fake_ui.load(str(path), BEHAVIOURS)


def test_a_right_ui_file_is_loaded(tmp_path):
    path = tmp_path / "right.ui"
    path.write_text(UI.format(kind="QLabel", name="text", value="<string>a</string>"), encoding="utf-8")
    widget = fake_ui.load(str(path), BEHAVIOURS)
    assert [child.name for child in widget.findChildren(QObject)] == ["one"]
    assert widget.findChild(QObject, "one").text == "a"
