"""State of the loop -> what the panel of the browser says: as a table, and always what the Qt-free rooms say."""

import re
from types import SimpleNamespace

import pytest
from loop_driver import with_result

from sslseg.errors import SSLSegError
from sslseg.progress import Progress
from SSLSegmentLib import labels, wording
from SSLSegmentLib.loop_state import State
from SSLSegmentWeb.next_step import NextStep

BUTTONS = {
    "train": "Train.train",
    "stop": "Train.stop",
    "suggest_next": "Slices.suggest",
    "accept_slice": "Result.accept_slice",
    "accept_all": "Result.accept_all",
    "undo": "Result.undo",
    "discard": "Result.discard",
    "save_model": "Export.save_model",
    "export": "Export.export",
}


def nothing(web, patient):
    pass


def only_a_volume(web, patient):
    web.do("set_volume", patient.volume)


def drawn(web, patient):
    patient.open_in(web)


def predicted(web, patient):
    patient.open_in(web)
    with_result(web.loop, patient)
    web.loop.state = State.DONE


def training(web, patient):
    patient.open_in(web)
    web.loop.state = State.TRAINING
    web.loop.progress = Progress("fine-tuning", 30, 120, 0.5, 0.8, 65.0, "cpu")
    web.loop.messages = ["The batch was halved."]


def stopping(web, patient):
    training(web, patient)
    web.loop.state = State.STOPPING


def preparing(web, patient):
    patient.open_in(web)
    web.loop.state, web.loop.progress = State.PREPARING, Progress("preparing")


def failed(web, patient):
    predicted(web, patient)
    web.loop.state = State.FAILED
    web.loop.error = SSLSegError("The worker ended unexpectedly (exit code 3).\nTraceback\nRuntimeError: no memory")


STATES = (nothing, only_a_volume, drawn, preparing, training, stopping, predicted, failed)


@pytest.fixture(params=STATES, ids=lambda state: state.__name__)
def in_state(request, web, patient):
    request.param(web, patient)
    web.show()
    yield web
    web.loop.state = State.IDLE


def test_buttons_are_as_the_loop_says(in_state):
    for action, name in BUTTONS.items():
        assert in_state.state(f"{name}.allowed") is in_state.loop.availability(action).allowed, action
        assert in_state.state(f"{name}.tooltip") == wording.tooltip(in_state.loop, action)


def test_sentences_are_those_of_every_face(in_state):
    web, loop = in_state, in_state.loop
    assert web.state("Train.status") == wording.status_line(loop)
    assert web.state("Train.messages") == loop.messages
    assert web.state("Train.error") == wording.error_line(loop)
    assert web.state("Options.hardware") in ("", loop.hardware.text)
    rows = [(row["title"], row["offset"]) for row in web.state("Slices.rows")]
    assert rows == [(row.title, row.offset) for row in wording.slice_rows(loop)]
    assert [(row["name"], row["volume"]) for row in web.state("Result.volumes")] == wording.volume_rows(loop)


def test_nothing_is_sent_twice(in_state):
    """Showing again what is shown already sends nothing to the browser."""
    state = in_state.server.state
    in_state.panel.show()
    assert not state.is_dirty(*state.to_dict())


@pytest.mark.parametrize(
    ("state", "busy", "fraction", "present", "error", "next_step"),
    [
        (nothing, False, -1, False, "", "train"),
        (drawn, False, -1, False, "", "train"),
        (preparing, True, -1, False, "", "stop"),
        (training, True, 25, False, "", "stop"),
        (stopping, True, 25, False, "", "stop"),
        (predicted, False, -1, True, "", "suggest_next"),
        (failed, False, -1, True, "exit code 3). It said last: RuntimeError: no memory", "train"),
    ],
)
def test_what_a_state_looks_like(web, patient, state, busy, fraction, present, error, next_step):
    state(web, patient)
    web.show()
    found = [web.state(name) for name in ("Train.busy", "Train.fraction", "Result.present")]
    assert found == [busy, fraction, present]
    assert error in web.state("Train.error")
    assert bool(web.state("Train.details")) is bool(error)
    assert web.state("Step.action") == next_step
    web.loop.state = State.IDLE


