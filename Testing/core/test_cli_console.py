"""What the command line says while it works, Ctrl-C, and how it matches segments and names files."""

import os
import signal
import subprocess
import threading
import time

import pytest
from cli_files import GEOMETRY, SSLSEG, write_case

from sslseg.annotation import Segment, default_segments
from sslseg.cli_cases import match_segments, output_names
from sslseg.console import Output, duration
from sslseg.labelmap_io import LABEL_ENDINGS, read_dense_labels
from sslseg.progress import Progress

# Ctrl-C


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to whole console groups, this test included")
@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_the_best_model_and_twice_aborts(tmp_path, presses):
    case, out = write_case(tmp_path / "case"), tmp_path / "out" / "o.seg.nrrd"
    command = ["segment", case / "image.nii.gz", case / "sparse.nrrd", "--preset", "accurate", "--weights", "none"]
    command += ["--device", "cpu", "-o", out]
    process = subprocess.Popen([*SSLSEG, *map(str, command)], stdout=-1, stderr=-1, text=True, encoding="utf-8")
    assert process.stderr.readline().startswith("preparing")  # ends when the training begins
    begin = time.monotonic()
    for press in range(1, presses + 1):
        process.send_signal(signal.SIGINT)
        if press == 1:  # the second one must not come after the end
            assert process.stderr.readline().startswith("Stopping")
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - begin < 20
    if presses == 1:
        assert process.returncode == 0, stderr
        assert "was stopped; the best model so far is kept" in stdout
        assert read_dense_labels(out).geometry.difference(GEOMETRY) is None
    else:
        assert process.returncode == 1
        assert "Aborted" in stderr
        assert "Traceback" not in stderr
        assert list(out.parent.iterdir()) == []


def test_an_interrupt_is_a_request_once_for_each_job(capfd):
    output = Output(as_json=True)
    before = signal.getsignal(signal.SIGINT)
    with output.job() as (_, should_stop):
        assert not should_stop()
        signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == "", "a signal can come in the middle of writing: its handler must not write"
        assert should_stop()
        assert should_stop()
        assert capfd.readouterr().err.count("Stopping") == 1
    with output.job() as (_, should_stop):
        assert not should_stop(), "the next job runs"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


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
        ((LIVER,), (PLAIN[0], Segment("Liver", (1, 0, 0), 5)), [None, 0]),
        ((LIVER, SPLEEN), (Segment("Liver", (1, 0, 0), 2), Segment("Spleen", (0, 1, 0), 1)), [0, 1]),
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
