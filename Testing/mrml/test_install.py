"""Installing what the worker needs: what is missing, one question, the right calls, and going on after a restart.

``slicer.packaging`` and the PyTorch extension exist in the desktop only; stand-ins with their signatures take their
place here, and they "install" by changing what Python finds.
"""

import subprocess
import sys
import types
from importlib import metadata

import pytest
import slicer
from packaging.requirements import Requirement

from sslseg.errors import InputError
from SSLSegmentLib import requirements
from SSLSegmentLib.background_job import JobState
from SSLSegmentLib.install import AGREED, EXTENSION_MODULE, Installer
from SSLSegmentLib.requirements import REQUIREMENTS_FILE, TORCH, look_again, missing_packages, unmet
from SSLSegmentLib.user_store import MemoryStore

PACKAGES = ("torch", "highdicom", "monai", "psutil", "safetensors")


class Desktop:
    """What Slicer and the PyTorch extension offer.

    Attributes:
        installed: versions by name, as Python sees them.
        calls: what was installed how.
        fails: raised instead of installing.
    """

    def __init__(self, monkeypatch):
        self.installed = dict.fromkeys(PACKAGES, "1.5")
        self.installed["torch"] = "2.9"
        self.installed |= {"highdicom": "0.28", "psutil": "7.0"}
        self.versions = dict(self.installed)
        self.calls = []
        self.fails = None
        self.asked = []
        self.answer = True
        monkeypatch.setattr(requirements.metadata, "version", self.version)
        packaging = types.ModuleType("slicer.packaging")
        packaging.load_requirements = self.load_requirements
        packaging.pip_ensure = self.pip_ensure
        monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
        monkeypatch.setattr(slicer, "packaging", packaging, raising=False)
        extension = types.ModuleType(EXTENSION_MODULE)
        extension.PyTorchUtilsLogic = lambda: self
        extension.__spec__ = types.SimpleNamespace(name=EXTENSION_MODULE)
        monkeypatch.setitem(sys.modules, EXTENSION_MODULE, extension)
        look_again()

    def version(self, name):
        if name not in self.installed:
            raise metadata.PackageNotFoundError(name)
        return self.installed[name]

    def remove(self, *names):
        for name in names:
            del self.installed[name]
        look_again()

    def ask(self, question):
        self.asked.append(question)
        return self.answer

    # The signatures of Slicer 5.12 and of the extension

    def load_requirements(self, path):
        with open(path) as file:  # noqa: PTH123 - as Slicer does it: without a word about the encoding
            return [Requirement(line.strip()) for line in file if line.strip() and not line.startswith(("#", "-"))]

    def pip_ensure(
        self, requirements, constraints=None, skip_packages=None, prompt_install=True, prompt_restart=True,
        requester=None, skip_in_testing=True, show_progress=True,
    ):  # fmt: skip
        options = (
            constraints,
            skip_packages,
            prompt_install,
            prompt_restart,
            requester,
            skip_in_testing,
            show_progress,
        )
        assert options == (None, None, False, True, "SSLSegment", True, True)
        self._install("pip", [requirement.name for requirement in requirements])

    def installTorch(
        self,
        askConfirmation=False,  # noqa: N803 - the extension's names
        forceComputationBackend=None,  # noqa: N803
        torchVersionRequirement=None,  # noqa: N803
        torchvisionVersionRequirement=None,  # noqa: N803
    ):
        options = (askConfirmation, forceComputationBackend, torchVersionRequirement, torchvisionVersionRequirement)
        assert options == (False, None, ">=2.7", None)
        self._install("torch", ["torch"])

    def _install(self, how, names):
        if self.fails is not None:
            raise self.fails
        self.calls.append((how, sorted(name for name in names if name not in self.installed)))
        self.installed |= {name: self.versions[name] for name in names}


@pytest.fixture
def desktop(monkeypatch):
    yield Desktop(monkeypatch)
    monkeypatch.undo()
    look_again()


@pytest.fixture
def changes():
    return []


@pytest.fixture
def installer(desktop, changes):
    return Installer(MemoryStore(), desktop.ask, lambda: changes.append(1))


def test_nothing_is_missing(installer, desktop):
    assert not installer.needed
    assert not installer.pending
    assert installer.first_step == ""
    assert unmet() == []
    with pytest.raises(InputError, match="Everything is installed"):
        installer.start()
    assert desktop.asked == []


