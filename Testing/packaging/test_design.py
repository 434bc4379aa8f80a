"""The plan of the house and its figures are true: every file has its place, every arrow is in the code."""

import ast
import re
from pathlib import Path

import pytest

from sslseg.protocol import EVENTS, REQUESTS

ROOT = Path(__file__).resolve().parents[2]
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
FOLDERS = (
    ROOT / "SSLSegment",
    ROOT / "SSLSegment" / "SSLSegmentLib",
    ROOT / "core_lib" / "sslseg",
    ROOT / "core_lib" / "sslseg" / "benchmarks",
    ROOT / "SSLSegmentWeb",
)
ROOMS, LIFE = re.findall(r"```mermaid\n(.*?)```", DESIGN, re.DOTALL)
NOT_IN_TABLES = {"__init__.py", "__main__.py"}


def file_of(stem):
    """The Python file that a box of the figure stands for."""
    found = [folder / f"{stem}.py" for folder in FOLDERS[:3] if (folder / f"{stem}.py").is_file()]
    assert found, f"the figure has a box '{stem}' and there is no such file"
    return found[0]


def uses(path):
    """Last parts of the names of all modules that a file imports, by a statement or by ``import_module``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module.rpartition(".")[2], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {argument.value.rpartition(".")[2] for argument in node.args if isinstance(argument, ast.Constant)}
    return names


@pytest.mark.parametrize("arrow", re.findall(r"^  (\w+) --> (\w+)$", ROOMS, re.MULTILINE), ids="-".join)
def test_arrows_between_rooms_are_imports(arrow):
    user, used = map(file_of, arrow)
    assert used.stem in uses(user)


def test_every_box_is_a_file_and_has_arrows():
    boxes = re.findall(r'^ +(\w+)\["', ROOMS, re.MULTILINE)
    ends = {end for arrow in re.findall(r"^  (\w+) -[-.].*> (\w+)$", ROOMS, re.MULTILINE) for end in arrow}
    assert len(boxes) > 15
    assert set(boxes) == ends
    assert all(file_of(box) for box in boxes)


def test_only_the_two_processes_talk_without_an_import():
    assert re.findall(r'^  (\w+) -\. "(\w+)" \.-> (\w+)$', ROOMS, re.MULTILINE) == [
        ("worker_process", "stdin", "worker"),
        ("worker", "stdout", "worker_process"),
    ]


def test_messages_of_the_worker_are_those_of_the_protocol():
    asked = set(re.findall(r"L->>W: (\w+)", LIFE)) - {"start"}
    told = set(re.findall(r"W-->>L: (\w+)", LIFE)) - {"ready"}
    assert {"load", "finetune", "predict", "suggest", "cancel", "shutdown"} <= asked <= set(REQUESTS)
    assert told <= set(EVENTS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_file_has_its_place_in_the_plan(folder):
    named = set(re.findall(r"`([\w*]+\.py)`", DESIGN)) | {"SSLSegment.py"}
    if folder.name == "benchmarks":
        named |= {"*.py"}  # the plan names the folder
    patterns = [re.compile(re.escape(name).replace(r"\*", r"\w*")) for name in named]
    files = {path.name for path in folder.glob("*.py")} - NOT_IN_TABLES
    assert not {name for name in files if not any(pattern.fullmatch(name) for pattern in patterns)}


def test_every_file_in_the_plan_is_there():
    named = set(re.findall(r"`(\w+\.py)`", DESIGN))
    there = {
        path.name
        for top in ("SSLSegment", "SSLSegmentWeb", "core_lib", "Testing", "peers")
        for path in (ROOT / top).rglob("*.py")
    }
    assert named <= there
