"""The tests that ctest runs inside Slicer run under the fake desktop as well."""

import importlib.util
import logging
import unittest

import pytest
import slicer

from fake_slicer_app import FOLDER

SCRIPTS = ("SSLSegmentModuleTest", "SSLSegmentPanelTest")


@pytest.fixture
def module(desktop):
    return desktop.load()


def run(suite: unittest.TestSuite) -> None:
    assert suite.countTestCases()
    result = unittest.TestResult()
    suite.run(result)
    assert result.wasSuccessful(), "\n".join(text for _, text in [*result.failures, *result.errors])
    assert not result.skipped


@pytest.mark.slow
@pytest.mark.usefixtures("module", "no_measurement")
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_of_ctest(name):
    path = FOLDER / "Testing" / "Python" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    python = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(python)
    run(unittest.defaultTestLoader.loadTestsFromModule(python))


@pytest.mark.slow
@pytest.mark.usefixtures("module", "no_measurement")
def test_self_test_of_the_module(caplog):
    """Started as Slicer's Self Tests do."""
    caplog.set_level(logging.INFO)
    slicer.selfTests["SSLSegment"]()
    assert [record.message for record in caplog.records if record.name == "fake_slicer_app"] == [
        "Load", "Annotate", "Train", "Accept", "Export",
    ]  # fmt: skip


def test_every_script_is_run_here():
    assert sorted(path.stem for path in (FOLDER / "Testing" / "Python").glob("*.py")) == sorted(SCRIPTS)
