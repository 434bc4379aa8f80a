"""The benchmark within a volume: which slices are annotated, what is scored, and what the page says."""

import dataclasses

import numpy as np
import pytest
from cli_files import runner
from labelled_folders import heart_labels, write_acdc

from sslseg.benchmarks import methods, within
from sslseg.benchmarks.datasets import DATA_SETS, load
from sslseg.benchmarks.own_methods import ABLATIONS, OWN, Completed, OwnSettings
from sslseg.benchmarks.placements import PLACEMENTS, chosen_slices
from sslseg.benchmarks.runs import key_of
from sslseg.benchmarks.uncertainty import EDGES, level_names
from sslseg.benchmarks.within import plan, run_job
from sslseg.benchmarks.within_settings import WithinSettings
from sslseg.errors import InputError
from sslseg.presets import PRESETS

OWN_SETTINGS = OwnSettings("none", "cpu", 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_acdc(tmp_path_factory.mktemp("Daten für Tests"), ("002", "019", "001"))


@pytest.fixture
def subject(data):
    return DATA_SETS["acdc"](data).test[0]


@pytest.fixture(autouse=True)
def tiny_presets(tiny_training, monkeypatch):
    monkeypatch.setitem(PRESETS, "balanced", tiny_training)


def settings(data, **changes):
    chosen = WithinSettings(
        data=data, sets=("acdc",), split="test", volumes=None, slices=(1, 2), placements=("inner", "ends"),
        methods=("fast", "copy"), draws=1, weights="none", device="cpu", tag="now",
    )  # fmt: skip
    return dataclasses.replace(chosen, **changes)


@pytest.mark.parametrize(
    ("placement", "k", "expected"),
    [
        ("inner", 1, [3]),
        ("inner", 2, [2, 5]),
        ("inner", 5, [1, 2, 3, 4, 5]),
        ("inner", 9, [1, 2, 3, 4, 5]),
        ("ends", 2, [1, 5]),
        ("ends", 3, [1, 3, 5]),
        ("ends", 4, [1, 2, 4, 5]),
    ],
)
def test_regular_placements(subject, placement, k, expected):
    """Of the structures, which are shown by the slices 1 to 5."""
    assert chosen_slices(subject, placement, k, 0, OWN_SETTINGS) == expected


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_other_draws_differ_inside_of_the_extent(subject, placement):
    drawn = {tuple(chosen_slices(subject, placement, 3, draw, OWN_SETTINGS)) for draw in range(1, 7)}
    assert len(drawn) > 1
    for slices in drawn:
        assert list(slices) == sorted(set(slices))
        assert len(slices) == 3
        if placement != "suggested":  # a suggestion may lie outside of what the reference shows
            assert set(slices) <= {1, 2, 3, 4, 5}
        if placement == "ends":
            assert (slices[0], slices[-1]) == (1, 5)


@pytest.mark.parametrize(("k", "expected"), [(1, [1]), (2, [1, 5])])
def test_the_ends_leave_nothing_to_draw_for_few_slices(subject, k, expected):
    assert chosen_slices(subject, "ends", k, 1, OWN_SETTINGS) == expected


def test_suggested_slices_begin_in_the_middle_and_grow(subject):
    sets = [set(chosen_slices(subject, "suggested", k, 0, OWN_SETTINGS)) for k in (1, 2, 3)]
    assert sets[0] == {3}
    assert sets[0] < sets[1] < sets[2]
    assert [len(slices) for slices in sets] == [1, 2, 3]


def test_plan_knows_what_results_depend_on(data):
    jobs = plan(settings(data))
    assert len(jobs) == 2 * (2 + 1) * 2, "there are no ends of one slice"
    assert len({key_of(job) for job in jobs}) == len(jobs)

    def keys(method, **changes):
        return {key_of(job) for job in plan(settings(data, **changes)) if job["method"] == method}

    assert keys("copy") == keys("copy", tag="later"), "a peer does not change with this package"
    assert not keys("fast") & keys("fast", tag="later")
    assert not keys("copy", placements=("suggested",)) & keys("copy", placements=("suggested",), tag="later")


def test_development_does_not_touch_the_test(data):
    names = [{job["subject"] for job in plan(settings(data, split=split))} for split in ("test", "training")]
    assert names == [{"patient002_ED", "patient019_ED"}, {"patient001_ED"}]
    assert len({job["subject"] for job in plan(settings(data, volumes=1))}) == 1


def score(data, monkeypatch, labels, k=1, uncertainty=None):
    """What a method that answers ``labels`` gets for the first test volume."""
    monkeypatch.setattr(within, "complete", lambda *_: Completed(labels, uncertainty))
    (job, *_) = (job for job in plan(settings(data, methods=("fast",))) if job["k"] == k)
    return run_job(job, settings=settings(data))


def test_only_slices_that_are_not_annotated_count(data, monkeypatch):
    truth = heart_labels(0)
    perfect = score(data, monkeypatch, truth)
    assert perfect["dice"] == 1
    assert {name: value["hd95_mm"] for name, value in perfect["structures"].items()} == {
        "right ventricle": 0, "myocardium": 0, "left ventricle": 0,
    }  # fmt: skip
    assert perfect["annotated"] == [3]
    wrong_there = truth.copy()
    wrong_there[3] = 0
    assert score(data, monkeypatch, wrong_there)["dice"] == 1
    wrong_elsewhere = truth.copy()
    wrong_elsewhere[2] = 0
    assert score(data, monkeypatch, wrong_elsewhere)["dice"] < 0.9


def test_a_missed_structure_scores_nothing(data, monkeypatch):
    found = np.where(heart_labels(0) == 1, 0, heart_labels(0)).astype(np.uint8)
    result = score(data, monkeypatch, found)
    assert result["structures"]["right ventricle"] == {"dice": 0, "hd95_mm": None}
    assert result["dice"] == pytest.approx(2 / 3)


def test_methods_know_nothing_but_the_annotated_slices(data, monkeypatch, subject):
    seen = []
    truth = load(subject).reference.labels

    def look(_name, case, _settings):
        seen.append(case)
        return Completed(truth)

    monkeypatch.setattr(within, "complete", look)
    for job in plan(settings(data, methods=("fast",))):
        result = run_job(job, settings=settings(data))
        known = seen[-1].annotation.known
        assert np.flatnonzero(known.any(axis=(1, 2))).tolist() == result["annotated"]


def test_rank_correlation_of_uncertainty_and_errors(data, monkeypatch):
    """Against scipy, with ties; the annotated slice does not count."""
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the benchmark extra")
    truth = heart_labels(0)
    found, uncertainty = truth.copy(), np.zeros(truth.shape, np.float32)
    wrong, unsure = [0, 4, 4, 9, 1, 7, 2], [3, 1, 5, 9, 1, 8, 2]
    for index, (errors, sure) in enumerate(zip(wrong, unsure, strict=True)):
        found[index].ravel()[:errors] = 3
        uncertainty[index, 0, 0] = sure / 10
    result = score(data, monkeypatch, found, uncertainty=uncertainty)
    expected = stats.spearmanr(np.delete(wrong, 3), np.delete(unsure, 3)).statistic
    assert result["rank_correlation"] == pytest.approx(expected, abs=1e-4)
    assert score(data, monkeypatch, truth, uncertainty=uncertainty)["rank_correlation"] is None


def test_errors_are_counted_at_each_level_of_uncertainty(data, monkeypatch):
    """Against a loop over the voxels; the annotated slice does not count, and both ends have a level."""
    random = np.random.default_rng(0)
    truth = heart_labels(0)
    uncertainty = random.choice([0, 0.05, 0.1, 0.39, 0.4, 0.7, 0.9, 1], truth.shape).astype(np.float32)
    found = np.where(random.random(truth.shape) < uncertainty / 2, 1 - truth.clip(0, 1), truth).astype(np.uint8)
    counts = score(data, monkeypatch, found, uncertainty=uncertainty)["errors_by_level"]
    expected = [[0, 0] for _ in level_names()]
    for index in np.ndindex(truth.shape):
        if index[0] != 3:
            level = sum(uncertainty[index] >= np.float32(edge) for edge in EDGES[1:-1])
            expected[level][0] += 1
            expected[level][1] += int(found[index] != truth[index])
    assert [list(pair) for pair in counts] == expected
    assert min(voxels for voxels, _ in counts) > 0


@pytest.mark.parametrize("name", OWN)
def test_own_methods_complete_a_volume(subject, name):
    case = load(subject).annotated([2, 4])
    completed = methods.complete(name, case, OWN_SETTINGS)
    assert completed.labels.shape == case.volume.array.shape
    assert completed.labels.dtype == np.uint8
    assert completed.labels.max() <= 3
    if name not in {"scratch", "network", "annotated"}:  # the others carry labels from slice to slice
        assert (completed.labels[3] == load(subject).reference.labels[3]).mean() > 0.85
    again = methods.complete(name, case, OWN_SETTINGS)
    assert np.array_equal(completed.labels, again.labels), "the same seed, the same result"


def test_page_of_a_run(data, tmp_path, capfd):
    run = runner(capfd)
    words = ["benchmark", "within-volume", "--data", data, "--sets", "acdc", "--slices", "1,3", "--placements"]
    words += ["inner,suggested", "--methods", "fast,intensities,copy", "--draws", 1, "--weights", "none"]
    words += ["--device", "cpu", "-o", tmp_path / "out ü"]
    done = run(*words)
    assert done.code == 0, done.err
    assert "0 of 24 jobs are known." in done.err
    page = (tmp_path / "out ü" / "within-volume.md").read_text(encoding="utf-8")
    for text in (
        "## acdc",
        "**suggested**",
        "| `copy` |",
        "Hausdorff",
        "Share of wrong voxels",
        "Suggested slices against evenly spaced ones",
    ):
        assert text in page
    assert str(data) not in page, "no path of this machine"
    structures = (tmp_path / "out ü" / "within-volume-structures.md").read_text(encoding="utf-8")
    assert "right ventricle" in structures
    assert (tmp_path / "out ü" / "within-volume.png").stat().st_size > 10_000
    assert run(*words, "--json").json == {
        "results": str(tmp_path / "out ü" / "within-volume.jsonl"),
        "page": str(tmp_path / "out ü" / "within-volume.md"), "rows": 24, "complete": True,
    }  # fmt: skip


def test_ablations_have_a_page_of_their_own(data, tmp_path, capfd):
    words = ["benchmark", "within-volume", "--data", data, "--sets", "acdc", "--slices", 2, "--placements", "inner"]
    words += ["--volumes", 1, "--methods", "ablations", "--draws", 1, "--weights", "none", "--device", "cpu"]
    done = runner(capfd)(*words, "-o", tmp_path)
    assert done.code == 0, done.err
    page = (tmp_path / "within-volume-ablations.md").read_text(encoding="utf-8")
    table = page[page.index("## acdc") :]
    assert [name for name in ("fast", "propagation", *ABLATIONS) if f"| `{name}` | 0." not in table] == []
    assert "copy" not in page


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--sets", "acdc,moon"], "There is no data set 'moon'"),
        (["--methods", "magic"], "There is no method 'magic'"),
        (["--placements", "everywhere"], "There is no placement 'everywhere'"),
        (["--weights", "missing.safetensors"], "missing.safetensors"),
    ],
)
def test_bad_choices_are_one_sentence(data, tmp_path, capfd, option, message):
    done = runner(capfd)("benchmark", "within-volume", "--data", data, "-o", tmp_path, "--device", "cpu", *option)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_peer_that_lacks_a_package_says_which(monkeypatch):
    class Entry:
        def load(self):
            raise ModuleNotFoundError("No module named 'itk'", name="itk")

    monkeypatch.setattr(methods, "entry_points", lambda **_: [Entry()])
    with pytest.raises(InputError, match=r"contours needs the package itk: install sslsegment\[benchmark\]"):
        methods.peer("contours")
