"""What runs inside Slicer as the module's own test runs on slicer-core as well."""

import pytest

from SSLSegmentLib import self_test


@pytest.mark.slow
def test_the_whole_loop(scene):
    steps = []
    self_test.run(scene, steps.append)
    assert steps == ["Load", "Annotate", "Train", "Accept", "Export"]


def test_it_can_fail(scene, monkeypatch):
    monkeypatch.setattr(self_test, "unmet", lambda: ["Install what is missing first: PyTorch."])
    with pytest.raises(AssertionError, match="PyTorch"):
        self_test.run(scene)
