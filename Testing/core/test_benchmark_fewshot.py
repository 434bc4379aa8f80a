"""The few-shot benchmark: who is learned from, what is compared, and what the page says."""

import dataclasses

import numpy as np
import pytest
from cli_files import runner
from few_slices import write_weights
from labelled_folders import ACDC_PATIENTS, write_acdc

from sslseg.annotation import IGNORE
from sslseg.benchmarks import fewshot
from sslseg.benchmarks.datasets import PROTOCOLS, load
from sslseg.benchmarks.fewshot import fit, plan, run_job
from sslseg.benchmarks.fewshot_plan import draw_annotations
from sslseg.benchmarks.fewshot_settings import FewshotSettings
from sslseg.benchmarks.readout import propagated_labels
from sslseg.benchmarks.runs import key_of
from sslseg.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_training")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_acdc(tmp_path_factory.mktemp("Daten für Tests"))


@pytest.fixture
def training(data):
    return PROTOCOLS["acdc"](data).training


@pytest.fixture
def weights(tmp_path):
    return write_weights(tmp_path / "w.safetensors")


def test_no_test_patient_is_learned_from(data):
    split = PROTOCOLS["acdc"](data)
    assert {subject.patient for subject in split.test} == {"002", "019"}
    assert {subject.patient for subject in split.training} == set(ACDC_PATIENTS) - {"002", "019"}


def test_first_draw_is_the_published_one(training):
    chosen = [{labelled.subject.patient for labelled in draw_annotations(training, "patients", n, 0)} for n in (1, 3)]
    assert chosen == [{"099"}, {"099", "038", "050"}]
    assert all(labelled.slices is None for labelled in draw_annotations(training, "patients", 3, 0))


@pytest.mark.parametrize("budget", ["patients", "slices"])
@pytest.mark.parametrize("draw", range(4))
def test_fewer_annotations_are_part_of_more(training, budget, draw):
    sets = [{str(labelled) for labelled in draw_annotations(training, budget, n, draw)} for n in (1, 2, 4)]
    assert sets[0] < sets[1] < sets[2]
    assert [len(names) for names in sets] == [1, 2, 4]
    assert sets[2] == {str(labelled) for labelled in draw_annotations(training, budget, 4, draw)}


def test_draws_differ(training):
    for budget in ("patients", "slices"):
        assert len({str(draw_annotations(training, budget, 1, draw)[0]) for draw in range(8)}) > 1


def test_single_slices_are_all_that_is_known(training):
    for draw in range(5):
        labelled = draw_annotations(training, "slices", 3, draw)
        assert len(labelled) == 3, "each in another volume while there are enough"
        for one in labelled:
            known = one.case().annotation.known
            assert np.flatnonzero(known.any(axis=(1, 2))).tolist() == list(one.slices)
            assert known[one.slices[0]].all()


def test_a_single_slice_shows_all_structures(training):
    for draw in range(5):
        (one,) = draw_annotations(training, "slices", 1, draw)
        labels = one.case().annotation.labels
        assert set(np.unique(labels[labels != IGNORE])) == {0, 1, 2, 3}


def test_more_than_there_is_says_so(training):
    assert len(draw_annotations(training, "slices", 20, 0)) == 4
    for budget, n in (("patients", 5), ("slices", 21)):
        with pytest.raises(InputError, match=r"only 4 training patients|fewer than 21 labelled slices"):
            draw_annotations(training, budget, n, 0)


def settings(data, weights, **changes):
    chosen = FewshotSettings(data, "acdc", {"w": weights}, (1,), (1, 2), draws=2, steps=4, preset="fast")
    return dataclasses.replace(chosen, **changes)


def test_plan_compares_all_with_all(data, weights):
    jobs = plan(settings(data, weights))
    assert len({key_of(job) for job in jobs}) == len(jobs)
    found = {mode: [job for job in jobs if job["mode"] == mode] for mode in ("scratch", "linear", "finetune")}
    assert {mode: len(of_mode) for mode, of_mode in found.items()} == {"scratch": 6, "linear": 6, "finetune": 6}
    assert {job["weights"] for job in found["scratch"]} == {"none"}
    carried = [(job["weights"], job["draw"]) for job in jobs if job["mode"] == "propagate"]
    assert set(carried) == {("intensities", 0), ("random", 0), ("random", 1), ("w", 0)}


def test_other_weights_are_another_job(data, weights, tmp_path):
    before = {key_of(job) for job in plan(settings(data, weights))}
    other = write_weights(tmp_path / "other.safetensors", fill=0.5)
    after = {key_of(job) for job in plan(settings(data, other))}
    assert before != after
    assert before & after, "scratch stays known"


