"""The pretrained weights that ship: whole, small, free to be passed on, described, and the default of every job."""

import hashlib
import json

import pytest

from sslseg.backbone import BACKBONES
from sslseg.model import load_backbone
from sslseg.pretrain_settings import METHODS
from sslseg.settings import AUTO_WEIGHTS, NO_WEIGHTS
from sslseg.shipped import BEST, models_folder, resolve_weights, shipped_weights

LARGEST = 10_000_000
FREE = {"Apache-2.0", "BSD-3-Clause", "CC BY-SA 4.0", "CC0"}
"""Licences under which weights that were learned from the images may be passed on."""

FILES = {path.stem: path for path in shipped_weights()}


def test_every_method_ships_and_the_best_comes_first():
    assert set(FILES) == set(METHODS)
    assert shipped_weights()[0].stem == BEST
    assert resolve_weights(AUTO_WEIGHTS) == FILES[BEST]


def test_names_for_weights():
    assert resolve_weights(NO_WEIGHTS) is None
    assert str(resolve_weights("some file.safetensors")) == "some file.safetensors"


def test_without_the_files_auto_stands_for_random_weights(monkeypatch, tmp_path):
    monkeypatch.setattr("sslseg.shipped._FOLDERS", (tmp_path / "missing",))
    assert resolve_weights(AUTO_WEIGHTS) is None


def test_check_sums():
    lines = (models_folder() / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    expected = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FILES.values()}
    assert found == expected


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_small_free_and_described(method):
    path = FILES[method]
    assert path.stat().st_size <= LARGEST
    backbone, header = load_backbone(path)
    assert header["method"] == method
    assert backbone.config.widths == BACKBONES["small"]
    assert set(header["licence"].split(" and ")) <= FREE
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    wanted = [header["licence"], f"{header['steps']:,}", f"{header['slices']:,}", "CPU", "Dice", "make weights"]
    wanted += [data_set["name"] for data_set in header["data_sets"]]
    assert [words for words in wanted if words not in card] == []


@pytest.mark.parametrize("method", METHODS)
def test_weights_were_made_from_the_manifest_beside_them(method):
    manifest = json.loads((models_folder() / "data_sets.json").read_text(encoding="utf-8"))
    _, header = load_backbone(FILES[method])
    keys = ("name", "modality", "anatomy", "licence")
    assert [{k: d[k] for k in keys} for d in header["data_sets"]] == [{k: d[k] for k in keys} for d in manifest]
