"""Jobs of a benchmark: what was computed is kept, and is not computed again."""

import json

import pytest

from sslseg.benchmarks.runs import ResultFile, key_of, run_jobs
from sslseg.errors import OutputError
from sslseg.progress import ignore_progress, never_stop

JOBS = [{"n": n, "name": "ü"} for n in range(5)]


def square(job):
    return {"square": job["n"] ** 2}


def run(path, jobs=JOBS, work=square, should_stop=never_stop, **options):
    options = {"processes": 1, "threads": 1, "on_progress": ignore_progress, "should_stop": should_stop, **options}
    return run_jobs(jobs, work, ResultFile(path), **options)


def squares(path):
    return {row.job["n"]: row.result["square"] for row in ResultFile(path).rows()}


def forbidden(job):
    raise AssertionError(f"{job} was done again")


def test_results_are_kept_and_known(tmp_path):
    path = tmp_path / "results.jsonl"
    assert run(path)
    assert squares(path) == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}
    row = ResultFile(path).rows()[0]
    assert row.result["seconds"] >= 0
    assert row.environment["threads"] == 1
    assert row.environment["processor"]
    assert run(path, work=forbidden)


def test_a_stopped_run_goes_on(tmp_path):
    path = tmp_path / "results.jsonl"
    seen = []
    assert not run(path, should_stop=lambda: len(seen) == 2, work=lambda job: seen.append(job) or square(job))
    assert sorted(squares(path)) == [0, 1]
    again = []
    assert run(path, work=lambda job: again.append(job["n"]) or square(job))
    assert again == [2, 3, 4]


def test_a_line_that_was_cut_is_done_again(tmp_path):
    path = tmp_path / "results.jsonl"
    run(path)
    path.write_bytes(path.read_bytes()[:-30])
    again = []
    assert run(path, work=lambda job: again.append(job["n"]) or square(job))
    assert again == [4]
    assert squares(path) == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}


def test_the_latest_row_of_a_job_counts(tmp_path):
    path = tmp_path / "results.jsonl"
    run(path, JOBS[:1])
    line = json.loads(path.read_text(encoding="utf-8"))
    line["result"]["square"] = 7
    path.write_text(path.read_text(encoding="utf-8") + json.dumps(line) + "\n", encoding="utf-8")
    assert squares(path) == {0: 7}


def test_a_key_does_not_depend_on_order():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_two_processes_do_the_same(tmp_path):
    assert run(tmp_path / "one.jsonl")
    assert run(tmp_path / "two.jsonl", processes=2)
    assert squares(tmp_path / "one.jsonl") == squares(tmp_path / "two.jsonl")


def test_what_was_done_before_a_fault_is_kept(tmp_path):
    path = tmp_path / "results.jsonl"

    def fails(job):
        if job["n"] == 2:
            raise ValueError("broken")
        return square(job)

    with pytest.raises(ValueError, match="broken"):
        run(path, work=fails)
    assert sorted(squares(path)) == [0, 1]


def test_results_that_cannot_be_written_are_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="could not be written"):
        run(tmp_path / "missing" / "results.jsonl")
