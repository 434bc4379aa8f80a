"""The extension is configured, built and installed with plain CMake, and used from where it was installed."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import sslseg

ROOT = Path(__file__).resolve().parents[2]
FAKE_SLICER = Path(__file__).with_name("fake_slicer")
MODULE_FOLDER = Path("lib", "Slicer-5.12", "qt-scripted-modules")
"""Where Slicer keeps scripted modules, below the folder of the build as well as of the installation."""

TORCH_FREE = (
    "annotation", "cli", "console", "dicom_series", "errors", "files", "geometry", "itk_io", "labelmap_io", "progress",
    "protocol", "settings", "volume",
)  # fmt: skip
"""What the Slicer side may use of the core."""


def tool(name):
    """``cmake`` and the like of this Python environment."""
    path = shutil.which(name, path=sysconfig.get_path("scripts"))
    assert path, f"{name} is part of the dev extra"
    return path


def configure(source, build):
    options = {
        "Slicer_DIR": FAKE_SLICER,
        "CMAKE_TOOLCHAIN_FILE": FAKE_SLICER / "no_compiler.cmake",
        "CMAKE_MAKE_PROGRAM": tool("ninja"),
    }
    command = [tool("cmake"), "-S", source, "-B", build, "-G", "Ninja"]
    command += [f"-D{name}={Path(value).as_posix()}" for name, value in options.items()]
    return subprocess.run(command, check=False, capture_output=True, encoding="utf-8", timeout=120)


def install(source, build, prefix):
    """Configure, build and install; the folder in which the module ends up."""
    configured = configure(source, build)
    assert configured.returncode == 0, configured.stderr
    subprocess.run([tool("cmake"), "--build", build], check=True, capture_output=True, timeout=120)
    subprocess.run(
        [tool("cmake"), "--install", build, "--prefix", prefix], check=True, capture_output=True, timeout=120
    )
    return prefix / MODULE_FOLDER


def python_files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


def source_files(source):
    """What has to be installed, by its place below the module folder."""
    library = {f"SSLSegmentLib/{name}" for name in python_files(source / "SSLSegment" / "SSLSegmentLib")}
    core = {f"sslseg/{name}" for name in python_files(source / "core_lib" / "sslseg")}
    return {"SSLSegment.py"} | library | core


def run_python(code, *search_path, cwd):
    """Run ``code`` in a Python that knows the installed packages, but not this source tree.

    ``-S`` keeps out the project itself, which a development environment has as an editable installation.
    """
    folders = [*search_path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    command = [sys.executable, "-ES", "-X", "utf8", "-c", f"import sys; sys.path += sys.argv[1:]\n{code}", *folders]
    return subprocess.run(command, check=False, cwd=cwd, capture_output=True, encoding="utf-8", timeout=120)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def module_folder(build, tmp_path_factory):
    return install(ROOT, build, tmp_path_factory.mktemp("Slicer Erweiterungen für alle"))


@pytest.fixture
def source_copy(tmp_path):
    """A copy of everything that CMake reads, to change."""
    source = tmp_path / "source"
    for folder in ("core_lib", "SSLSegment"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "CMakeLists.txt", source)
    return source


def test_every_python_file_is_installed(module_folder):
    assert python_files(module_folder) == source_files(ROOT)


def test_installed_files_are_the_sources(module_folder):
    for installed, source in (("SSLSegmentLib", "SSLSegment/SSLSegmentLib"), ("sslseg", "core_lib/sslseg")):
        for name in python_files(module_folder / installed):
            assert (module_folder / installed / name).read_bytes() == (ROOT / source / name).read_bytes()


def test_icon_is_installed(module_folder):
    assert (module_folder / "Resources" / "Icons" / "SSLSegment.svg").is_file()


def test_the_installed_core_finds_the_weights_that_ship(module_folder, tmp_path):
    done = run_python(
        "from sslseg.shipped import shipped_weights\nfor path in shipped_weights(): print(path)",
        module_folder,
        cwd=tmp_path,
    )
    found = [Path(line) for line in done.stdout.splitlines()]
    assert {path.name for path in found} == {
        path.name for path in (ROOT / "Resources" / "Models").glob("*.safetensors")
    }
    assert all(path.is_relative_to(module_folder) for path in found), done.stderr


@pytest.mark.parametrize("forgotten", ["core_lib/sslseg/losses/forgotten.py", "SSLSegment/SSLSegmentLib/forgotten.py"])
def test_forgotten_file_would_be_noticed(source_copy, tmp_path, forgotten):
    (source_copy / forgotten).write_text('"""Nobody listed this file."""\n', encoding="utf-8")
    installed = install(source_copy, tmp_path / "build", tmp_path / "prefix")
    assert {Path(name).name for name in source_files(source_copy) - python_files(installed)} == {"forgotten.py"}


@pytest.mark.parametrize("removed", ["core_lib/sslseg/volume.py", "SSLSegment/Testing/Python/SSLSegmentModuleTest.py"])
def test_listed_file_that_is_gone_stops_the_configuration(source_copy, tmp_path, removed):
    (source_copy / removed).unlink()
    configured = configure(source_copy, tmp_path / "build")
    assert configured.returncode != 0
    assert Path(removed).name in configured.stderr


@pytest.mark.usefixtures("module_folder")
def test_metadata(build):
    lines = (build / "extension.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [f"version={sslseg.__version__}", "category=Segmentation", "depends=PyTorch"]


@pytest.mark.usefixtures("module_folder")
def test_tests_are_listed(build):
    command = [tool("ctest"), "-N", "--test-dir", build]
    listed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", timeout=60).stdout
    assert "py_SSLSegment\n" in listed
    assert "py_SSLSegmentModuleTest\n" in listed
    assert "py_SSLSegmentPanelTest\n" in listed


@pytest.mark.parametrize("package", ["sslseg", "SSLSegmentLib"])
def test_import_from_the_install_tree_needs_no_torch(package, module_folder, tmp_path):
    """A fresh process, as Slicer's is when the module is opened: the network is the worker's business."""
    modules = TORCH_FREE if package == "sslseg" else [Path(name).stem for name in python_files(module_folder / package)]
    names = [f"{package}.{name}" for name in modules if not name.startswith("widget")]
    code = f"""
import importlib
for name in {names}:
    assert importlib.import_module(name).__file__.startswith({str(module_folder)!r}), name
assert "torch" not in sys.modules
"""
    done = run_python(code, module_folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("place", ["installed", "source tree"])
def test_module_opens_in_a_desktop(place, module_folder, tmp_path):
    """SSLSegment.py finds its library, its core and its resources from where it lies, and shows its panel."""
    folder = module_folder if place == "installed" else ROOT / "SSLSegment"
    code = f"""
import sys
from pathlib import Path
core = [] if {place == "installed"} else [{str(ROOT / "core_lib")!r}]
sys.path[1:1] = [{str(folder)!r}, *core]
from SSLSegmentLib.headless_app import boot
from fake_slicer_app import Desktop
desktop = Desktop(boot())
for name in [name for name in sys.modules if name.startswith("sslseg")]:
    del sys.modules[name]  # the desktop needed them before the module has said where they are
sys.path[:] = [entry for entry in sys.path if entry not in core]
module = desktop.load(Path({str(folder)!r}) / "SSLSegment.py")
module.widgetRepresentation().enter()
desktop.quit()
print(sys.modules["sslseg"].__file__)
"""
    done = run_python(code, ROOT / "Testing", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = module_folder if place == "installed" else ROOT / "core_lib"
    assert Path(done.stdout.strip()) == expected / "sslseg" / "__init__.py"
