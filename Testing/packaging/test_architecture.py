"""The plan of the house as rules: which room may use which, and how large a file may grow."""

import ast
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core_lib" / "sslseg"
SLICER_SIDE = ROOT / "SSLSegment" / "SSLSegmentLib"
WEB = ROOT / "SSLSegmentWeb"
GATE = {"access", "cli", "files_http", "gate", "pages", "proxy", "rendering", "session_process", "sessions"}
"""What the process needs that users reach."""

DESKTOP = {"slicer", "vtk", "vtkmodules", "qt", "ctk", "PythonQt", "trame"}
NETWORK = {"torch", "monai"}
TRAME = {"trame", "trame_client", "trame_rca", "trame_server", "trame_slicer", "wslink"}
MADE_FOLDERS = {"__pycache__", "build", "out", "dist"}


def text_files(folder=ROOT):
    """Everything that belongs to the project, with or without git: hidden folders are tools', except ``.ci``."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            made = path.name in MADE_FOLDERS or path.suffix == ".egg-info"
            if not made and (not path.name.startswith(".") or path.name == ".ci"):
                yield from text_files(path)
        elif path.suffix not in {".png", ".safetensors"}:
            yield path


PYTHON_FILES = [path for path in text_files() if path.suffix == ".py"]


def imports(path, *, when_imported=False):
    """Full names of all that a file imports; ``when_imported``: only what is executed when the file is imported."""
    names, todo = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import; the project writes full names"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if not (when_imported and (later or is_type_checking(node))):
            todo.extend(ast.iter_child_nodes(node))
    return names


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def top(names):
    return {name.partition(".")[0] for name in names}


def core_file(name):
    """The file of a module of sslseg by its full name; None for a name inside of a module, or of another package."""
    if name.partition(".")[0] != "sslseg":
        return None
    place = CORE.joinpath(*name.split(".")[1:])
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def loaded_with(path):
    """Top-level names of all packages that come into the process when a core file is imported."""
    seen, packages, todo = set(), set(), [path]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        names = imports(path, when_imported=True)
        packages |= top(names)
        names |= {name.rpartition(".")[0] for name in names}  # a package's __init__ comes with each of its modules
        todo += [file for name in names if name.startswith("sslseg") and (file := core_file(name))]
    return packages


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.relative_to(CORE).as_posix())
def test_core_does_not_know_its_callers(path):
    assert not top(imports(path)) & (DESKTOP | {"SSLSegment", "SSLSegmentLib", "SSLSegmentWeb", "sslseg_peers"})


@pytest.mark.parametrize("path", sorted(SLICER_SIDE.rglob("*.py")), ids=lambda path: path.name)
def test_slicer_side_never_loads_the_network(path):
    names = imports(path)
    forbidden = NETWORK | {"trame", "SSLSegment", "SSLSegmentWeb"}
    forbidden |= set() if path.name.startswith("widget") else {"qt", "ctk", "PythonQt"}
    assert not top(names) & forbidden
    used = {name: core_file(name) for name in names if name.startswith("sslseg")}
    heavy = [name for name, file in used.items() if file and loaded_with(file) & NETWORK]
    assert not heavy, f"{path.name} imports {heavy}, which load torch or MONAI into the viewer"


@pytest.mark.parametrize("path", sorted(WEB.glob("*.py")), ids=lambda path: path.name)
def test_browser_side_never_loads_the_network_or_the_desktop(path):
    names = imports(path)
    assert not top(names) & (NETWORK | {"qt", "ctk", "PythonQt", "SSLSegment", "sslseg_peers"})
    heavy = [name for name in names if (file := core_file(name)) and loaded_with(file) & NETWORK]
    assert not heavy, f"{path.name} imports {heavy}, which load torch or MONAI into the session"
    desktop = {name for name in names if name.startswith("SSLSegmentLib.widget")}
    assert not desktop


def test_the_gate_knows_neither_the_viewer_nor_trame():
    """Only its own modules, and of the others those without a viewer; a test of the gate looks what is loaded."""
    inside = {path.stem for path in WEB.glob("*.py")}
    assert inside >= GATE
    for name in GATE:
        names = imports(WEB / f"{name}.py")
        assert not top(names) & (DESKTOP | TRAME)
        own = {part.split(".")[1] for part in names if part.startswith("SSLSegmentWeb.")}
        assert own <= GATE, name


def test_the_rules_can_fail(tmp_path):
    """The reading of imports sees what it must see, and only that."""
    file = tmp_path / "file.py"
    file.write_text(
        "import json\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import monai.losses\n"
        "class A:\n    import vtk\ndef f():\n    from slicer.util import loadVolume\n",
        encoding="utf-8",
    )
    assert top(imports(file)) == {"json", "typing", "monai", "vtk", "slicer"}
    assert top(imports(file, when_imported=True)) == {"json", "typing", "vtk"}
    assert "torch" in loaded_with(core_file("sslseg.checkpoint"))
    assert "torch" not in loaded_with(core_file("sslseg.protocol"))


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_file_fits_in_a_head(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= (150 if path.name == "SSLSegment.py" else 400)


def test_every_folder_of_tests_is_run():
    """``make test`` runs those that pyproject.toml lists, ``make test-web`` those of the browser."""
    listed = re.search(r"^testpaths = (\[.*\])", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    there = {path.relative_to(ROOT).parts[:2] for path in (ROOT / "Testing").rglob("test_*.py")}
    assert {"/".join(parts) for parts in there} == {*ast.literal_eval(listed.group(1)), "Testing/web"}


def test_test_files_have_unique_names():
    """Test folders are no packages, so pytest tells the files apart by their names alone."""
    names = [path.name for path in PYTHON_FILES if path.name.startswith("test_")]
    assert len(names) == len(set(names))


def test_no_path_of_a_machine_and_no_registry():
    machine = re.compile(r"(?:^|[\"'( =])/(?:home|root|tmp|mnt|opt|work)/|[A-Z]:\\\\?Users|index-url", re.MULTILINE)
    here = Path(__file__)
    found = {path: machine.findall(path.read_text(encoding="utf-8")) for path in text_files() if path != here}
    assert not {path: hits for path, hits in found.items() if hits}


def declared_distributions(extras=""):
    """Names of the distributions that the project's metadata asks for, by itself or by extras that match a pattern."""
    wanted = [
        requirement
        for requirement in requires("sslsegment")
        if (found := re.search(r"extra == .([\w-]+)", requirement)) is None or re.fullmatch(extras, found.group(1))
    ]
    return {normalised(re.match(r"[\w.-]+", requirement).group()) for requirement in wanted}


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_declared():
    """What the code imports is asked for by the package or one of its extras, not there by luck."""
    own = {path.stem for path in PYTHON_FILES} | {"sslseg", "SSLSegmentLib", "SSLSegmentWeb", "sslseg_peers"}
    known = set(sys.stdlib_module_names) | own | {"qt", "ctk"}  # the last two come with the Slicer desktop
    used = set().union(*(top(imports(path)) for path in PYTHON_FILES)) - known
    elsewhere = {"PySide6": ["pyside6-essentials"], "undo_stack": ["py-undo-stack"]}  # not in this environment
    installed = {**elsewhere, **packages_distributions()}
    declared = declared_distributions(".*")
    undeclared = {name for name in used if not {normalised(dist) for dist in installed.get(name, [name])} & declared}
    assert not undeclared


