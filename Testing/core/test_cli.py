"""The command line at work, on files, in the forms in which people have them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import SimpleITK as sitk
from cli_files import ANNOTATED, GEOMETRY, QUICK, runner, write_case
from synthetic import SEGMENTS, make_labels

from sslseg import __version__
from sslseg.annotation import IGNORE, Segment, default_segments
from sslseg.checkpoint import read_header
from sslseg.cli import main
from sslseg.cli_cases import match_segments, output_names
from sslseg.console import Output, duration
from sslseg.labelmap_io import LABEL_ENDINGS, read_dense_labels, write_labels
from sslseg.progress import Progress
from sslseg.protocol import encode

SSLSEG = [sys.executable, "-m", "sslseg.cli"]


@pytest.fixture
def run(capfd):
    return runner(capfd)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("Fälle mit Lücke"))


@pytest.fixture(scope="module")
def model(case):
    """A model of the named segments."""
    path = case / "model.safetensors"
    pair = ["--case", case / "image.nii.gz", case / "named.seg.nrrd"]
    assert main([str(word) for word in ("finetune", *pair, "--slices", "2,4", *QUICK, "-o", path)]) == 0
    return path


def voxels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


# What every user meets first.


def test_help_comes_at_once():
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        done = subprocess.run([*SSLSEG, "--help"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.5
    assert all(
        name in done.stdout for name in ("segment", "finetune", "predict", "suggest", "evaluate", "info", "demo")
    )


def test_help_imports_nothing_heavy():
    code = "import sys, sslseg.cli; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "monai", "numpy", "SimpleITK", "matplotlib", "rich"} & set(done.stdout.split())


@pytest.mark.parametrize("command", ["segment", "finetune", "predict", "suggest", "evaluate", "info", "demo"])
def test_every_command_explains_itself(run, command):
    done = run(command, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: sslseg {command}")
    assert "..." not in done.out.replace("IMAGE...", ""), "nothing is cut short"


def test_version(run):
    assert run("--version").out == f"sslseg, version {__version__}\n"


# segment


@pytest.mark.parametrize(
    ("labels", "options", "rule"),
    [
        ("sparse.nrrd", [], "255 marks what is not annotated"),
        ("dense.nii.gz", ["--slices", "2,4"], "only the named slices count"),
        ("named.seg.nrrd", ["--slices", "2, 4", "--axis", "0"], "only the named slices count"),
    ],
)
def test_segment_says_what_is_annotated_and_writes_what_was_asked(run, case, tmp_path, labels, options, rule):
    out, unsure, kept = tmp_path / "out put" / "ö.seg.nrrd", tmp_path / "u.nii.gz", tmp_path / "m.safetensors"
    done = run(
        "segment", case / "image.nii.gz", case / labels, *options, *QUICK,
        "-o", out, "--uncertainty", unsure, "--save-model", kept,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert rule in done.out
    assert "slices 2, 4 along axis 0 (K)" in done.out
    assert "time limit" in done.out
    segmentation = read_dense_labels(out)
    assert segmentation.geometry.difference(GEOMETRY) is None
    assert [s.name for s in segmentation.segments] == (
        [s.name for s in SEGMENTS] if labels == "named.seg.nrrd" else ["Segment_1", "Segment_2"]
    )
    truth = make_labels(GEOMETRY)
    assert np.array_equal(segmentation.labels[ANNOTATED], truth[ANNOTATED]), "what was annotated stays"
    assert IGNORE not in segmentation.labels
    uncertainty = voxels(unsure)
    assert uncertainty.shape == GEOMETRY.shape
    assert 0 <= uncertainty.min() <= uncertainty.max() <= 1
    assert read_header(kept)["classes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors", "out put", "u.nii.gz"]


def test_labels_without_255_count_the_slices_that_hold_a_label(run, case, tmp_path):
    labels = make_labels(GEOMETRY)
    labels[[0, 1, 3, 5, 6, 7]] = 0
    write_labels(labels, GEOMETRY, default_segments([1, 2]), tmp_path / "l.nii.gz")
    done = run("segment", case / "image.nii.gz", tmp_path / "l.nii.gz", *QUICK, "-o", tmp_path / "o.nrrd", "--json")
    assert done.code == 0, done.err
    (found,) = done.json["cases"]
    assert found["annotated_slices"] == [2, 4]
    assert "only slices that hold a label count" in found["rule"]


@pytest.mark.parametrize("ending", LABEL_ENDINGS)
def test_the_ending_decides_the_format(run, case, model, tmp_path, ending):
    out = tmp_path / f"o{ending}"
    assert run("predict", model, case / "image.nii.gz", "-o", out).code == 0
    assert read_dense_labels(out).geometry.difference(GEOMETRY) is None
    assert ("Liver" in str([s.name for s in read_dense_labels(out).segments])) == (ending == ".seg.nrrd")


def test_json_is_one_object_and_says_the_same(run, case, tmp_path):
    out = tmp_path / "o.seg.nrrd"
    done = run("segment", case / "image.nii.gz", case / "sparse.nrrd", *QUICK, "-o", out, "--json")
    assert done.code == 0, done.err
    result = done.json
    assert result["output"] == str(out)
    assert result["uncertainty"] is None
    assert result["stopped"] == "time limit"
    assert result["steps"] >= 1
    counts = np.bincount(voxels(out).ravel(), minlength=3)
    assert [s["voxels"] for s in result["segments"]] == list(counts[1:3])
    assert result["segments"][0]["volume_ml"] == pytest.approx(counts[1] * 1.1 * 0.9 * 3.0 / 1000)
    assert done.err == ""


# finetune, predict, suggest


def test_finetune_on_several_cases_and_predict_into_a_folder(run, case, tmp_path):
    write_case(tmp_path / "second")
    model = tmp_path / "m.safetensors"
    done = run(
        "finetune", "--case", case / "image.nii.gz", case / "sparse.nrrd",
        "--case", tmp_path / "second" / "image.nii.gz", tmp_path / "second" / "dense.nii.gz",
        "--slices", "2,4", "--slices", "3-5", *QUICK, "-o", model, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert [entry["annotated_slices"] for entry in done.json["cases"]] == [[2, 4], [3, 4, 5]]
    images = []
    for name in ("one.nrrd", "two.nii.gz"):
        images.append(tmp_path / name)
        sitk.WriteImage(sitk.ReadImage(str(case / "image.nii.gz")), str(images[-1]))
    done = run("predict", model, *images, "-o", tmp_path / "found", "--uncertainty", tmp_path / "unsure")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["one.seg.nrrd", "two.seg.nrrd"]
    assert sorted(path.name for path in (tmp_path / "unsure").iterdir()) == [
        "one_uncertainty.nrrd",
        "two_uncertainty.nrrd",
    ]
    assert np.array_equal(voxels(tmp_path / "found" / "one.seg.nrrd"), voxels(tmp_path / "found" / "two.seg.nrrd"))


def test_one_list_of_slices_is_for_all_cases(run, case, tmp_path):
    pair = ["--case", case / "image.nii.gz", case / "dense.nii.gz"]
    done = run("finetune", *pair, *pair, "--slices", "1,6", *QUICK, "-o", tmp_path / "m.safetensors", "--json")
    assert [entry["annotated_slices"] for entry in done.json["cases"]] == [[1, 6], [1, 6]]


def test_suggest_ranks_slices_that_are_not_annotated(run, case, model):
    command = ["suggest", model, case / "image.nii.gz", case / "named.seg.nrrd", "--slices", "2,4", "-n", 4]
    done = run(*command, "--json")
    assert done.code == 0, done.err
    suggestions = done.json["suggestions"]
    assert len(suggestions) == 4
    assert not {entry["index"] for entry in suggestions} & set(ANNOTATED)
    assert [entry["score"] for entry in suggestions] == sorted((e["score"] for e in suggestions), reverse=True)
    table = run(*command).out
    assert all(entry["reason"] in table for entry in suggestions)


def test_plain_labels_fit_a_model_with_names_by_their_values(run, case, model):
    done = run("suggest", model, case / "image.nii.gz", case / "sparse.nrrd", "--json")
    assert done.code == 0, done.err
    assert len(done.json["suggestions"]) == 3


# evaluate and info


def test_evaluate_compares_a_seg_nrrd_with_a_label_map(run, case, tmp_path):
    labels = make_labels(GEOMETRY)
    labels[5] = 0
    write_labels(labels, GEOMETRY, default_segments([1, 2]), tmp_path / "p.nii.gz")
    command = ["evaluate", tmp_path / "p.nii.gz", case / "named.seg.nrrd"]
    done = run(*command)
    assert done.code == 0, done.err
    assert "Tumour of the liver" in done.out
    result = run(*command, "--json").json
    assert [entry["name"] for entry in result["classes"]] == [segment.name for segment in SEGMENTS]
    assert 0 < result["mean_dice"] < 1
    assert run(*command, "--ignore-slices", "5", "--json").json["mean_dice"] == 1


def test_evaluate_takes_a_cropped_reference(run, case, tmp_path):
    """Slicer stores the box around the segments only."""
    whole = sitk.ReadImage(str(case / "named.seg.nrrd"))
    cropped = sitk.RegionOfInterest(whole, [14, 18, 6], [3, 3, 1])
    for key in whole.GetMetaDataKeys():
        cropped.SetMetaData(key, whole.GetMetaData(key))
    sitk.WriteImage(cropped, str(tmp_path / "box.seg.nrrd"))
    for pair in (
        [case / "named.seg.nrrd", tmp_path / "box.seg.nrrd"],
        [tmp_path / "box.seg.nrrd", case / "dense.nii.gz"],
    ):
        assert run("evaluate", *pair, "--json").json["mean_dice"] == 1


def test_a_class_that_the_reference_lacks_counts_as_wrong(run, case, tmp_path):
    labels = make_labels(GEOMETRY)
    labels[0, 0, 0] = 3
    write_labels(labels, GEOMETRY, default_segments([1, 2, 3]), tmp_path / "p.nrrd")
    result = run("evaluate", tmp_path / "p.nrrd", case / "dense.nii.gz", "--json").json
    assert [entry["dice"] for entry in result["classes"]] == [1, 1, 0]
    assert result["classes"][2]["hd95_mm"] is None


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("image.nii.gz", "image", ["[20, 24, 8]", "[1.1", "RPS"]),
        ("dense.nii.gz", "labels", ["Segment_1", "Segment_2"]),
        ("named.seg.nrrd", "labels", ["Liver", "Tumour of the liver"]),
        ("sparse.nrrd", "labels", ["[2, 4]", "complete: false"]),
        ("model.safetensors", "model", ["finetune", "Tumour of the liver", "licence"]),
    ],
)
def test_info_says_what_a_file_holds(run, case, model, name, kind, words):
    assert model.parent == case
    done = run("info", case / name)
    assert done.code == 0, done.err
    assert all(word in done.out for word in [f"kind: {kind}", *words])
    assert run("info", case / name, "--json").json["kind"] == kind


# Ctrl-C


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to whole console groups, this test included")
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_the_best_model_and_twice_aborts(case, tmp_path, presses):
    out = tmp_path / "o.seg.nrrd"
    command = ["segment", case / "image.nii.gz", case / "sparse.nrrd", "--preset", "accurate", "--weights", "none"]
    command += ["--device", "cpu", "-o", out]
    process = subprocess.Popen([*SSLSEG, *map(str, command)], stdout=-1, stderr=-1, text=True, encoding="utf-8")
    assert process.stderr.readline().startswith("preparing")  # ends when the training begins
    begin = time.monotonic()
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - begin < 20
    if presses == 1:
        assert process.returncode == 0, stderr
        assert "Stopping" in stderr
        assert "was stopped; the best model so far is kept" in stdout
        assert read_dense_labels(out).geometry.difference(GEOMETRY) is None
    else:
        assert process.returncode == 1
        assert "Aborted" in stderr
        assert "Traceback" not in stderr
        assert list(tmp_path.iterdir()) == []


def test_an_interrupt_is_a_request_once_for_each_job(capfd):
    output = Output(as_json=True)
    before = signal.getsignal(signal.SIGINT)
    with output.job() as (_, should_stop):
        assert not should_stop()
        signal.raise_signal(signal.SIGINT)
        assert should_stop()
    with output.job() as (_, should_stop):
        assert not should_stop(), "the next job runs"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "Stopping" in capfd.readouterr().err


def test_jobs_run_outside_of_the_main_thread(capfd):
    asked = []

    def work():
        with Output(as_json=True).job() as (_, should_stop):
            asked.append(should_stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]
    assert capfd.readouterr().err == ""


# Progress


REPORTS = [
    Progress("preparing", device="cpu"),
    *(Progress("fine-tuning", step, 3, loss=1 / step, dice=step / 4, eta_s=65, device="cpu") for step in (1, 2)),
    Progress("fine-tuning", 3, 3, message="Memory ran out [again]: going on with 2 slices at once."),
]


def test_without_a_terminal_each_stage_is_a_line(capfd):
    with Output(as_json=False).job() as (on_progress, _):
        for report in REPORTS:
            on_progress(report)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["preparing: cpu", REPORTS[-1].message, "fine-tuning: 3 of 3"]


def test_on_a_terminal_a_bar_shows_figures_and_the_time_left(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Output(as_json=False).job() as (on_progress, _):
        for report in REPORTS[:3]:
            on_progress(report)
            time.sleep(0.15)  # the bar is drawn ten times a second
    err = capfd.readouterr().err
    assert "loss 0.500, Dice 0.500" in err
    assert "1 min 05 s left" in err
    assert "2/3" in err.replace("\x1b[32m", "").replace("\x1b[0m", "")


def test_with_json_progress_is_silent(capfd):
    with Output(as_json=True).job() as (on_progress, _):
        for report in REPORTS:
            on_progress(report)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3725, "62 min 05 s")])
def test_durations_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_tables_do_not_cut_names_in_a_pipe(capfd):
    name = "a very long name of a structure [with brackets] " * 3
    Output(as_json=False).table(("Structure", "Dice"), [(name, "1.000")])
    assert name.strip() in capfd.readouterr().out


# Classes and names


LIVER, SPLEEN = Segment("Liver", (1, 0, 0), 1), Segment("Spleen", (0, 1, 0), 2)
PLAIN = default_segments([1, 2])


@pytest.mark.parametrize(
    ("known", "other", "matches"),
    [
        ((LIVER, SPLEEN), (SPLEEN, LIVER), [1, 0]),
        ((LIVER, SPLEEN), PLAIN, [0, 1]),
        (PLAIN, (SPLEEN,), [1]),
        ((LIVER,), (Segment("Spleen", (0, 1, 0), 1),), [None]),
        ((LIVER,), PLAIN, [0, None]),
        ((), (LIVER,), [None]),
    ],
)
def test_segments_match_by_name_or_where_there_is_none_by_value(known, other, matches):
    assert match_segments(known, other) == matches


@pytest.mark.parametrize(
    ("images", "out", "expected"),
    [
        (["a.nii.gz"], "o.nrrd", ["o.nrrd"]),
        (["a.nii.gz"], "out", ["out/a.seg.nrrd"]),
        (["x/a.nii.gz", "x/b.NRRD", "x/c.1"], "out", ["out/a.seg.nrrd", "out/b.seg.nrrd", "out/c.1.seg.nrrd"]),
    ],
)
def test_results_are_named_after_their_images(tmp_path, images, out, expected):
    found = output_names([tmp_path / image for image in images], tmp_path / out, LABEL_ENDINGS, ".seg.nrrd")
    assert found == [tmp_path / name for name in expected]


def test_worker_speaks_its_protocol():
    process = subprocess.Popen([*SSLSEG, "worker"], stdin=-1, stdout=-1, stderr=-1)
    out, _ = process.communicate(encode({"id": 1, "do": "shutdown"}), timeout=60)
    assert json.loads(out.splitlines()[-1])["id"] in {0, 1}
