"""What the panels say: every sentence, in every state."""

import pytest
from loop_driver import ANNOTATED, with_result

from sslseg.errors import SSLSegError
from sslseg.progress import Progress
from SSLSegmentLib import wording
from SSLSegmentLib.loop_job import Suggestion
from SSLSegmentLib.loop_state import ACTIONS, State
from SSLSegmentLib.wording import SliceRow


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"), (0.4, "1 s"), (4.4, "4 s"), (59.4, "59 s"), (59.6, "1 min"), (61, "1 min"), (130, "2 min 10 s"),
        (595, "10 min"), (599, "10 min"), (600, "10 min"), (629, "10 min"), (3600, "1 h"), (3910, "1 h 5 min"),
        (90000, "25 h"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("ml", "text"),
    [(0, "not found"), (0.0001, "less than 0.001 ml"), (0.0123, "0.012 ml"), (1.234, "1.23 ml"), (12.34, "12.3 ml"),
     (123.4, "123 ml"), (1234.5, "1234 ml")],
)  # fmt: skip
def test_volumes(ml, text):
    assert wording.volume_text(ml) == text


def test_rows_of_the_annotated_slices(idle_driver, loop):
    names = "Name of segment1, Name of segment2"
    idle_driver.do("mark_empty", 7)
    idle_driver.do("exclude", 4)
    idle_driver.do("exclude", 0)
    assert wording.slice_rows(loop) == [
        SliceRow(0, "Slice 1", "S 5.0 mm", "excluded", False, True),
        SliceRow(1, "Slice 2", "S 9.0 mm", names, False, False),
        SliceRow(4, "Slice 5", "S 21.0 mm", f"excluded: {names}", False, True),
        SliceRow(6, "Slice 7", "S 29.0 mm", names, False, False),
        SliceRow(7, "Slice 8", "S 33.0 mm", "empty", True, False),
    ]


def test_rows_follow_names_and_nodes(idle_driver, loop, patient):
    patient.segmentation.GetSegmentation().GetSegment("segment1").SetName("größer")
    assert wording.slice_rows(loop)[0].content == "größer, Name of segment2"
    patient.segmentation.GetSegmentation().RemoveSegment("segment2")
    assert wording.slice_rows(loop)[0].content == "größer"
    idle_driver.do("set_segmentation", None)
    assert wording.slice_rows(loop) == []
    idle_driver.do("mark_empty", 3)
    assert [row.content for row in wording.slice_rows(loop)] == ["empty"]
    idle_driver.do("set_volume", None)
    assert wording.slice_rows(loop) == []


PROGRESS = Progress("fine-tuning", 40, 120, eta_s=72.0, device="cuda:0")


@pytest.mark.parametrize(
    ("state", "progress", "text"),
    [
        (State.PREPARING, Progress("preparing"), "Preparing…"),
        (State.PREPARING, Progress(""), "Preparing the training…"),
        (State.TRAINING, PROGRESS, "Fine-tuning: step 40 of 120, about 1 min 10 s left, on the GPU (cuda:0)."),
        (State.TRAINING, Progress("predicting", 3, 8, device="cpu"), "Predicting: step 3 of 8, on the CPU."),
        (State.STOPPING, Progress("predicting", 3, 8),
         "Stopping, the best model so far is kept. Predicting: step 3 of 8."),
        (State.CANCELLED, PROGRESS, "Stopped."),
        (State.FAILED, PROGRESS, "Failed."),
        (State.IDLE, Progress(""), "Ready to train on 3 annotated slices."),
    ],
)  # fmt: skip
def test_the_status_line(loop, state, progress, text):
    loop.state, loop.progress = state, progress
    assert wording.status_line(loop) == text


def test_the_status_line_says_what_is_missing_and_what_is_shown(idle_driver, loop, patient):
    with_result(loop, patient)
    loop.state = State.DONE
    assert wording.status_line(loop) == "Done: correct a slice and train again, or accept the prediction."
    loop.state = State.CANCELLED
    assert wording.status_line(loop) == "Stopped. The latest prediction is shown."
    idle_driver.do("set_volume", None)
    assert wording.status_line(loop) == "Choose a volume."


def test_the_bar(loop):
    loop.progress = PROGRESS
    assert wording.progress_fraction(loop) is None, "nothing is going on"
    loop.state = State.TRAINING
    assert wording.progress_fraction(loop) == pytest.approx(1 / 3)
    loop.progress = Progress("preparing")
    assert wording.progress_fraction(loop) is None
    loop.progress = Progress("fine-tuning", 5, 4)
    assert wording.progress_fraction(loop) == 1


def test_the_train_button_lists_all_that_is_missing(idle_driver, loop):
    assert wording.tooltip(loop, "train") == wording.DESCRIPTIONS["train"]
    idle_driver.do("set_volume", None)
    idle_driver.do("set_segmentation", None)
    assert wording.tooltip(loop, "train").splitlines() == [
        wording.DESCRIPTIONS["train"],
        "Before that:",
        "• Choose a volume.",
        "• Choose or create a segmentation.",
    ]


def test_every_action_is_described():
    assert wording.DESCRIPTIONS.keys() == ACTIONS.keys()


def test_why_a_slice_is_suggested(loop, patient):
    assert wording.suggestion_text(loop, None) == "There is no prediction yet: train first."
    with_result(loop, patient)
    suggestion = Suggestion(3, 1.0, "1.4 x the mean uncertainty, 2 slices from the nearest annotated one")
    assert wording.suggestion_text(loop, suggestion) == (
        "Slice 4 (S 17.0 mm) would help most: 1.4 x the mean uncertainty, 2 slices from the nearest annotated one."
    )
    loop.suggestions = [Suggestion(ANNOTATED[0], 1.0, "known")]
    assert wording.suggestion_text(loop, loop.suggest_next()) == "No slice is suggested."


def test_the_error_line_is_the_reason_and_the_last_word(loop):
    assert wording.error_line(loop) == ""
    loop.error = SSLSegError("The device is gone: choose another.")
    assert wording.error_line(loop) == "The device is gone: choose another."
    loop.error = SSLSegError("The worker ended unexpectedly (exit code 1).\nTraceback\n  File\nMemoryError: x\n\n")
    assert wording.error_line(loop) == "The worker ended unexpectedly (exit code 1). It said last: MemoryError: x"
