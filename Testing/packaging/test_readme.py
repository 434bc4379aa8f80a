"""What the README promises is there: links, commands, options, and a Python example that runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

from sslseg.annotation import Segment
from sslseg.cli import cli
from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels, write_labels
from sslseg.volume import Volume, write_volume
from SSLSegmentLib import convert, headless

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"", text)
    files = [first or second for first, second in targets if "://" not in first + second]
    assert not [name for name in files if not (page.parent / name).exists()]


def options_of(command):
    return {option for parameter in cli.commands[command].params for option in parameter.opts}


def test_every_command_is_explained():
    assert set(re.findall(r"^\| `sslseg (\w+)", README, re.MULTILINE)) == set(cli.commands)


@pytest.mark.parametrize("usage", re.findall(r"^(?:\| `)?sslseg (\w+ [^`\n]*)", README, re.MULTILINE))
def test_options_in_usages_exist(usage):
    command, _, rest = usage.partition(" ")
    assert set(re.findall(r"(?<!\S|\w)\[?(--?[a-z][a-z-]*)", rest)) <= options_of(command)


def test_option_table_is_true():
    table = README[README.index("| option |") : README.index("**Images**")]
    explained = set(re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE))
    assert explained == {name for name in options_of("segment") if name.startswith("--")} - {"--out", "--debug"}


@pytest.mark.parametrize("module", [headless, convert], ids=lambda module: module.__name__)
def test_usage_of_the_slicer_side_is_understood(module):
    usage = re.search(rf"^python -m {module.__name__} (.+)$", README, re.MULTILINE).group(1)
    options = module.command.make_context(module.__name__, usage.split()).params
    assert "stl" in options["formats"]


def test_python_example_runs(tmp_path, monkeypatch):
    """On a ball that grows towards the middle slice, as a user would paste it."""
    monkeypatch.chdir(tmp_path)
    k, j, i = np.indices((16, 32, 32)) - np.array([8, 16, 16])[:, None, None, None]
    ball = (4 * k**2 + j**2 + i**2 < 11**2).astype(np.uint8)
    geometry = Geometry(ball.shape, spacing=(1.0, 1.0, 3.0))
    noise = np.random.default_rng(0).normal(0, 0.1, ball.shape)
    write_volume(Volume((ball + noise).astype(np.float32), geometry), "patient.nii.gz")
    write_labels(ball, geometry, [Segment("ball", (1.0, 0.5, 0.0), 1, "ball_1")], "annotated.seg.nrrd")

    exec(compile(re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1), "README.md", "exec"), {})

    result = read_dense_labels("result.seg.nrrd")
    assert result.segments[0].name == "ball"
    shown = np.isin(np.arange(16), (3, 7, 12))
    overlap = 2 * (result.labels & ball)[~shown].sum() / (result.labels[~shown].sum() + ball[~shown].sum())
    assert overlap > 0.7
    assert Path("patient.safetensors").is_file()