@pytest.mark.parametrize(("mode", "probes"), [("scratch", 0), ("linear", 7), ("finetune", 3)])
def test_every_mode_takes_as_many_steps(training, weights, mode, probes, monkeypatch):
    results, finetune = [], fewshot.finetune
    monkeypatch.setattr(fewshot, "finetune", lambda *a, **k: results.append(finetune(*a, **k)) or results[-1])
    cases = [labelled.case() for labelled in draw_annotations(training, "patients", 1, 0)]
    path = None if mode == "scratch" else weights
    fit(cases, mode=mode, weights=path, steps=7, preset="fast", device="cpu", seed=0)
    stages = [progress.stage for progress in results[0].history]
    assert (len(stages), stages.count("linear probe")) == (7, probes)


def test_scores_are_those_of_the_test_volumes(data, weights):
    (job, *_) = (job for job in plan(settings(data, weights)) if job["mode"] == "finetune")
    result = run_job(job, data=data, weights={"w": weights})
    assert set(result["volumes"]) == {"patient002_ED", "patient019_ED"}
    means = [np.mean([value for value in dice if value is not None]) for dice in result["volumes"].values()]
    assert result["dice"] == pytest.approx(np.mean(means), abs=1e-4)
    assert result["annotated"] == ["patient099_ED"]
    assert result == run_job(job, data=data, weights={"w": weights}), "the same once more"


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("features", ["intensities", "random", "w"])
def test_propagation_knows_one_slice_in_the_middle(data, weights, features, beside):
    volume = load(PROTOCOLS["acdc"](data).test[0])
    path = weights if features == "w" else None
    labels, annotated = propagated_labels(volume, features, path, with_intensities=beside, seed=0)
    assert annotated == 3
    assert labels.shape == volume.reference.labels.shape
    assert (labels[3] == volume.reference.labels[3]).mean() > 0.97
    rest = [2, 4]
    assert (labels[rest] == volume.reference.labels[rest]).mean() > 0.8


def test_page_of_a_run_that_was_stopped_and_resumed(data, weights, tmp_path, capfd, monkeypatch):
    run = runner(capfd)
    words = ["benchmark", "fewshot", "--data", data, "--protocol", "acdc", "--weights", f"w={weights}", "--patients"]
    words += [1, "--slices", "1,2", "--draws", 2, "--steps", 4, "--preset", "fast", "--device", "cpu"]
    words += ["-o", tmp_path / "out ü"]
    assert "holds no results" in run(*words, "--report-only").err
    done = run(*words)
    assert done.code == 0
    assert "0 of 25 jobs are known." in done.err
    page = (tmp_path / "out ü" / "fewshot-acdc.md").read_text(encoding="utf-8")
    for text in (
        "| from scratch |",
        "| w, linear probe |",
        "| w, fine-tuned |",
        "| intensities |",
        "1 thread a process",
    ):
        assert text in page
    assert str(data) not in page, "no path of this machine"
    assert (tmp_path / "out ü" / "fewshot-acdc.png").stat().st_size > 10_000
    monkeypatch.setattr(fewshot, "finetune", None)
    again = run(*words, "--json")
    assert again.json["complete"]
    assert again.json["rows"] == 25
    assert "![" in page
    run(*words, "--slices", 1, "--report-only")
    assert "![" not in (tmp_path / "out ü" / "fewshot-acdc.md").read_text(encoding="utf-8"), "points are no lines"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--modes", "scratch,dream"], "There is no mode 'dream'"),
        (["--weights", "file.safetensors"], "is not NAME=FILE"),
        (["--weights", "w=missing.safetensors"], "missing.safetensors cannot be read"),
        (["--patients", "1,x"], "is not a list of numbers"),
        (["--patients", "30", "--modes", "scratch"], "only 4 training patients"),
    ],
)
def test_bad_input_is_one_sentence(data, tmp_path, capfd, options, message):
    done = runner(capfd)(
        "benchmark", "fewshot", "--data", data, "--protocol", "acdc", "-o", tmp_path, "--device", "cpu", *options
    )
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_missing_data_is_one_sentence(tmp_path, capfd):
    done = runner(capfd)(
        "benchmark", "fewshot", "--data", tmp_path / "none", "--protocol", "hippocampus", "-o", tmp_path / "o",
        "--modes", "scratch", "--device", "cpu",
    )  # fmt: skip
    assert done.code == 2
    assert "holds no .nii.gz files" in done.err
