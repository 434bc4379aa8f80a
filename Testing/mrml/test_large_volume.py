"""A volume of the size of a CT: nothing that the loop does holds up the viewer for longer than 100 ms."""

import time
from functools import partial

import numpy as np
import pytest
import slicer
from mrml_cases import LABELMAP

from main_thread import Ledger
from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels
from SSLSegmentLib import mrml
from SSLSegmentLib.loop_state import State

CT = (300, 512, 512)
THICK_SLICES = (12, 512, 512)
"""Large enough to be worked on beside the viewer."""

CONFIDENT_WORKER = r"""
import json, sys
import numpy as np

def say(number, **reply):
    print(json.dumps({"id": number, "event": "result", **reply}), flush=True)

say(0, ready=True, version="1", pid=1, torch="", devices=[{"name": "cpu", "description": "CPU"}])
for line in sys.stdin:
    request = json.loads(line)
    number, do = request["id"], request["do"]
    if do == "load":
        volume = np.load(request["array"], mmap_mode="r")
        say(number, shape=volume.shape, seconds=0.0)
    elif do == "finetune":
        open(request["model"], "wb").close()
        say(number, model=request["model"], stopped="schedule", steps=1, seconds=0.0, device="cpu", messages=[])
    elif do == "predict":
        np.save(request["output"], (volume > 100).astype(np.uint8) + (volume > 300))
        np.save(request["uncertainty"], np.linspace(0, 1, volume.size, dtype=np.float32).reshape(volume.shape))
        say(number, output=request["output"], uncertainty=request["uncertainty"], stopped="schedule",
            seconds=0.0, device="cpu", messages=[])
    elif do == "suggest":
        say(number, suggestions=[{"index": 100, "score": 1.0, "reason": "far from the others"}])
    elif do == "shutdown":
        say(number)
        break
"""


def body_of(shape):
    """An ellipsoid that fills nearly the whole volume, and another one in it."""
    axes = [(index - n / 2) / (0.49 * n) for n, index in zip(shape, np.ogrid[[slice(n) for n in shape]], strict=True)]
    from_centre = sum(axis**2 for axis in axes)
    return (200 * (from_centre < 1) + 200 * (from_centre < 0.1)).astype(np.int16)


class Clock:
    """Calls methods of a loop, and remembers those that took too long."""

    def __init__(self, driver) -> None:
        self.driver, self.ledger = driver, Ledger(always=0)

    def __call__(self, name, *arguments):
        return self.ledger.call(name, partial(self._use, name), *arguments)

    def _use(self, name, *arguments):
        found = getattr(self.driver.loop, name)
        return found(*arguments) if callable(found) else found

    def watch(self, function) -> None:
        """Call what is no method of the loop."""
        self.ledger.call(function.__name__, function)

    def until(self, condition) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.driver.loop.messages
            self("poll")
            time.sleep(0.005)


@pytest.fixture
def clock(new_driver):
    return Clock(new_driver(CONFIDENT_WORKER))


