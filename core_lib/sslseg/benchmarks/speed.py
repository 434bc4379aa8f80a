"""Speed and memory on this machine: ``python -m sslseg.benchmarks.speed -o FOLDER`` (``make bench``).

Measures what a clinician waits for, on a phantom of the size of a cardiac stack (10 x 256 x 216, as in ACDC), and the
peak memory of predicting a large CT. The throughput of a training step and of prediction stands beside that of a plain
MONAI pipeline (dictionary transforms and a DataLoader) with the same network, loss and batch, in the same run.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from sslseg import __version__
from sslseg.annotation import IGNORE, Annotation, default_segments
from sslseg.benchmarks.speed_monai import monai_prediction_rate, monai_training_rate
from sslseg.files import atomic_path
from sslseg.finetune import Case, FinetuneResult, finetune
from sslseg.geometry import Geometry
from sslseg.model import Model
from sslseg.predict import predict
from sslseg.presets import PRESETS
from sslseg.progress import Progress
from sslseg.protocol import decode
from sslseg.settings import NO_WEIGHTS, Settings
from sslseg.volume import Volume

CARDIAC = Geometry((10, 256, 216), (1.5625, 1.5625, 10.0))
LARGE_CT = Geometry((300, 512, 512), (0.8, 0.8, 1.0))
ANNOTATED = (1, 5, 8)


@dataclass(frozen=True)
class Measurement:
    """One line of the report.

    Attributes:
        what: was measured.
        value: in ``unit``.
        unit: "s", "GB", "MB", "slices/s", or "" for a ratio.
        goal: the most that is allowed; None where there is no goal.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None

    def __str__(self) -> str:
        verdict = (
            "" if self.goal is None else f"   goal < {self.goal:g}: {'met' if self.value < self.goal else 'MISSED'}"
        )
        return f"{self.what:<58}{self.value:8.2f} {self.unit}{verdict}"


def phantom(geometry: Geometry, seed: int = 0) -> tuple[Volume, np.ndarray]:
    """A noisy volume with a ring around a disc that narrow towards one end, and its labels (uint8, 0..2)."""
    slices, rows, columns = geometry.shape
    j, i = np.ogrid[:rows, :columns]
    random = np.random.default_rng(seed)
    image, labels = np.empty(geometry.shape, np.float32), np.empty(geometry.shape, np.uint8)
    for k in range(slices):  # a slice at a time: the memory of a prediction is measured here, not that of the phantom
        radius = (0.1 + 0.15 * (k + 1) / slices) * min(rows, columns)
        distance = np.hypot(j - rows * (0.48 + 0.04 * k / slices), i - columns * 0.5)
        labels[k] = np.where(distance < 0.6 * radius, 2, distance < radius)
        noise = random.standard_normal((rows, columns), np.float32)
        image[k] = np.array([60, 100, 180], np.float32)[labels[k]] + 15 * noise
    return Volume(image, geometry, "phantom"), labels


def annotated_case(geometry: Geometry) -> Case:
    """The phantom with three annotated slices."""
    volume, truth = phantom(geometry)
    labels = np.full_like(truth, IGNORE)
    labels[list(ANNOTATED)] = truth[list(ANNOTATED)]
    return Case(volume, Annotation(labels, geometry, default_segments((1, 2))), axis=0)


def worker_start_seconds() -> float:
    """From starting the worker process to the line in which it says that it is ready."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "sslseg.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready = decode(process.stdout.readline())
        seconds = time.perf_counter() - started
        process.stdin.close()
    assert ready["ready"]
    return seconds


def training_measurements(case: Case) -> tuple[list[Measurement], Model]:
    """Seconds of both interactive presets, and the training throughput beside MONAI's."""
    steps: list[float] = []
    fast = _train(case, "fast", steps)
    balanced = _train(case, "balanced", [])
    preset = PRESETS["fast"]
    patches = preset.batch + preset.propagated
    rate = (len(steps) - 1) * patches / (steps[-1] - steps[0])
    return [
        Measurement("preset fast, from Train to the model", fast.seconds, "s", 15),
        Measurement("preset balanced, from Train to the model", balanced.seconds, "s", 60),
        Measurement("training, SSLSegment", rate, "slices/s"),
        Measurement(
            "training, plain MONAI pipeline", monai_training_rate(case, fast.model, preset, patches), "slices/s"
        ),
    ], fast.model


def _train(case: Case, preset: str, steps: list[float]) -> FinetuneResult:
    """Train on the CPU; the time of each step is appended to ``steps``."""

    def note(progress: Progress) -> None:
        if progress.step:
            steps.append(time.perf_counter())

    return finetune([case], Settings(preset=preset, device="cpu", weights=NO_WEIGHTS), on_progress=note)


def prediction_measurements(case: Case, model: Model) -> list[Measurement]:
    """Seconds of one prediction, and its throughput beside MONAI's."""
    seconds = predict(model, case.volume, annotation=case.annotation, device="cpu").seconds
    alone = predict(model, case.volume, device="cpu").seconds
    slices = case.volume.array.shape[0]
    return [
        Measurement("prediction with propagated labels", seconds, "s", 3),
        Measurement("prediction, SSLSegment", slices / alone, "slices/s"),
        Measurement("prediction, plain MONAI pipeline", monai_prediction_rate(case.volume, model), "slices/s"),
    ]


def memory_measurement(model: Model) -> Measurement:
    """Peak memory of a process that predicts a large CT beside three annotated slices."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model.save(path)
        command = [sys.executable, "-m", "sslseg.benchmarks.speed", "--predict-large", str(path)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    return Measurement("peak memory, prediction of 300 x 512 x 512", float(answer.split()[-1]), "GB", 2)


def main(arguments: list[str] | None = None) -> None:
    """Measure everything, print a table and write ``speed.json``."""
    parser = argparse.ArgumentParser(prog="python -m sslseg.benchmarks.speed", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/bench"), help="folder of speed.json")
    parser.add_argument("--predict-large", type=Path, metavar="MODEL", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.predict_large:
        _predict_large(options.predict_large)
        return
    options.output.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{hardware()}\n")
    rows = [Measurement("worker, start to ready", worker_start_seconds(), "s", 6)]
    case = annotated_case(CARDIAC)
    training, model = training_measurements(case)
    rows += training + prediction_measurements(case, model) + [memory_measurement(model)]
    write_report(rows, options.output / "speed.json")


def write_report(rows: Sequence[Measurement], path: Path) -> None:
    """Print what was measured as a table, and write it with the hardware as JSON."""
    sys.stdout.writelines(f"{row}\n" for row in rows)
    report = {"hardware": hardware(), "seed": 0, "measurements": [asdict(row) for row in rows]}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2), encoding="utf-8")


def _predict_large(path: Path) -> None:
    case = annotated_case(LARGE_CT)
    predict(Model.load(path), case.volume, annotation=case.annotation, device="cpu")
    sys.stdout.write(f"{peak_memory_gb()}\n")


def peak_memory_gb() -> float:
    """The most memory that this process has held so far, in GB; each system keeps it in a place of its own."""
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):
        return info.peak_wset / 1e9
    status = Path("/proc/self/status")
    if status.exists():  # getrusage tells a child of the peak of its parent, too
        (kib,) = (
            line.split()[1] for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM")
        )
        return int(kib) * 1024 / 1e9
    import resource  # noqa: PLC0415 - there on POSIX only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # macOS counts in bytes


def hardware() -> str:
    """What was measured on, in one line."""
    return (
        f"sslseg {__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {platform.system()}"
    )


if __name__ == "__main__":
    main()
