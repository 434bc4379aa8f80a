"""The command line at work, on files, in the forms in which people have them."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk
from cli_files import ANNOTATED, GEOMETRY, QUICK, SSLSEG, runner, write_case
from synthetic import SEGMENTS, make_labels

from sslseg import __version__
from sslseg.annotation import IGNORE, default_segments
from sslseg.checkpoint import read_header
from sslseg.cli import main
from sslseg.demo import copy_nearest
from sslseg.labelmap_io import LABEL_ENDINGS, read_dense_labels, write_labels
from sslseg.protocol import encode


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


# Real images, from file to file


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("acdc/patient002_ED.nii.gz", "acdc/patient002_ED_gt.nii.gz"),
        ("hippocampus/images/hippocampus_003.nii.gz", "hippocampus/labels/hippocampus_003.nii.gz"),
        ("sunnybrook/dicom/SCD0000101_ED", "sunnybrook/labels/SCD0000101_ED.nii.gz"),
    ],
)
def test_real_images_are_segmented_better_than_by_copying(run, data_dir, tmp_path, image, labels):
    reference = read_dense_labels(data_dir / labels)
    axis = reference.geometry.default_axis()
    inside = np.flatnonzero(reference.labels.any(axis=tuple(a for a in range(3) if a != axis)))
    annotated = [int(inside[round(share * (len(inside) - 1))]) for share in (0.15, 0.5, 0.85)]
    slices = ",".join(map(str, annotated))
    out, copied = tmp_path / "o.seg.nrrd", tmp_path / "copied.nrrd"
    command = [
        "segment",
        data_dir / image,
        data_dir / labels,
        "--slices",
        slices,
        "--preset",
        "fast",
        "--time-limit",
        "6",
    ]
    done = run(*command, "-o", out)
    assert done.code == 0, done.err
    nearest = copy_nearest(reference.restricted_to(annotated, axis), axis)
    write_labels(nearest, reference.geometry, reference.segments, copied)
    dice, baseline = (
        run("evaluate", path, data_dir / labels, "--ignore-slices", slices, "--json").json["mean_dice"]
        for path in (out, copied)
    )
    assert dice > baseline


def test_worker_speaks_its_protocol():
    process = subprocess.Popen([*SSLSEG, "worker"], stdin=-1, stdout=-1, stderr=-1)
    out, _ = process.communicate(encode({"id": 1, "do": "shutdown"}), timeout=60)
    assert json.loads(out.splitlines()[-1]) == {"id": 1, "event": "result"}
