"""What the buttons and inputs of the browser's panel do, pressed as a browser presses them."""

import time

import pytest
import SimpleITK as sitk
import slicer
from loop_driver import ANNOTATED, HIDDEN, dice, truth_of, with_result

from SSLSegmentLib import loop_session, mrml, wording
from SSLSegmentLib.loop_state import State
from SSLSegmentLib.panel_export import WRITING
from SSLSegmentLib.panel_train import DOUBLE_CLICK_S, SHOWN_MESSAGES
from SSLSegmentLib.segments import drawn_state


@pytest.fixture
def opened(web, patient, views):
    """A panel with a volume and a drawing, and views that look at them."""
    patient.open_in(web)
    assert web.loop.jump_to(3, 0) == len([view for view in views if view.GetName() == "Red"])
    return web


@pytest.fixture
def predicted(opened, patient):
    with_result(opened.loop, patient)
    opened.loop.state = State.DONE
    opened.show()
    return opened


def used(web):
    return [row["index"] for row in web.state("Slices.rows") if row["counts"]]


def test_jump(opened):
    opened.click("jump-${row.index}", index=6)
    assert opened.loop.slice_in_view(0) == 6
    assert not opened.state("Slices.suggestion")


def test_jump_without_a_view(web, patient, views):
    patient.open_in(web)
    for view in views:
        view.SetOrientation("Sagittal")
    web.click("jump-${row.index}", index=6)
    assert web.state("Slices.suggestion") == wording.NO_VIEW


def test_mark_as_empty(opened):
    opened.click("mark-empty")
    assert used(opened) == sorted([*ANNOTATED, 3])
    opened.click("remove-${row.index}", index=3)
    assert used(opened) == list(ANNOTATED)


def test_a_drawn_slice_is_not_empty(opened):
    opened.click("jump-${row.index}", index=4)
    opened.click("mark-empty")
    assert "4" in opened.state("Slices.suggestion") or "5" in opened.state("Slices.suggestion")
    assert used(opened) == list(ANNOTATED)


def test_remove_and_use_again(opened, patient):
    opened.click("remove-${row.index}", index=4)
    assert used(opened) == [1, 6]
    assert len(opened.state("Slices.rows")) == 3
    opened.click("remove-${row.index}", index=4)
    assert used(opened) == [1, 4, 6]
    assert patient.is_untouched()


@pytest.mark.parametrize("index", [99, -1])
def test_a_row_that_is_gone_meanwhile_is_passed_over(opened, index):
    opened.click("remove-${row.index}", index=index)
    assert used(opened) == list(ANNOTATED)


def test_suggest_and_accept(predicted, patient):
    predicted.click("jump-${row.index}", index=6)
    predicted.click("suggest")
    assert predicted.loop.slice_in_view(0) == 3
    assert predicted.state("Slices.suggestion").startswith("Slice 4 (")
    predicted.click("accept-slice")
    assert predicted.state("Result.text") == "Slice 4 was accepted."
    assert predicted.state("Slices.suggestion") == ""
    assert used(predicted) == [1, 3, 4, 6]
    predicted.click("undo")
    assert patient.is_untouched()


def test_accept_all_and_discard(predicted, patient):
    predicted.click("accept-all")
    labels = mrml.class_array(patient.segmentation, patient.volume)
    assert (labels == patient.truth).all()
    assert predicted.state("Step.action") == "export"
    predicted.click("discard")
    assert not predicted.state("Result.present")
    assert predicted.state("Result.undo.allowed")


@pytest.mark.parametrize(
    ("testid", "setting", "value"),
    [
        ("preset", "preset", "accurate"),
        ("weights", "weights", "auto"),
        ("background", "background_segment_id", "segment2"),
        ("device", "device", "auto"),
        ("axis", "axis", 1),
        ("outline", "prediction_style", "fill"),
        ("show-prediction", "show_prediction", False),
        ("show-3d", "show_in_3d", False),
        ("show-uncertainty", "show_uncertainty", False),
        ("opacity", "prediction_opacity", 0.25),
        ("uncertainty", "uncertainty_opacity", 1),
        ("export-format-stl", "export_formats", ["seg.nrrd", "stl"]),
    ],
)
def test_a_choice_reaches_the_loop(opened, testid, setting, value):
    opened.enter(testid, value)
    found = getattr(opened.loop.settings, setting)
    assert found == value
    assert type(found) is type(getattr(type(opened.loop.settings)(), setting))