def test_everything_is_installed_after_one_question(installer, desktop, changes):
    desktop.remove(*PACKAGES)
    assert [package.title for package in missing_packages()] == [
        "PyTorch",
        "highdicom",
        "MONAI",
        "psutil",
        "safetensors",
    ]
    assert "PyTorch, highdicom, MONAI" in installer.first_step
    assert "PyTorch, highdicom, MONAI" in unmet()[0]
    installer.start()
    (question,) = desktop.asked
    assert "- PyTorch: about 200 MB, with CUDA about 3 GB" in question
    assert "- MONAI: 2 MB" in question
    assert desktop.calls == [("torch", ["torch"]), ("pip", ["highdicom", "monai", "psutil", "safetensors"])]
    assert installer.state is JobState.DONE
    assert installer.messages == ["Installing PyTorch.", "Installing the other packages."]
    assert not installer.needed
    assert not installer.pending
    assert unmet() == []
    assert changes


def test_torch_is_left_alone_where_it_is_there(installer, desktop):
    desktop.remove("monai")
    installer.start()
    assert desktop.calls == [("pip", ["monai"])]
    assert "PyTorch" not in desktop.asked[0]


@pytest.mark.parametrize(("name", "version"), [("torch", "2.6"), ("monai", "2.0"), ("monai", "1.3.9")])
def test_a_version_that_does_not_fit_is_missing(desktop, name, version):
    desktop.installed[name] = version
    look_again()
    assert [package.requirement.name for package in missing_packages()] == [name]


def test_a_build_with_a_label_fits(desktop):
    desktop.installed["torch"] = "2.9.0+cu128"
    look_again()
    assert missing_packages() == ()


def test_no_is_an_answer(installer, desktop):
    desktop.remove("monai")
    desktop.answer = False
    installer.start()
    assert installer.state is JobState.CANCELLED
    assert desktop.calls == []
    assert not installer.pending


def test_without_the_extension_there_is_a_first_step(installer, desktop, monkeypatch):
    desktop.remove("torch")
    monkeypatch.delitem(sys.modules, EXTENSION_MODULE)
    assert "Extensions Manager" in installer.first_step
    with pytest.raises(InputError, match="Extensions Manager"):
        installer.start()
    assert desktop.asked == []


FAULTS = [
    (subprocess.CalledProcessError(1, "pip"), "pip ended with exit code 1"),
    (RuntimeError("first line\nno route to host."), "no route to host"),
    (OSError(28, "No space left on device"), "No space left"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_a_fault_is_told_and_it_goes_on_without_asking_again(installer, desktop, fault, words):
    desktop.remove("torch", "monai")
    desktop.fails = fault
    installer.start()
    assert installer.state is JobState.FAILED
    assert words in installer.last_error
    assert installer.last_error.count("\n") == 0
    assert installer.pending
    desktop.fails = None
    installer.start()
    assert installer.state is JobState.DONE
    assert len(desktop.asked) == 1


def test_a_restart_in_between_is_no_end(installer, desktop):
    class Restart(BaseException):
        pass

    desktop.remove("torch", "monai")
    store, desktop.fails = installer._store, Restart()
    with pytest.raises(Restart):
        installer.start()
    desktop.fails = None
    afterwards = Installer(store, desktop.ask, lambda: None)
    assert afterwards.pending
    assert "not complete" in afterwards.first_step
    afterwards.start()
    assert afterwards.state is JobState.DONE
    assert len(desktop.asked) == 1
    assert not store.value(AGREED, "")


def test_what_came_by_another_way_is_seen(installer, desktop, changes):
    desktop.remove("monai")
    installer._store.setValue(AGREED, "yes")
    assert installer.pending
    desktop.installed["monai"] = "1.5"
    installer.look_again()
    assert not installer.needed
    assert not installer._store.value(AGREED, "")
    assert changes


def test_what_needs_a_restart_says_so(installer, desktop, monkeypatch):
    desktop.remove("monai")
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda *_, **__: None)  # as Slicer does in testing mode
    installer.start()
    assert installer.state is JobState.FAILED
    assert "MONAI" in installer.last_error
    assert "restart Slicer" in installer.last_error.replace("Restart", "restart")


def test_an_old_slicer_is_told_to_be_updated(installer, desktop, monkeypatch):
    desktop.remove("monai")
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    installer.start()
    assert "5.12" in installer.last_error


def test_training_names_what_is_missing(idle_driver, desktop):
    desktop.remove("safetensors")
    assert unmet()[0] in idle_driver.loop.availability("train").reasons
    assert unmet()[0] in idle_driver.loop.apply.availability().reasons
    assert unmet()[0] in idle_driver.loop.pretraining.availability().reasons
    assert idle_driver.loop.hardware.text == unmet()[0]


# What is asked for


def listed():
    lines = REQUIREMENTS_FILE.read_text(encoding="ascii").splitlines()
    return {Requirement(line).name: Requirement(line) for line in lines if not line.startswith("#")}


def test_versions_are_those_of_the_package():
    declared = {Requirement(line).name: Requirement(line) for line in metadata.requires("sslsegment")}
    for name, requirement in {**listed(), TORCH.name: TORCH}.items():
        assert requirement.specifier == declared[name].specifier