def test_what_the_worker_imports_is_installed_with_the_extension():
    """Slicer has numpy and SimpleITK, and PyTorch is an extension of its own; what those need comes with them."""
    worker = loaded_with(CORE / "worker.py") | loaded_with(CORE / "worker_jobs.py")
    used = worker - set(sys.stdlib_module_names) - {"sslseg", "numpy", "SimpleITK", "torch"}
    lines = (ROOT / "SSLSegment" / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert used <= {re.match(r"[\w.-]*", line).group() for line in lines}


def pins(file):
    """Name of each distribution in a constraints file, with its lines."""
    found = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if "==" in line:
            found.setdefault(normalised(line.partition("==")[0]), set()).add(line)
    return found


@pytest.mark.parametrize(
    ("file", "extras"), [("constraints.txt", r"(?!web).*"), ("constraints-web.txt", r"web|web-dev|dicom")]
)
def test_every_declared_package_is_pinned(file, extras):
    assert not declared_distributions(extras) - set(pins(file))


def test_both_environments_have_the_same_versions():
    desktop, web = pins("constraints.txt"), pins("constraints-web.txt")
    differ = {name for name in desktop.keys() & web.keys() if desktop[name] != web[name]}
    assert differ == {"slicer-core"}  # trame-slicer brings its own
