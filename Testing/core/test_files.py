"""Nothing half-written is ever seen, and an older file survives whatever goes wrong."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sslseg.errors import InputError, OutputError
from sslseg.files import atomic_path, check_writable

NAMES = ["model.safetensors", "mein Bild.ä.nii.gz", "prediction.seg.nrrd", ".hidden", "no_ending"]


def names_in(folder):
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("name", NAMES)
def test_new_file_appears_only_at_the_end(folder, name):
    target = folder / name
    with atomic_path(target) as temporary:
        assert temporary.name.endswith(name[name.find(".") :] if "." in name else "")
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names_in(folder) == [name]


def test_older_file_is_replaced(folder):
    (folder / "a.nrrd").write_bytes(b"old")
    with atomic_path(str(folder / "a.nrrd")) as temporary:
        temporary.write_bytes(b"new")
        assert (folder / "a.nrrd").read_bytes() == b"old"
    assert (folder / "a.nrrd").read_bytes() == b"new"
    assert names_in(folder) == ["a.nrrd"]


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (OSError(28, "No space left on device"), OutputError),
        (RuntimeError("ITK ERROR\nwrite failed."), OutputError),
        (ValueError("a mistake of ours"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_failure_leaves_the_older_file_and_nothing_else(folder, failure, seen):
    (folder / "a.nrrd").write_bytes(b"old")

    def write():
        with atomic_path(folder / "a.nrrd") as temporary:
            temporary.write_bytes(b"half")
            (temporary.parent / "a.raw").write_bytes(b"a second file")
            raise failure

    with pytest.raises(seen):
        write()
    assert (folder / "a.nrrd").read_bytes() == b"old"
    assert names_in(folder) == ["a.nrrd"]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OSError(28, "No space left on device"), "no space left"),
        (RuntimeError("ITK ERROR\nwrite failed."), "write failed"),
    ],
)
def test_failure_is_one_sentence_with_file_reason_and_advice(folder, failure, words):
    sentence = rf"a\.nrrd could not be written \({words}.*\): free some space.*\.$"
    with pytest.raises(OutputError, match=sentence) as caught, atomic_path(folder / "a.nrrd"):
        raise failure
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_writer_that_silently_wrote_nothing(folder):
    with pytest.raises(OutputError, match=r"a\.nrrd could not be written"), atomic_path(folder / "a.nrrd"):
        pass
    assert names_in(folder) == []


@pytest.mark.parametrize("place", ["missing/a.nrrd", "file/a.nrrd"])
def test_folder_that_cannot_be_written_to(folder, place):
    (folder / "file").write_bytes(b"not a folder")
    with pytest.raises(OutputError, match=r"a\.nrrd cannot be written"), atomic_path(folder / place):
        pytest.fail("the block must not run")
    assert names_in(folder) == ["file"]


def test_target_that_is_a_folder(folder):
    (folder / "a.nrrd").mkdir()
    with pytest.raises(OutputError, match=r"a\.nrrd could not be written"), atomic_path(folder / "a.nrrd") as temporary:
        temporary.write_bytes(b"new")
    assert (folder / "a.nrrd").is_dir()
    assert names_in(folder) == ["a.nrrd"]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from sslseg.errors import OutputError
from sslseg.files import atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing past the limit then fails like a full disk does
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
target = Path(sys.argv[1])
write = {"bytes": lambda path: path.write_bytes(bytes(10000)), "npy": lambda path: np.save(path, np.zeros(2000))}
try:
    with atomic_path(target) as temporary:
        write[sys.argv[2]](temporary)
except OutputError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of files")
@pytest.mark.parametrize("writer", ["bytes", "npy"])
def test_full_disk(folder, writer):
    target = folder / "a.npy"
    target.write_bytes(b"old")
    child = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", FULL_DISK, str(target), writer],
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert child.stderr.startswith(f"{target} could not be written ("), child.stderr
    assert target.read_bytes() == b"old"
    assert names_in(folder) == ["a.npy"]


@pytest.mark.parametrize("name", ["a.nrrd", "new/and/deeper/a.nrrd"])
def test_check_writable_makes_the_folder_and_leaves_nothing_in_it(folder, name):
    check_writable(folder / name)
    assert names_in((folder / name).parent) == []


@pytest.mark.parametrize(("name", "words"), [("", "is a folder"), ("file/a.nrrd", "cannot be written")])
def test_check_writable_complains_early(folder, name, words):
    (folder / "file").write_bytes(b"not a folder")
    with pytest.raises(InputError, match=words) as caught:
        check_writable(folder / name)
    assert str(folder / name) in str(caught.value)
    assert names_in(folder) == ["file"]


def test_check_writable_keeps_an_older_file(folder):
    np.save(folder / "a.npy", np.arange(3))
    check_writable(folder / "a.npy")
    assert np.load(Path(folder) / "a.npy").tolist() == [0, 1, 2]
