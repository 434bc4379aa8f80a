"""No regression hides: ``sslseg benchmark within-volume --quick`` beside the table that is committed.

After a change that is meant to change it: ``sslseg benchmark within-volume --quick --data DATA -o docs/benchmarks``.
"""

import statistics
from pathlib import Path

import pytest

from sslseg.benchmarks.runs import ResultFile
from sslseg.cli import main

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "within-volume-quick.jsonl"
TOLERANCE = 0.03
"""Of a mean Dice: processors round differently, with and without bfloat16, and training amplifies that."""


def means(path):
    """Mean Dice by data set and method."""
    found = {}
    for row in ResultFile(path).rows():
        found.setdefault((row.job["set"], row.job["method"]), []).append(row.result["dice"])
    return {key: statistics.fmean(values) for key, values in found.items()}


@pytest.mark.data
@pytest.mark.slow
def test_nothing_is_worse_than_what_is_committed(data_dir, tmp_path):
    assert main(["benchmark", "within-volume", "--quick", "--data", str(data_dir), "-o", str(tmp_path), "--json"]) == 0
    found, committed = means(tmp_path / COMMITTED.name), means(COMMITTED)
    assert found.keys() == committed.keys()
    worse = {key: (found[key], committed[key]) for key in found if found[key] < committed[key] - TOLERANCE}
    assert not worse