class Case:
    """A volume, and an annotation of three of its slices, opened in a loop."""

    def __init__(self, shape, clock, add_volume, add_segmentation) -> None:
        self.geometry = Geometry(shape, (0.7, 0.7, 1.0), (-180.0, -170.0, -500.0))
        body = body_of(shape)
        self.annotated = [shape[0] // 4, shape[0] // 2, 3 * shape[0] // 4]
        self.other = shape[0] // 3
        self.expected = (body > 100).astype(np.uint8) + (body > 300)
        self.volume = add_volume(body, self.geometry)
        drawn = np.zeros(shape, bool)
        drawn[self.annotated] = True
        masks = {"outer": drawn & (body == 200), "inner": drawn & (body == 400)}
        self.segmentation = add_segmentation(self.volume, masks, shared=True)
        clock("set_volume", self.volume)
        clock("set_segmentation", self.segmentation)
        clock.until(lambda: clock.driver.loop.user.up_to_date)

    def train(self, clock) -> None:
        clock("train")
        clock.until(lambda: not clock.driver.loop.state.busy)
        assert clock.driver.loop.state is State.DONE, clock.driver.loop.last_error

    def drawn(self):
        return mrml.class_array(self.segmentation, self.volume)


@pytest.fixture
def new_case(clock, add_volume, add_segmentation):
    return lambda shape: Case(shape, clock, add_volume, add_segmentation)


def indices(clock):
    return [entry.index for entry in clock("annotated_slices")]


@pytest.mark.slow
def test_no_handler_blocks_on_a_volume_of_the_size_of_a_ct(clock, new_case):
    loop, case = clock.driver.loop, new_case(CT)
    before = mrml.fingerprint(case.segmentation)
    assert indices(clock) == case.annotated
    for _ in range(2):  # the second result takes the place of the first
        case.train(clock)
    assert mrml.fingerprint(case.segmentation) == before
    np.testing.assert_array_equal(mrml.class_array(loop.overlay.prediction, case.volume), case.expected)
    voxel_ml = 0.7 * 0.7 * 1.0 / 1000
    assert [entry.volume_ml for entry in clock("segment_volumes")] == pytest.approx(
        [(case.expected == c).sum() * voxel_ml for c in (1, 2)]
    )
    for name, value in (("show_in_3d", False), ("show_in_3d", True), ("show_uncertainty", False)):
        setattr(loop.settings, name, value)
        clock("update_display")
    clock("jump_to", clock("suggest_next").index)
    clock("accept_slice", case.other)
    clock.until(lambda: not loop.accepting)
    clock("accept_all")
    assert clock("accepting")
    assert clock("availability", "train").reasons[0] == "A prediction is being accepted: wait a moment."
    clock.until(lambda: not loop.accepting)
    np.testing.assert_array_equal(case.drawn(), case.expected)
    assert indices(clock) == list(range(CT[0]))
    assert loop.user.up_to_date, "what was written need not be read again"
    image = case.segmentation.GetSegmentation().GetSegment("outer").GetRepresentation(LABELMAP)
    for _ in range(3):  # strokes in a drawing that fills the volume
        clock.watch(image.Modified)
        clock("availability", "train")
        clock("poll")
    assert not clock("availability", "undo").allowed, "the last stroke cannot be taken back by the loop"
    clock.until(lambda: loop.user.up_to_date)
    case.train(clock)
    clock("discard")
    clock("set_volume", None)
    clock("set_segmentation", None)
    assert not clock.ledger.too_slow()


@pytest.mark.slow
def test_an_export_does_not_hold_the_viewer_up(clock, new_case, tmp_path):
    loop, case = clock.driver.loop, new_case(CT)
    case.train(clock)
    clock("accept_all")
    clock.until(lambda: not loop.accepting)
    loop.settings.export_folder, loop.settings.export_formats = str(tmp_path), ["nii.gz", "stl"]
    written, failed = [], []
    clock("start_export", written.extend, failed.append)
    case.segmentation.GetSegmentation().RemoveSegment("inner")  # what the user does meanwhile is not exported
    clock.until(lambda: written or failed)
    assert not failed
    assert set(written) == set(tmp_path.iterdir())
    assert len(written) == 3, "a surface for each segment"
    found = read_dense_labels(next(path for path in written if path.name.endswith("nii.gz")), case.geometry).labels
    assert np.array_equal(found, case.expected)
    assert not clock.ledger.too_slow()


@pytest.mark.slow
def test_undo_brings_every_byte_back(clock, new_case):
    loop, case = clock.driver.loop, new_case(THICK_SLICES)
    before = mrml.fingerprint(case.segmentation)
    case.train(clock)
    clock("accept_slice", case.other)
    clock.until(lambda: not loop.accepting)
    one = mrml.fingerprint(case.segmentation)
    clock("accept_all")
    clock.until(lambda: not loop.accepting)
    np.testing.assert_array_equal(case.drawn(), case.expected)
    clock("undo")
    assert mrml.fingerprint(case.segmentation) == one
    assert indices(clock) == sorted([*case.annotated, case.other])
    clock("undo")
    assert mrml.fingerprint(case.segmentation) == before
    assert indices(clock) == case.annotated


@pytest.mark.slow
def test_what_is_drawn_while_a_prediction_is_accepted_is_kept(clock, new_case):
    loop, case = clock.driver.loop, new_case(THICK_SLICES)
    case.train(clock)
    clock("accept_all")
    assert loop.accepting
    drawn = case.drawn() == 1
    drawn[case.other, 5:9, 5:9] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn.astype(np.uint8), case.segmentation, "outer", case.volume)
    clock.until(lambda: not loop.accepting)
    assert loop.state is State.FAILED
    assert loop.last_error == "The segmentation was changed while the prediction was accepted: accept it again."
    assert loop.result is not None
    np.testing.assert_array_equal(mrml.class_array(case.segmentation, case.volume) == 1, drawn)
    clock.until(lambda: loop.user.up_to_date)
    clock("accept_all")
    clock.until(lambda: not loop.accepting)
    np.testing.assert_array_equal(case.drawn()[case.other] == 1, drawn[case.other])
    assert loop.last_error == ""


@pytest.mark.slow
def test_what_is_drawn_while_a_training_begins_is_learnt_from(clock, new_case):
    loop, case = clock.driver.loop, new_case(THICK_SLICES)
    clock("train")
    drawn = case.drawn() == 1
    drawn[case.other, 5:9, 5:9] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn.astype(np.uint8), case.segmentation, "outer", case.volume)
    learnt = []
    request = loop.worker.request

    def watch(message, on_reply):
        if message["do"] == "finetune":
            learnt.append(np.load(message["cases"][0]["labels"]))
        return request(message, on_reply)

    loop.worker.request = watch
    clock.until(lambda: not loop.state.busy)
    (labels,) = learnt
    np.testing.assert_array_equal(labels[case.other] == 1, drawn[case.other])


@pytest.mark.slow
@pytest.mark.parametrize("what", ["segmentation", "volume", "scene"])
def test_an_acceptance_is_dropped_with_what_it_is_for(clock, scene, new_case, what):
    loop, case = clock.driver.loop, new_case(THICK_SLICES)
    case.train(clock)
    clock("accept_all")
    if what == "scene":
        scene.Clear(0)
    else:
        scene.RemoveNode(getattr(case, what))
    assert not loop.accepting
    assert loop.state is State.IDLE
    clock.until(lambda: not loop.worker._tasks)
    assert loop.state is State.IDLE
    assert loop.last_error == ""
