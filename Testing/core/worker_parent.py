"""The parent of a worker process, for tests, and small volumes to send to it."""

import queue
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from sslseg.annotation import default_segments
from sslseg.geometry import Geometry
from sslseg.protocol import decode, encode
from sslseg.settings import Settings

SHAPE = (8, 48, 40)
GEOMETRY = Geometry(SHAPE, spacing=(1.0, 1.2, 4.0), origin=(3.0, -4.0, 5.0))
SEGMENTS = [segment.as_dict() for segment in default_segments([1, 2])]
ANNOTATED = (1, 4, 6)


class Parent:
    """Talks to one worker; every answer is waited for, but never longer than a test may take."""

    def __init__(self, folder: Path | None = None, *options: str) -> None:
        where = [] if folder is None else ["--folder", str(folder)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sslseg.worker", *where, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.messages: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self.log: list[str] = []
        self.number = 0
        for target in (self._listen, self._keep_log):
            threading.Thread(target=target, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self.messages.put(decode(line))

    def _keep_log(self) -> None:
        for line in self.process.stderr:
            self.log.append(line.decode("utf-8"))

    def write(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, do: str, **fields) -> int:
        self.number += 1
        self.write(encode({"id": self.number, "do": do, **fields}))
        return self.number

    def receive(self, seconds: float = 60.0) -> dict:
        return self.messages.get(timeout=seconds)

    def wait_for(self, number: int, event: str = "") -> dict:
        """The next message with this id and event; by default the one that ends the job."""
        while True:
            message = self.receive()
            if message["id"] == number and message["event"] in ([event] if event else ["result", "error"]):
                return message

    def ask(self, do: str, **fields) -> dict:
        return self.wait_for(self.send(do, **fields))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=10)


def images() -> tuple[np.ndarray, np.ndarray]:
    """A bright and a dark disc that drift from slice to slice in noise: voxels and truth."""
    k, j, i = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    truth = np.zeros(SHAPE, np.uint8)
    truth[(j - 16 - k) ** 2 + (i - 14) ** 2 < 70] = 1
    truth[(j - 30) ** 2 + (i - 24 - k) ** 2 < 40] = 2
    noise = np.random.default_rng(0).normal(0, 12, SHAPE)
    return (300 + 200 * (truth == 1) - 200 * (truth == 2) + noise).astype(np.int16), truth


def training(folder: Path, **changes) -> dict:
    """The fields of a fine-tuning."""
    return {
        "cases": [{"volume": "heart", "labels": str(folder / "labels.npy"), "axis": 0}],
        "segments": SEGMENTS,
        "settings": Settings(preset="fast", device="cpu", weights="none", **changes).as_dict(),
        "model": str(folder / "model.safetensors"),
    }


def prediction(folder: Path) -> dict:
    """The fields of a prediction."""
    return {
        "model": str(folder / "model.safetensors"),
        "volume": "heart",
        "output": str(folder / "output.npy"),
        "uncertainty": str(folder / "uncertainty.npy"),
        "labels": str(folder / "labels.npy"),
        "axis": 0,
        "segments": SEGMENTS,
        "device": "cpu",
    }