def test_rows_have_names_and_colours(web, patient):
    patient.open_in(web)
    web.do("exclude", 4)
    web.do("mark_empty", 0)
    rows = {row["index"]: row for row in web.state("Slices.rows")}
    assert [(rows[k]["mark"], rows[k]["counts"], rows[k]["remove"]) for k in (0, 1, 4)] == [
        ("empty", True, labels.REMOVE.title),
        ("", True, labels.REMOVE.title),
        ("excluded", False, labels.USE_AGAIN),
    ]
    drawn_on = [(each["name"], each["color"]) for each in rows[1]["drawn"]]
    assert drawn_on == [("Name of segment1", "#e6331a"), ("Name of segment2", "#1a99e6")]


def test_a_curve_follows_the_training(web):
    for step in range(40):
        web.loop.overlay.add_to_curves(Progress("fine-tuning", step, 40, 1.0 - step / 40, step / 40))
    web.show()
    assert web.state("Curve.latest") == ["Loss 0.03", "Dice 0.97"]
    assert web.state("Curve.loss").count("L") == 39
    web.loop.overlay.begin_curves()
    web.show()
    assert web.state("Curve.loss") == web.state("Curve.dice") == ""


def fake_loop(**changes):
    """As much of a loop as the next step depends on: the rule in isolation, one fact at a time."""
    facts = {"state": State.DONE, "result": object(), "revision": 0, "open": [3], "suggestion": 3, **changes}
    return SimpleNamespace(
        state=facts["state"],
        result=facts["result"],
        user=SimpleNamespace(revision=facts["revision"], up_to_date=True),
        acceptance=SimpleNamespace(open_slices=lambda _: facts["open"]),
        suggest_next=lambda: facts["suggestion"],
    )


@pytest.mark.parametrize(
    ("suggested", "drawn_since", "facts", "action"),
    [
        (None, False, {"state": State.TRAINING}, "stop"),
        (None, False, {"result": None}, "train"),
        (None, False, {"state": State.FAILED}, "train"),
        (None, False, {}, "suggest_next"),
        (3, False, {}, "accept_slice"),
        (3, True, {}, "train"),
        (None, False, {"suggestion": None}, "accept_all"),
        (None, True, {"open": []}, "export"),
    ],
)
def test_one_button_is_put_forward(suggested, drawn_since, facts, action):
    loop = fake_loop(**facts)
    step = NextStep(loop, SimpleNamespace(suggested=suggested))
    step.action()
    loop.user.revision += drawn_since
    assert step.action() == action


CONTRACT = {
    "slice-row-${row.index}", "jump-${row.index}", "remove-${row.index}", "mark-empty", "suggest", "suggestion",
    "weights", "preset", "device", "train", "stop", "status", "progress", "curve", "opacity", "outline", "uncertainty",
    "accept-slice", "accept-all", "undo", "discard", "export", "download-${n}", "error", "messages", "save-model",
}  # fmt: skip
INPUTS = {"vbtn", "button", "vselect", "vslider", "vswitch", "vcheckbox", "vtextfield", "vbtntoggle"}


def test_everything_that_is_used_can_be_found_and_has_a_name(web):
    found = [
        (attributes.get("data-testid") or attributes.get(":data-testid", "").strip("`"), tag, attributes, text)
        for (tag, attributes), text in zip(web.template.elements, web.template.texts, strict=True)
    ]
    names = [testid for testid, *_ in found if testid and testid != "help"]
    assert len(names) == len(set(names))
    assert set(names) >= CONTRACT | {f"export-format-{choice}" for choice in ("seg.nrrd", "nii.gz", "stl", "dcm")}
    inputs = [entry for entry in found if entry[1] in INPUTS]
    assert len(inputs) > 30
    for testid, _tag, attributes, text in inputs:
        assert testid, attributes
        assert {"label", "name", "aria-label", ":aria-label"} & set(attributes) or text, testid


def test_every_state_of_the_template_exists(web):
    used = set(re.findall(r"\b\w+State__\w+", repr(web.template.elements) + "".join(web.template.texts)))
    assert len(used) > 60
    assert not [name for name in used if not web.server.state.has(name)]


def test_no_address_of_another_machine(web):
    assert not re.findall(r"(?:https?:)?//\w+", repr(web.template.elements) + "".join(web.template.texts))
