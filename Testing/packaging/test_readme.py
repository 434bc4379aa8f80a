"""What README and docs promise is there: links, commands, options, error texts, and a Python example that runs."""

import ast
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from sslseg.annotation import Segment
from sslseg.cli import cli
from sslseg.cli_benchmark import benchmark
from sslseg.geometry import Geometry
from sslseg.labelmap_io import read_dense_labels, write_labels
from sslseg.volume import Volume, write_volume
from SSLSegmentLib import convert, headless
from SSLSegmentLib.choices import PRESETS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "Resources" / "Models").glob("*.md")),
]
PYTHON = [*(ROOT / "SSLSegment").rglob("*.py"), *(ROOT / "core_lib").rglob("*.py")]
GAP = "…"
"""Where a quoted text has a name or a number."""

PANEL = {
    "".join(text.itertext()).strip()
    for text in ET.parse(ROOT / "SSLSegment" / "Resources" / "UI" / "SSLSegment.ui").iter("property")
    if text.get("name") in ("text", "title")
}
"""Every word on the panel's buttons, labels and sections."""

OF_SLICER = {"MRHead", "Draw"}
"""What the tutorial asks to press in other parts of Slicer."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"", text)
    files = [first or second for first, second in targets if "://" not in first + second]
    assert not [name for name in files if not (page.parent / name).exists()]


def section(heading):
    """The text of one section of the README, up to the next of the same level."""
    return re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL).group(1)


def sentences(path):
    """Every text in a Python file, with a gap for each value that is filled in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


SAID = "\n".join(text for path in PYTHON for text in sentences(path))


def quoted_errors():
    """Every text in the first column of the troubleshooting table."""
    cells = re.findall(r"^\| (`.+`) \|", section("Troubleshooting"), re.MULTILINE)
    return [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]


def test_troubleshooting_names_enough():
    assert len(quoted_errors()) >= 15


@pytest.mark.parametrize("text", quoted_errors())
def test_troubleshooting_quotes_what_the_program_says(text):
    """Values in the README's quotes are gaps, as those in the code are; a gap may stand for a whole clause."""
    parts = [re.escape(part) for part in text.split(GAP)]
    assert re.search(".*?".join(parts), SAID), "no such text in the code"


def test_tutorial_presses_what_is_there():
    pressed = set(re.findall(r"\*\*([^*]+)\*\*", section("Five-minute tutorial")))
    offered = PANEL | OF_SLICER | {choice.title for choice in PRESETS}
    assert {" ".join(name.split()) for name in pressed} <= offered


def test_sections_of_the_panel_are_named():
    named = re.findall(r"\*([A-Z][a-z ]+)\*", section("Modules").replace("**", ""))
    assert len(named) == 8
    assert set(named) <= PANEL


def usages(page):
    """Every command line of a page, without ``sslseg``."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"(?:^|`)sslseg ([a-z]+ (?:[^`\n]*-[^`\n]*))", text, re.MULTILINE)


def options_of(name, *rest):
    command = benchmark.commands[rest[0]] if name == "benchmark" else cli.commands[name]
    return {option for parameter in command.params for option in parameter.opts}


def test_every_command_is_explained():
    assert set(re.findall(r"^\| `sslseg (\w+)", COMMANDS, re.MULTILINE)) == set(cli.commands)


@pytest.mark.parametrize("usage", sorted({usage for page in PAGES for usage in usages(page)}))
def test_options_in_usages_exist(usage):
    assert set(re.findall(r"(?<!\S|\w)\[?(--?[a-z][a-z-]*)", usage)) <= options_of(*usage.split())


def test_option_table_is_true():
    table = COMMANDS[COMMANDS.index("| option |") : COMMANDS.index("**Images**")]
    explained = set(re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE))
    assert explained == {name for name in options_of("segment") if name.startswith("--")} - {"--out", "--debug"}


@pytest.mark.parametrize("module", [headless, convert], ids=lambda module: module.__name__)
def test_usage_of_the_slicer_side_is_understood(module):
    usage = re.search(rf"^python -m {module.__name__} (.+)$", COMMANDS, re.MULTILINE).group(1)
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

    exec(compile(re.search(r"```python\n(.*?)```", COMMANDS, re.DOTALL).group(1), "command_line.md", "exec"), {})

    result = read_dense_labels("result.seg.nrrd")
    assert result.segments[0].name == "ball"
    shown = np.isin(np.arange(16), (3, 7, 12))
    overlap = 2 * (result.labels & ball)[~shown].sum() / (result.labels[~shown].sum() + ball[~shown].sum())
    assert overlap > 0.7
    assert Path("patient.safetensors").is_file()
