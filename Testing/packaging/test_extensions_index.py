"""The entry for Slicer's Extensions Index, and what the Index asks of a community-supported extension (tier 3).

The fields are those of the schema that the entry names, ``Schemas/`` in Slicer's repository.
"""

import json
import re
import struct
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from SSLSegmentLib import shortcuts

ROOT = Path(__file__).resolve().parents[2]
NAME = "SSLSegment"
ENTRY_FILE = ROOT / f"{NAME}.json"
ENTRY = json.loads(ENTRY_FILE.read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
TOPIC = "3d-slicer-extension"

SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
REQUIRED = {"$schema", "category", "scm_url"}
TYPES = {
    "$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str, "build_dependencies": list,
    "build_subdirectory": str, "enabled": bool, "tier": int,
}  # fmt: skip
"""All fields that the schema knows; others are refused."""

LARGEST_REPOSITORY = 100_000_000
PERMISSIVE = "Apache License"
FOLDERS_OF_TOOLS = {".git", ".venv", "out", "build"}


def metadata(variable):
    """What the extension's CMakeLists.txt says of itself."""
    return re.search(rf'set\(EXTENSION_{variable} "([^"]*)"\)', CMAKE).group(1)


def in_repository(url):
    """The file of this repository that a raw download address stands for."""
    parts = urlsplit(url)
    owner, repository = urlsplit(ENTRY["scm_url"]).path.removesuffix(".git").strip("/").split("/")
    prefix = f"/{owner}/{repository}/{ENTRY['scm_revision']}/"
    assert (parts.scheme, parts.netloc) == ("https", "raw.githubusercontent.com")
    assert parts.path.startswith(prefix)
    return ROOT / parts.path.removeprefix(prefix)


def png_size(path):
    """Width and height that the header of a PNG file states."""
    start = path.read_bytes()[:24]
    assert start.startswith(b"\x89PNG\r\n\x1a\n"), f"{path.name} is no PNG image"
    return struct.unpack(">II", start[16:])


def section(heading):
    """The text of one section of the README, up to the next of the same level."""
    return re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL).group(1)


def test_entry_has_the_fields_of_its_schema():
    assert ENTRY["$schema"] == SCHEMA
    assert REQUIRED <= set(ENTRY) <= set(TYPES)
    assert not {name: value for name, value in ENTRY.items() if type(value) is not TYPES[name]}
    assert ENTRY["scm_type"] in ("git", "local")
    assert ENTRY["tier"] in (1, 3, 5)
    assert all(type(name) is str for name in ENTRY["build_dependencies"])
    assert b"\r" not in ENTRY_FILE.read_bytes()


def test_entry_agrees_with_cmake():
    assert re.search(r"^project\((\w+)", CMAKE, re.MULTILINE).group(1) == NAME
    assert ENTRY["category"] == metadata("CATEGORY") == "Segmentation"
    assert ENTRY["scm_url"].removesuffix(".git") == metadata("HOMEPAGE")
    assert ENTRY["build_dependencies"] == metadata("DEPENDS").split()
    assert "PyTorch" in ENTRY["build_dependencies"]


def test_names():
    """The extension is found by what it does, the repository by "Slicer"."""
    assert not NAME.lower().startswith("slicer")
    url = urlsplit(ENTRY["scm_url"])
    assert url.scheme == "https"
    assert url.path.removesuffix(".git").endswith(f"/Slicer{NAME}")
    assert not re.fullmatch(r"[0-9a-f]{7,40}", ENTRY["scm_revision"]), "a branch needs no new entry for each change"


def test_description_is_for_everybody():
    text = metadata("DESCRIPTION")
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", text) if part]
    assert 1 <= len(sentences) <= 2
    assert len(text) <= 400
    assert not re.search(r"\b(U-Net|fine-tun\w+|backbone|MRML|safetensors|self-supervised)\b", text)
    assert "http" not in text


def test_icon_and_screenshots_are_in_the_repository():
    assert png_size(in_repository(metadata("ICONURL"))) in {(128, 128), (256, 256)}
    screenshots = metadata("SCREENSHOTURLS").split()
    assert screenshots
    for url in screenshots:
        width, height = png_size(in_repository(url))
        assert min(width, height) >= 300


def test_licence_is_permissive_and_named():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PERMISSIVE in text
    assert "[Apache-2.0](LICENSE)" in section("Licence and citing")


def test_repository_is_small():
    """The files of the project; what tools made beside them does not count."""
    folders = [path for path in ROOT.iterdir() if path.name not in FOLDERS_OF_TOOLS and not path.name.startswith(".")]
    files = [file for path in folders for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    assert 1_000_000 < sum(file.stat().st_size for file in files) < LARGEST_REPOSITORY


def test_home_page_begins_with_name_description_and_picture():
    head = README.split("\n## ")[0]
    assert f"\n# {NAME}\n" in head
    paragraph = head.split(f"# {NAME}\n")[1].strip().split("\n\n")[0]
    assert len(re.findall(r"[.!?](?:\s|$)", paragraph)) == 2, "what it does, in two sentences"
    assert re.search(r"!\[[^\]]+\]\(docs/images/\w+\.png\)|<img src=\"docs/images/\w+\.png\"", head)
    assert "not for clinical use" in head.lower()


@pytest.mark.parametrize("heading", ["Install", "Five-minute tutorial", "What the numbers mean", "Keyboard", "Limits",
                                     "Troubleshooting", "Modules", "Licence and citing"])  # fmt: skip
def test_home_page_has_what_users_look_for(heading):
    assert len(section(heading).split()) >= 20


def test_tutorial_is_step_by_step_with_pictures_and_sample_data():
    text = section("Five-minute tutorial")
    steps = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= 6
    assert len(re.findall(r"docs/images/\w+\.png", text)) >= 2
    assert "Sample Data" in text
    assert "MRHead" in text, "a data set that Slicer registers itself"


def test_all_keys_are_listed():
    listed = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section("Keyboard"), re.MULTILINE))
    assert listed == shortcuts.SHORTCUTS


def test_publications_are_linked():
    assert len(re.findall(r"\]\(https://", section("Licence and citing"))) >= 2


def test_topic_is_documented():
    """The repository's topic is set on its web page, so the page for developers says which one."""
    assert f"`{TOPIC}`" in (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
