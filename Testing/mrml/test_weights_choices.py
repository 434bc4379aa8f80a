"""The list of weights: what ships, what the user has, and what cannot be used, without torch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sslseg import shipped
from sslseg.backbone import BackboneConfig
from sslseg.checkpoint import save_checkpoint
from sslseg.pretrain_data import DataSet
from sslseg.pretrain_settings import PretrainSettings
from sslseg.pretrain_state import weights_header
from SSLSegmentLib.loop_state import availability
from SSLSegmentLib.user_store import WEIGHTS_FOLDER, MemoryStore, set_weights_folder, weights_folder
from SSLSegmentLib.weights import cached_header, problem_of, weights_choices

MEMBERS = [DataSet("Herzen größer", "", licence="CC BY 4.0")]


def write(path, method="pix2rep"):
    """A weights file as a pretraining writes it, without the weights themselves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = weights_header(BackboneConfig((8, 16)), PretrainSettings("pix2rep"), MEMBERS, 1234)
    save_checkpoint(path, {"backbone.x": torch.zeros(3)}, {**header, "method": method, "steps": 99})
    return path


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder of what ships."""
    monkeypatch.setattr(shipped, "_FOLDERS", (tmp_path / "Models",))
    return tmp_path / "Models"


@pytest.mark.usefixtures("models")
def test_without_files_there_are_two_choices():
    choices = weights_choices()
    assert [choice.value for choice in choices] == ["auto", "none"]
    assert choices[0].title == "Automatic (random start)"
    assert not any(choice.problem for choice in choices)


def test_what_ships_comes_best_first(models):
    for method in ("hssl", "pix2rep", "pix2rep-v2"):
        write(models / f"{method}.safetensors", method)
    titles = [choice.title for choice in weights_choices()]
    assert titles == ["Automatic (Pix2Rep)", "Pix2Rep", "HSSL", "Pix2Rep-v2", "None (random start)"]
    tooltip = weights_choices()[1].tooltip.splitlines()
    for line in (
        "Method: Pix2Rep",
        "Learned from: 1234 unlabelled slices of Herzen größer",
        "Steps: 99",
        "Network: 8-16",
        "Licence: CC BY 4.0",
    ):
        assert line in tooltip
    assert tooltip[-1].endswith("ships with SSLSegment)")


@pytest.mark.usefixtures("models")
def test_the_users_folder_and_a_chosen_file(tmp_path):
    own = tmp_path / "Gewichte größer"
    kidneys = write(own / "kidneys.safetensors")
    trained = write(own / "my model.safetensors", method="finetune")
    save_file({"a": torch.zeros(1)}, own / "another program.safetensors")
    (own / "notes.txt").write_text("no weights", encoding="utf-8")
    write(own / "kidneys.run" / "state.safetensors")
    elsewhere = write(tmp_path / "elsewhere" / "lungs.safetensors")
    choices = weights_choices(own, str(elsewhere))
    assert [choice.value for choice in choices] == ["auto", str(kidneys), str(trained), str(elsewhere), "none"]
    assert [choice.title for choice in choices[1:4]] == [
        "kidneys (Pix2Rep)",
        "my model (trained model)",
        "lungs (Pix2Rep)",
    ]
    assert len(weights_choices(own, str(kidneys))) == 4
    assert len(weights_choices(tmp_path / "nowhere")) == 2


def _missing(path):
    path.unlink()


def _damaged(path):
    path.write_bytes(path.read_bytes()[:-3])


def _pickled(path):
    path.write_bytes(b"PK\x03\x04" + bytes(40))


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("spoil", "problem"), [(_missing, "is not there"), (_damaged, "damaged or truncated"), (_pickled, "pickled")]
)
def test_a_chosen_file_that_cannot_be_used_stays_in_the_list(tmp_path, idle_driver, spoil, problem):
    path = write(tmp_path / "lungs.safetensors")
    assert problem_of(str(path)) == ""
    spoil(path)
    entry = weights_choices(chosen=str(path))[1]
    assert entry.value == str(path)
    assert problem in entry.problem
    assert problem_of(str(path)) == entry.problem
    idle_driver.loop.settings.weights = str(path)
    assert entry.problem in availability(idle_driver.loop, "train").reasons


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("weights", ["auto", "none"])
def test_the_other_choices_are_never_a_problem(weights):
    assert problem_of(weights) == ""


def test_a_file_that_was_written_again_is_read_again(tmp_path):
    path = write(tmp_path / "w.safetensors")
    assert cached_header(path) is cached_header(path)
    write(path, method="hssl")
    assert cached_header(path)["method"] == "hssl"


def test_the_folder_of_weights_is_the_users():
    store = MemoryStore()
    usual = weights_folder(store)
    assert usual.is_relative_to(Path.home())
    set_weights_folder(store, "/Gewichte größer")
    assert weights_folder(store) == Path("/Gewichte größer")
    store.setValue(WEIGHTS_FOLDER, "")
    assert weights_folder(store) == usual


def test_neither_torch_nor_safetensors_is_needed(tmp_path):
    path = write(tmp_path / "w.safetensors")
    program = (
        "import sys\n"
        "from SSLSegmentLib.weights import weights_choices\n"
        f"print([c.title for c in weights_choices(chosen={str(path)!r})])\n"
        "assert not {'torch', 'safetensors', 'monai', 'slicer'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "w (Pix2Rep)" in done.stdout
