"""The headless command: from files to files through a real worker, on synthetic and on real images."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from loop_driver import ANNOTATED, GEOMETRY, HIDDEN, SHAPE, dice, image_of, truth_of

from sslseg.annotation import IGNORE, Segment
from sslseg.labelmap_io import read_dense_labels, write_labels
from sslseg.volume import write_array
from SSLSegmentLib.headless import main

HEADLESS = [sys.executable, "-m", "SSLSegmentLib.headless"]
QUICK = ["--preset", "fast", "--device", "cpu", "--weights", "none", "--time-limit", "1"]
SEGMENTS = (Segment("Ventrikel é", (0.9, 0.1, 0.1), 1, "a"), Segment("Wand", (0.1, 0.9, 0.1), 2, "b"))


@pytest.fixture
def files(tmp_path):
    """An image, and labels of which 255 marks the slices that nobody looked at."""
    folder = tmp_path / "mit Leerzeichen é"
    folder.mkdir()
    truth = truth_of()
    truth[7] = 0
    labels = np.full(SHAPE, IGNORE, np.uint8)
    labels[[*ANNOTATED, 7]] = truth[[*ANNOTATED, 7]]
    image, drawn = folder / "Herz.nii.gz", folder / "drawn.nrrd"
    write_array(image_of(truth), GEOMETRY, image)
    write_labels(labels, GEOMETRY, SEGMENTS, drawn)
    return image, drawn, truth


def test_from_files_to_files(files, tmp_path, capsys):
    image, drawn, truth = files
    out = tmp_path / "Ergebnis é" / "neu"
    arguments = [image, drawn, "--out-dir", out, "--formats", "seg.nrrd,nii.gz,stl", *QUICK]
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert sorted(path.name for path in out.iterdir()) == [
        "Herz_segmentation.nii.gz",
        "Herz_segmentation.seg.nrrd",
        "Herz_segmentation_Segment_1.stl",
        "Herz_segmentation_Segment_2.stl",
    ]
    assert "slices 1, 4, 6-7" in printed.out
    assert str(out / "Herz_segmentation.seg.nrrd") in printed.out.splitlines()
    assert "predicting" in printed.err
    assert "Traceback" not in printed.err
    result = read_dense_labels(out / "Herz_segmentation.nii.gz").labels
    np.testing.assert_array_equal(result[[*ANNOTATED, 7]], truth[[*ANNOTATED, 7]])
    hidden = [k for k in HIDDEN if k != 7]
    assert dice(result[hidden] > 0, truth[hidden] > 0) > 0.8
    np.testing.assert_array_equal(read_dense_labels(out / "Herz_segmentation.seg.nrrd", GEOMETRY).labels, result)


def test_named_slices_and_json(files, tmp_path, capsys):
    image, _, truth = files
    full = tmp_path / "voll.seg.nrrd"
    write_labels(truth, GEOMETRY, SEGMENTS, full)
    code = main([str(image), str(full), "--out-dir", str(tmp_path), "--slices", "1,4,7", "--json", *QUICK])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    answer = json.loads(printed.out)
    (file,) = answer["files"]
    assert answer["axis"] == 0
    assert answer["state"] == "done"
    found = read_dense_labels(file, GEOMETRY)
    assert [segment.name for segment in found.segments] == ["Ventrikel é", "Wand"]
    np.testing.assert_array_equal(found.labels[[1, 4, 7]], truth[[1, 4, 7]])
    assert (found.labels[[0, 2, 3, 5, 6]] != truth[[0, 2, 3, 5, 6]]).any(), "labels outside --slices were copied"


BAD_INPUT = {
    "no image": (["none.nrrd", "drawn.nrrd"], "none.nrrd"),
    "no labels": (["Herz.nii.gz", "none.nrrd"], "none.nrrd"),
    "an image as labels": (["Herz.nii.gz", "Herz.nii.gz"], "Herz.nii.gz"),
    "another grid": (["Herz.nii.gz", "small.nrrd"], "small.nrrd does not fit the image"),
    "half a slice": (["Herz.nii.gz", "half.nrrd"], "only a part of slice 4"),
    "a slice too many": (["Herz.nii.gz", "drawn.nrrd", "--slices", "99"], "Slice 99 does not exist"),
    "no format": (["Herz.nii.gz", "drawn.nrrd", "--formats", "docx"], "'docx' is no export format"),
    "DICOM SEG without DICOM": (["Herz.nii.gz", "drawn.nrrd", "--formats", "dcm"], "not loaded from DICOM"),
    "no such device": (["Herz.nii.gz", "drawn.nrrd", "--device", "cuda:63"], "cuda:63"),
    "a file as folder": (["Herz.nii.gz", "drawn.nrrd", "--out-dir", "Herz.nii.gz"], "Herz.nii.gz"),
    "its own input": (
        ["Herz.nii.gz", "Herz_segmentation.nrrd", "--out-dir", ".", "--formats", "nrrd"],
        "would be replaced by the result",
    ),
}


@pytest.mark.parametrize("fault", BAD_INPUT)
def test_bad_input_is_one_sentence_and_exit_code_2(files, monkeypatch, capsys, fault):
    image, _, truth = files
    monkeypatch.chdir(image.parent)
    write_labels(truth[:2, :9, :9] * 0 + 1, GEOMETRY.__class__((2, 9, 9), (3.0, 3.0, 3.0)), SEGMENTS, "small.nrrd")
    half = np.full(SHAPE, IGNORE, np.uint8)
    half[4, :, :20] = truth[4, :, :20]
    write_labels(half, GEOMETRY, SEGMENTS, "half.nrrd")
    arguments, sentence = BAD_INPUT[fault]
    before = sorted(image.parent.rglob("*"))
    out = [] if "--out-dir" in arguments else ["--out-dir", "out"]
    code = main([*QUICK, *arguments, *out])
    printed = capsys.readouterr()
    assert code == 2, printed.err
    (line,) = [line for line in printed.err.splitlines() if line.startswith("Error:")]
    assert sentence in line
    assert "Traceback" not in printed.err
    left = [path for path in image.parent.rglob("*") if path not in before and path.name != "out"]
    assert left == [], "something half-written was left"


@pytest.mark.skipif(sys.platform == "win32", reason="a console program cannot be sent Ctrl-C alone on Windows")
@pytest.mark.slow
def test_ctrl_c_keeps_the_best_model_so_far(files, tmp_path):
    image, drawn, truth = files
    arguments = [str(image), str(drawn), "--out-dir", str(tmp_path / "out"), "--formats", "nrrd", *QUICK[:-2]]
    process = subprocess.Popen(
        [*HEADLESS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert any(b"preparing" in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the worker as well
    begin = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert time.monotonic() - begin < 30
    assert b"Traceback" not in err
    result = read_dense_labels(tmp_path / "out" / "Herz_segmentation.nrrd").labels
    np.testing.assert_array_equal(result[list(ANNOTATED)], truth[list(ANNOTATED)])


def nearest_copy(truth: np.ndarray, annotated: list[int]) -> np.ndarray:
    """What anybody can do without a network: every slice is a copy of the nearest annotated one."""
    nearest = [min(annotated, key=lambda a: (abs(a - k), a)) for k in range(len(truth))]
    return truth[nearest]


def mean_dice(labels: np.ndarray, truth: np.ndarray, hidden: list[int]) -> float:
    """Foreground Dice over the slices that were not shown, mean over the classes."""
    return float(np.mean([dice(labels[hidden] == c, truth[hidden] == c) for c in range(1, truth.max() + 1)]))


REAL = {
    "acdc": ("acdc/patient002_ED.nii.gz", "acdc/patient002_ED_gt.nii.gz", [2, 5, 8], []),
    "hippocampus": ("hippocampus/images/hippocampus_003.nii.gz", "hippocampus/labels/hippocampus_003.nii.gz", [], []),
    "sunnybrook": ("sunnybrook/dicom/SCD0000101_ED", "sunnybrook/labels/SCD0000101_ED.nii.gz", [], ["dcm"]),
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_on_real_images_it_beats_copying_the_nearest_slice(data_dir, tmp_path, capsys, name):
    image, labels, annotated, formats = REAL[name]
    truth = read_dense_labels(data_dir / labels).labels
    if not annotated:
        drawn = np.flatnonzero((truth > 0).any(axis=(1, 2)))
        annotated = [int(k) for k in drawn[[len(drawn) // 6, len(drawn) // 2, len(drawn) - 1 - len(drawn) // 6]]]
    arguments = [data_dir / image, data_dir / labels, "--out-dir", tmp_path, "--axis", "0", "--slices"]
    arguments += [",".join(map(str, annotated)), "--formats", ",".join(["nii.gz", "seg.nrrd", "stl", *formats])]
    code = main([*map(str, arguments), "--preset", "fast", "--device", "cpu"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert len(list(tmp_path.glob("*.stl"))) == truth.max()
    assert len(list(tmp_path.glob("*.dcm"))) == len(formats)
    result = read_dense_labels(next(tmp_path.glob("*.nii.gz"))).labels
    hidden = [k for k in range(len(truth)) if k not in annotated]
    ours, copied = (mean_dice(found, truth, hidden) for found in (result, nearest_copy(truth, annotated)))
    assert ours > copied, f"{name}: {ours:.3f} against {copied:.3f} by copying"