@pytest.mark.parametrize(
    ("key", "text", "setting", "value"),
    [
        ("time_limit_s", "12.5", "time_limit_s", 12.5),
        ("time_limit_s", "-3", "time_limit_s", 0.0),
        ("time_limit_s", "soon", "time_limit_s", 1.0),
        ("time_limit_s", "", "time_limit_s", 1.0),
        ("time_limit_s", "nan", "time_limit_s", 0.0),
        ("time_limit_s", "inf", "time_limit_s", 86400.0),
        ("seed", "7", "seed", 7),
        ("seed", "1e99", "seed", 2**31 - 1),
        ("seed", None, "seed", 0),
    ],
)
def test_a_number_is_taken_or_put_back(opened, key, text, setting, value):
    with opened.server.state as state:
        state[f"OptionsState__{key}"] = text
    assert getattr(opened.loop.settings, setting) == value
    assert float(opened.state(f"Options.{key}")) == value


def test_what_is_entered_together_is_taken_together(opened):
    """A browser sends in one message what was changed while the server had something else to do."""
    entered = {"prediction_opacity": 0.5, "prediction_style": "fill", "show_in_3d": False, "show_uncertainty": False}
    with opened.server.state as state:
        state.update({f"ResultState__{name}": value for name, value in entered.items()})
    assert {name: getattr(opened.loop.settings, name) for name in entered} == entered
    assert {name: opened.state(f"Result.{name}") for name in entered} == entered


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ResultState__prediction_opacity", "all"),
        ("OptionsState__axis", "oblique"),
        ("OptionsState__axis", 7),
        ("ExportState__formats", 7),
        ("OptionsState__preset", None),
    ],
)
def test_what_no_page_sends_is_put_back(opened, key, value):
    before = opened.server.state[key]
    with opened.server.state as state:
        state.update({key: value, "ResultState__prediction_style": "fill"})
    assert opened.server.state[key] == before
    assert opened.loop.settings.prediction_style == "fill"


def test_the_device_is_kept_for_the_next_training(opened):
    opened.enter("device", "cuda:3")
    assert opened.loop.store.value("SSLSegment/Device") == "cuda:3"
    assert "cuda:3" in [item["value"] for item in opened.state("Options.device_items")]


def test_display_follows_at_once(predicted):
    predicted.enter("opacity", 0.5)
    assert predicted.loop.settings.prediction_opacity == 0.5
    assert predicted.state("Result.prediction_opacity") == 0.5


def test_export(opened, patient):
    opened.enter("export-format-nii.gz", ["seg.nrrd", "nii.gz", "stl"])
    opened.click("export")
    (paths,) = opened.offered
    names = ["heart drawn.seg.nrrd", "heart drawn.nii.gz", "heart drawn_Name of segment1.stl",
             "heart drawn_Name of segment2.stl"]  # fmt: skip
    assert [path.name for path in paths] == [file["name"] for file in opened.state("Export.files")] == names
    assert opened.state("Export.files")[0]["address"] == f"files/token/{names[0]}"
    assert all(opened.folder in path.parents for path in paths)
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(paths[1])))
    assert (written == mrml.class_array(patient.segmentation, patient.volume)).all()
    assert opened.state("Export.text") == ""


def draw_more(patient):
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(patient.segmentation, "segment1", patient.volume)
    mask[0, 3:6, 3:6] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, patient.segmentation, "segment1", patient.volume)


def test_each_export_has_a_folder_of_its_own(opened):
    opened.click("export")
    opened.enter("export-format-nii.gz", ["seg.nrrd"])
    opened.click("export")
    first, second = (paths[0] for paths in opened.offered)
    assert first != second
    assert first.is_file()
    assert second.is_file()


def test_no_file_of_the_server_is_taken_for_weights(opened, tmp_path):
    before = opened.loop.settings.weights
    (tmp_path / "private.safetensors").write_bytes(b"x")
    opened.enter("weights", str(tmp_path / "private.safetensors"))
    assert opened.loop.settings.weights == opened.state("Options.weights") == before
    assert "private" not in str(opened.state("Options.weights_items"))


