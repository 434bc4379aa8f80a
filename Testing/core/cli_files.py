"""Files for tests of the command line, and a way to run it inside the test process."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from synthetic import SEGMENTS, make_annotation, make_geometry, make_labels, make_volume

from sslseg.annotation import default_segments
from sslseg.cli import main
from sslseg.labelmap_io import write_labels
from sslseg.volume import write_array, write_volume

GEOMETRY = make_geometry((8, 24, 20), np.diag([-1, 1, 1]), (1.1, 0.9, 3.0))
ANNOTATED = [2, 4]
SSLSEG = [sys.executable, "-m", "sslseg.cli"]
QUICK = ["--preset", "fast", "--time-limit", "0.3", "--weights", "none", "--device", "cpu"]


@dataclass(frozen=True)
class Run:
    """What a command left: its exit code, and its two streams."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        (line,) = self.out.splitlines()
        return json.loads(line)


def runner(capfd):
    """A function that runs ``sslseg`` with arguments of any type."""

    def run(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Run(code, *capfd.readouterr())

    return run


def write_case(folder: Path) -> Path:
    """An image with its labels in every form: image.nii.gz, sparse.nrrd (255), dense.nii.gz, named.seg.nrrd."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = make_labels(GEOMETRY)
    write_volume(make_volume(labels, GEOMETRY), folder / "image.nii.gz")
    annotation = make_annotation(labels, GEOMETRY, ANNOTATED)
    plain = default_segments([1, 2])
    write_labels(annotation.labels, GEOMETRY, plain, folder / "sparse.nrrd")
    write_labels(labels, GEOMETRY, plain, folder / "dense.nii.gz")
    write_labels(labels, GEOMETRY, SEGMENTS, folder / "named.seg.nrrd")
    return folder


def write_numbers(path: Path, array, geometry=GEOMETRY) -> Path:
    """Any array as an image file."""
    write_array(np.asarray(array), geometry, path)
    return path
