"""Bad input to the command line: exit code 2, one sentence that names the file, and nothing left behind."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from cli_files import GEOMETRY, QUICK, runner, write_case, write_numbers
from synthetic import SEGMENTS, make_geometry, make_labels

from sslseg.annotation import IGNORE, Segment
from sslseg.checkpoint import load_checkpoint, save_checkpoint
from sslseg.cli import main
from sslseg.labelmap_io import write_labels

SHAPE = GEOMETRY.shape


@pytest.fixture
def run(capfd):
    return runner(capfd)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with good files, a model, and every kind of bad file."""
    folder = write_case(tmp_path_factory.mktemp("Dateien für Fehler"))
    pair = ["--case", folder / "image.nii.gz", folder / "named.seg.nrrd", "--slices", "2,4"]
    assert main([str(word) for word in ("finetune", *pair, *QUICK, "-o", folder / "model.safetensors")]) == 0
    _bad_images(folder)
    _bad_labels(folder)
    _bad_models(folder)
    return folder


def _bad_images(folder):
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "image.nii.gz")))
    write_numbers(folder / "nan.nrrd", np.where(image > image.mean(), np.nan, image).astype(np.float32))
    write_numbers(folder / "constant.nrrd", np.full(SHAPE, 7, np.float32))
    sitk.WriteImage(
        sitk.GetImageFromArray(np.zeros((3, *SHAPE), np.float32), isVector=False), str(folder / "series4d.nii.gz")
    )
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((*SHAPE, 3), np.uint8), isVector=True), str(folder / "rgb.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(SHAPE[1:], np.float32)), str(folder / "flat2d.nrrd"))
    (folder / "text.nrrd").write_text("not an image", encoding="utf-8")
    (folder / "empty.nii.gz").write_bytes(b"")
    (folder / "image.jpg").write_bytes(b"\xff\xd8\xff")
    for name in ("image.nii.gz", "sparse.nrrd"):
        data = (folder / name).read_bytes()
        (folder / f"cut_{name}").write_bytes(data[: len(data) // 2])
    (folder / "no_dicom").mkdir()


def _bad_labels(folder):
    labels = make_labels(GEOMETRY)
    write_numbers(folder / "smaller.nrrd", labels[:, :-1], make_geometry((8, 23, 20), spacing=(1.0, 0.9, 3.0)))
    write_numbers(folder / "elsewhere.nrrd", labels, make_geometry(SHAPE, spacing=(1.1, 0.9, 3.0), origin=(0, 0, 0)))
    write_numbers(folder / "unknown.nrrd", np.full(SHAPE, IGNORE, np.uint8))
    write_numbers(folder / "background.nrrd", np.zeros(SHAPE, np.uint8))
    write_numbers(folder / "label300.nrrd", labels.astype(np.int16) * 300)
    write_numbers(folder / "negative.nrrd", labels.astype(np.int16) - 1)
    write_numbers(folder / "halves.nrrd", labels.astype(np.float32) / 2)
    write_labels(labels, GEOMETRY, (SEGMENTS[0], Segment("Spleen", (0, 1, 0), 2)), folder / "spleen.seg.nrrd")


def _bad_models(folder):
    header, tensors = load_checkpoint(folder / "model.safetensors")
    name = min(tensors)
    save_checkpoint(folder / "misshaped.safetensors", {**tensors, name: torch.zeros(3, 3)}, header)
    save_checkpoint(folder / "newer.safetensors", tensors, {**header, "format_version": 99})
    save_checkpoint(folder / "pretrained.safetensors", tensors, {**header, "method": "pix2rep"})
    torch.save(tensors, folder / "pickled.pt")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(data[:-100])


SEGMENT = ["segment", "{image.nii.gz}", "{sparse.nrrd}"]
FINETUNE = ["finetune", "--case", "{image.nii.gz}", "{named.seg.nrrd}"]

CASES = {
    # images
    "image is missing": (["segment", "{missing.nrrd}", "{sparse.nrrd}"], "missing.nrrd does not exist"),
    "image has NaN": (["segment", "{nan.nrrd}", "{sparse.nrrd}"], "nan.nrrd holds NaN"),
    "image is constant": (["segment", "{constant.nrrd}", "{sparse.nrrd}"], "constant.nrrd has the value 7"),
    "image is 4-D": (["segment", "{series4d.nii.gz}", "{sparse.nrrd}"], "series4d.nii.gz is 4-D"),
    "image is RGB": (["segment", "{rgb.nrrd}", "{sparse.nrrd}"], "rgb.nrrd has 3 values per voxel"),
    "image is 2-D": (["segment", "{flat2d.nrrd}", "{sparse.nrrd}"], "flat2d.nrrd is a 2-D image"),
    "image is text": (["segment", "{text.nrrd}", "{sparse.nrrd}"], "text.nrrd cannot be read"),
    "image is empty": (["segment", "{empty.nii.gz}", "{sparse.nrrd}"], "empty.nii.gz is empty"),
    "image is a photo": (["segment", "{image.jpg}", "{sparse.nrrd}"], "image.jpg has an ending"),
    "image is truncated": (["segment", "{cut_image.nii.gz}", "{sparse.nrrd}"], "cut_image.nii.gz is incomplete"),
    "folder without DICOM": (["segment", "{no_dicom}", "{sparse.nrrd}"], "no_dicom holds no DICOM images"),
    # labels
    "labels are missing": (["segment", "{image.nii.gz}", "{missing.nrrd}"], "missing.nrrd does not exist"),
    "labels of another shape": (["segment", "{image.nii.gz}", "{smaller.nrrd}"], "smaller.nrrd does not fit"),
    "labels elsewhere": (["segment", "{image.nii.gz}", "{elsewhere.nrrd}"], "elsewhere.nrrd does not fit"),
    "nothing annotated": (["segment", "{image.nii.gz}", "{unknown.nrrd}"], "unknown.nrrd has no annotated slice"),
    "only background": (["segment", "{image.nii.gz}", "{background.nrrd}"], "background.nrrd holds only background"),
    "label above 254": (["segment", "{image.nii.gz}", "{label300.nrrd}"], "label300.nrrd holds the label 600"),
    "negative labels": (["segment", "{image.nii.gz}", "{negative.nrrd}"], "negative.nrrd holds negative"),
    "labels that are fractions": (["segment", "{image.nii.gz}", "{halves.nrrd}"], "halves.nrrd holds values"),
    "truncated labels": (["segment", "{image.nii.gz}", "{cut_sparse.nrrd}"], "cut_sparse.nrrd is incomplete"),
    "slice out of range": ([*SEGMENT, "--slices", "2,8"], "Slice 8 does not exist"),
    "slice out of range along I": ([*SEGMENT, "--slices", "20", "--axis", "2"], "Slice 20 does not exist"),
    "named slice without any label": ([*SEGMENT, "--slices", "3"], "sparse.nrrd has no annotated slice"),
    # options
    "slices are no list": ([*SEGMENT, "--slices", "3;5"], "'3;5' is not a list of slices"),
    "slices backwards": ([*SEGMENT, "--slices", "5-3"], "'5-3' is not a list of slices"),
    "no such preset": ([*SEGMENT, "--preset", "best"], "'best' is not one of"),
    "no such axis": ([*SEGMENT, "--axis", "3"], "'3' is not one of"),
    "no such device": ([*SEGMENT, "--device", "gpu"], "no device 'gpu'"),
    "CUDA device that is absent": ([*SEGMENT, "--device", "cuda:99"], "'cuda:99' is not there"),
    "seed out of range": ([*SEGMENT, "--seed", "-1"], "Seed -1 is out of range"),
    "no time at all": ([*SEGMENT, "--time-limit", "0"], "time limit of 0 s"),
    "no number of seconds": ([*SEGMENT, "--time-limit", "nan"], "time limit of nan s"),
    "endless slices": ([*SEGMENT, "--slices", "0-99999999999"], "'0-99999999999' is not a list of slices"),
    "time limit in words": ([*SEGMENT, "--time-limit", "soon"], "'soon' is not a valid float"),
    "no such option": ([*SEGMENT, "--fast"], "No such option"),
    "labels forgotten": (["segment", "{image.nii.gz}"], "Missing argument 'LABELS'"),
    # weights and models
    "weights are missing": ([*SEGMENT, "--weights", "{missing.safetensors}"], "missing.safetensors is not there"),
    "weights of another architecture": ([*SEGMENT, "--weights", "{misshaped.safetensors}"], "another architecture"),
    "weights are pickled": ([*SEGMENT, "--weights", "{pickled.pt}"], "pickled.pt is a pickled"),
    "weights are truncated": ([*SEGMENT, "--weights", "{cut.safetensors}"], "cut.safetensors is damaged"),
    "weights of the future": ([*SEGMENT, "--weights", "{newer.safetensors}"], "format_version 99"),
    "weights are an image": ([*SEGMENT, "--weights", "{image.nii.gz}"], "image.nii.gz is not a safetensors file"),
    "model is pickled": (["predict", "{pickled.pt}", "{image.nii.gz}"], "pickled.pt is a pickled"),
    "model is only pretrained": (["predict", "{pretrained.safetensors}", "{image.nii.gz}"], "fine-tune them first"),
    "model is misshaped": (["predict", "{misshaped.safetensors}", "{image.nii.gz}"], "another architecture"),
    "model is missing": (["predict", "{missing.safetensors}", "{image.nii.gz}"], "missing.safetensors is not there"),
    "predict without image": (["predict", "{model.safetensors}"], "Missing argument 'IMAGE...'"),
    "predict a broken image": (["predict", "{model.safetensors}", "{nan.nrrd}"], "nan.nrrd holds NaN"),
    # several cases
    "finetune without case": (["finetune"], "Missing option '--case'"),
    "case without labels": (["finetune", "--case", "{image.nii.gz}"], "Missing option '-o'"),
    "other segments": ([*FINETUNE, "--case", "{image.nii.gz}", "{spleen.seg.nrrd}"], "has no segment 'Spleen'"),
    "slice lists for neither all nor each": (
        [*FINETUNE, *FINETUNE[1:], *FINETUNE[1:], "--slices", "2", "--slices", "3"],
        "--slices is given 2 times for 3 cases",
    ),
}  # fmt: skip


def check(done, out, words):
    assert done.code == 2, done.out + done.err
    (line,) = done.err.splitlines()
    assert words in line
    assert line.startswith("Error: ")
    assert line.endswith(".")
    assert not re.search(r"\. [A-Z]", line), "one sentence"
    assert out is None or list(out.iterdir()) == []


def fill(words, files):
    """Names in braces become paths."""
    return [str(files / word[1:-1]) if word.startswith("{") else word for word in words]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_sentence_and_leaves_nothing(run, files, tmp_path, name):
    words, expected = CASES[name]
    out = tmp_path / "out"
    out.mkdir()
    result = "m.safetensors" if words[0] == "finetune" else "o.seg.nrrd"
    check(run(*fill(words, files), "-o", out / result), out, expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["suggest", "{model.safetensors}", "{image.nii.gz}", "{spleen.seg.nrrd}"], "the segment 'Spleen'"),
        (["suggest", "{model.safetensors}", "{image.nii.gz}", "{unknown.nrrd}"], "no annotated slice"),
        (["suggest", "{model.safetensors}", "{image.nii.gz}", "{sparse.nrrd}", "-n", "0"], "0 is not in the range"),
        (["evaluate", "{sparse.nrrd}", "{smaller.nrrd}"], "does not fit"),
        (["evaluate", "{sparse.nrrd}", "{elsewhere.nrrd}"], "does not fit"),
        (["evaluate", "{sparse.nrrd}", "{image.nii.gz}"], "image.nii.gz"),
        (["evaluate", "{dense.nii.gz}", "{dense.nii.gz}", "--ignore-slices", "8"], "Slice 8 does not exist"),
        (["evaluate", "{dense.nii.gz}", "{dense.nii.gz}", "--ignore-slices", "0-7"], "No voxel is left"),
        (["evaluate", "{dense.nii.gz}", "{unknown.nrrd}"], "No voxel is left"),
        (["info", "{missing.nrrd}"], "missing.nrrd does not exist"),
        (["info", "{pickled.pt}"], "pickled.pt is a pickled"),
        (["info", "{series4d.nii.gz}"], "series4d.nii.gz is 4-D"),
        (["info", "{no_dicom}"], "no_dicom holds no DICOM images"),
        (["info"], "Missing argument 'FILE'"),
        (["train"], "No such command 'train'"),
        ([], "Missing command"),
    ],
)
def test_bad_input_of_commands_that_write_nothing(run, files, words, expected):
    check(run(*fill(words, files)), None, expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-o", "o.png"], "o.png has an ending that is not supported"),
        (["-o", "o"], "o has an ending that is not supported"),
        (["-o", "o.nrrd", "--uncertainty", "u.csv"], "u.csv has an ending"),
        (["-o", "o.nrrd", "--save-model", "m.pt"], "m.pt has an ending"),
        (["-o", "o.nrrd", "--uncertainty", "o.nrrd"], "o.nrrd is already the name"),
        (["-o", "o.nrrd", "--save-model", "m.pt"], "use .safetensors."),
        (["-o", f"{'x' * 300}.nrrd"], "cannot be written"),
        (["-o", "folder.nrrd"], "folder.nrrd is a folder"),
        (["-o", "file/o.nrrd"], "o.nrrd cannot be written (file exists): choose another name"),
        ([], "Missing option '-o'"),
    ],
)
def test_results_that_cannot_be_kept_are_told_before_the_work(run, files, tmp_path, monkeypatch, options, expected):
    (tmp_path / "folder.nrrd").mkdir()
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    check(run(*fill(SEGMENT, files), *options), None, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.nrrd"]
    assert list((tmp_path / "folder.nrrd").iterdir()) == []


def test_no_slice_is_left_to_suggest(run, files):
    done = run(*fill(["suggest", "{model.safetensors}", "{image.nii.gz}", "{dense.nii.gz}", "--slices", "0-7"], files))
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("Error: Every slice is annotated already")


def test_input_is_never_overwritten(run, files):
    before = (files / "sparse.nrrd").read_bytes()
    check(run(*fill(SEGMENT, files), "-o", files / "sparse.nrrd"), None, "is already the name of an input")
    assert (files / "sparse.nrrd").read_bytes() == before


@pytest.mark.parametrize(
    ("images", "out", "expected"),
    [
        (["image.nii.gz", "dense.nii.gz"], "o.seg.nrrd", "o.seg.nrrd is one file for 2 images"),
        (["image.nii.gz", "image.nii.gz"], "found", "Several images would be written"),
    ],
)
def test_several_images_need_places_of_their_own(run, files, tmp_path, images, out, expected):
    command = ["predict", files / "model.safetensors", *(files / image for image in images), "-o", tmp_path / out]
    check(run(*command), tmp_path, expected)


def test_a_folder_that_must_not_be_written_to(run, files, tmp_path):
    out = tmp_path / "closed"
    out.mkdir()
    out.chmod(0o555)
    try:
        (out / "probe").touch()
    except PermissionError:
        check(run(*fill(SEGMENT, files), *QUICK, "-o", out / "o.nrrd"), out, "o.nrrd cannot be written")
    else:  # administrators may write everywhere
        (out / "probe").unlink()
        assert run(*fill(SEGMENT, files), *QUICK, "-o", out / "o.nrrd").code == 0
    finally:
        out.chmod(0o755)


def test_with_json_the_fault_is_an_object_too(run, files, tmp_path):
    done = run(*fill(SEGMENT, files), "--slices", "99", "-o", tmp_path / "o.nrrd", "--json")
    assert done.code == 2
    assert done.json["kind"] == "InputError"
    assert done.err == f"Error: {done.json['error']}\n"


def test_with_json_a_wrong_option_is_an_object_too(run, files, tmp_path):
    done = run(*fill(SEGMENT, files), "--preset", "best", "-o", tmp_path / "o.nrrd", "--json")
    assert done.code == 2
    assert "'best' is not one of" in done.json["error"]
    assert done.err == f"Error: {done.json['error']}\n"


@pytest.mark.parametrize("debug", [False, True])
def test_only_debug_shows_a_traceback(run, files, tmp_path, debug):
    done = run(*fill(SEGMENT, files), "--slices", "99", "-o", tmp_path / "o.nrrd", *(["--debug"] if debug else []))
    assert done.code == 2
    assert ("Traceback" in done.err) == debug


def test_a_fault_of_our_own_is_one_line_and_exit_code_1(run, files, monkeypatch):
    def broken(_):
        raise KeyError("surprise\nand more")

    monkeypatch.setattr("sslseg.cli_info.read_dense_labels", broken)
    done = run("info", files / "dense.nii.gz")
    assert done.code == 1
    assert done.err.startswith("Error: internal error: KeyError: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the file size limit is set the Linux way")
def test_a_full_disk_is_told_and_leaves_nothing(files, tmp_path):
    """Nothing larger than 1 kB can be written in the child."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "import sslseg.cli, sslseg.cli_commands; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "sys.exit(sslseg.cli.main(sys.argv[1:]))"
    )
    words = ["predict", files / "model.safetensors", files / "image.nii.gz", "-o", tmp_path / "o.nrrd", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "o.nrrd could not be written" in json.loads(done.stdout)["error"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
def test_dicom_with_a_missing_slice_position(run, data_dir, files, tmp_path):
    folder = data_dir / "sunnybrook" / "dicom" / "SCD0000501_ES"
    check(run("segment", folder, files / "sparse.nrrd", "-o", tmp_path / "o.nrrd"), tmp_path, folder.name)


@pytest.mark.data
def test_a_folder_with_two_series(run, data_dir, files, tmp_path):
    mixed, out = tmp_path / "two series", tmp_path / "out"
    mixed.mkdir()
    out.mkdir()
    for number, name in enumerate(sorted(p for p in (data_dir / "sunnybrook" / "dicom").iterdir() if p.is_dir())[:3:2]):
        for file in Path(name).iterdir():
            shutil.copy(file, mixed / f"{number}_{file.name}")
    check(run("segment", mixed, files / "sparse.nrrd", "-o", out / "o.nrrd"), out, "two series holds 2 DICOM series")