def test_a_name_is_used(opened):
    with opened.server.state as state:
        state["ExportState__name"] = "../../été: 1"
    opened.click("export")
    (path,) = opened.offered[0]
    assert path.parent.parent == opened.folder
    assert "été" in path.name


def test_a_large_volume_is_written_beside_the_page(opened, patient, monkeypatch):
    monkeypatch.setattr(loop_session, "DONE_AT_ONCE", 0)
    before = drawn_state(patient.segmentation)
    opened.click("export")
    assert opened.state("Export.text") == WRITING
    draw_more(patient)
    opened.poll_until(lambda: opened.offered)
    assert opened.drawings == [(patient.segmentation.GetID(), before)], "what was drawn meanwhile is in no file"
    assert before != drawn_state(patient.segmentation)
    assert opened.state("Export.files")
    assert not opened.server.state.is_dirty("ExportState__files", "ExportState__text")  # the browser knows


def test_no_format_at_all(opened):
    opened.enter("export-format-nii.gz", [])
    opened.click("export")
    assert opened.state("Export.text") == "Choose at least one format to export."
    assert opened.offered == []


def test_a_format_that_cannot_be_written(opened):
    assert list(opened.state("Export.problems")) == ["dcm"]
    opened.enter("export-format-dcm", ["dcm"])
    opened.click("export")
    assert opened.state("Export.text") == opened.state("Export.problems")["dcm"]
    assert opened.offered == []
    assert opened.state("Export.files") == []


@pytest.fixture
def trained(new_web_panel, patient):
    """A panel with a real worker, after a real training, by clicks alone."""
    web = new_web_panel()
    patient.open_in(web)
    web.poll_until(lambda: web.state("Options.hardware").startswith("CPU"))
    web.click("train")
    assert web.state("Train.busy")
    assert web.state("Step.action") == "stop"
    web.poll_until(lambda: web.state("Curve.loss"))
    assert web.state("Train.fraction") > 0
    web.poll_until(lambda: not web.loop.state.busy)
    return web


def test_the_whole_loop(trained, patient):
    """Train, look, accept, save, export; and a training that dies."""
    assert trained.loop.state is State.DONE, trained.state("Train.error")
    assert patient.is_untouched()
    assert [row["name"] for row in trained.state("Result.volumes")] == ["Name of segment1", "Name of segment2"]
    assert trained.state("Train.has_log") is (trained.loop.log_path.stat().st_size > 0)
    trained.click("accept-all")
    labels = mrml.class_array(patient.segmentation, patient.volume)
    assert dice(labels[list(HIDDEN)] > 0, truth_of()[list(HIDDEN)] > 0) > 0.5
    trained.click("save-model")
    (model,) = trained.offered[-1]
    assert trained.drawings[-1] is None, "a model holds no drawing"
    assert model.name == "heart drawn model.safetensors"
    assert model.read_bytes() == trained.loop.model_path.read_bytes()
    trained.click("undo")
    trained.loop.settings.time_limit_s = 0.0
    trained.click("train")
    trained.poll_until(lambda: trained.loop.progress.loss is not None)
    trained.loop.worker.start().kill()
    trained.poll_until(lambda: not trained.loop.state.busy)
    assert trained.state("Train.error") == wording.error_line(trained.loop) != ""
    assert trained.state("Step.action") == "train"
    assert trained.state("Train.train.allowed")


def test_stop(new_web_panel, patient):
    web = new_web_panel()
    web.loop.settings.time_limit_s = 0.0
    patient.open_in(web)
    web.click("train")
    web.poll_until(lambda: web.loop.progress.loss is not None)
    web.click("stop")
    assert web.loop.state is State.STOPPING
    web.poll_until(lambda: not web.loop.state.busy)
    assert web.loop.state is State.CANCELLED
    assert web.state("Result.present")
    assert len(web.state("Train.messages")) <= SHOWN_MESSAGES


def test_the_second_click_on_stop_starts_nothing(web, patient):
    patient.open_in(web)
    web.click("train")
    while web.loop.state.busy:
        web.click("stop")
    web.click("train")  # within a moment: meant for the button that was there before
    assert not web.loop.state.busy
    time.sleep(DOUBLE_CLICK_S)
    web.click("train")
    assert web.loop.state.busy
