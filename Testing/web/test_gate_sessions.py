"""The gate with the real sessions behind it."""

import numpy as np
import psutil
import pytest
from gate_driver import REAL, GateProcess, Visitor, eventually, in_loop

from processes import gone
from sslseg.geometry import Geometry
from sslseg.volume import Volume, write_volume

LEADING_AWAY = ("../phantom.nrrd", "..%2Fphantom.nrrd", "a/b.nrrd", "%5C..%5Cb.nrrd", "%00.nrrd", "", ".hidden.nrrd")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    array = np.linspace(0, 100, 12 * 16 * 20, dtype=np.float32).reshape(12, 16, 20)
    path = tmp_path_factory.mktemp("Größe") / "phantom.nrrd"
    write_volume(Volume(array, Geometry.from_affine(array.shape, np.eye(4)), "phantom"), path)
    return path


@pytest.fixture
def gate(tmp_path, image):
    running = GateProcess(tmp_path / "Ordner für alle", str(image), command=REAL)
    yield running
    running.stop()


@in_loop
async def test_page_websocket_and_files_come_through(gate, image):
    async with Visitor(gate) as visitor:
        status, text = await visitor.enter()
        assert status == 200
        assert "<title>SSLSegment</title>" in text
        assert (await visitor.get("/sslsegment/page.js"))[0] == 200
        async with visitor.http.get(f"{gate.base}logo.png") as answer:
            assert answer.content_type == "image/png"
        async with visitor.socket(protocols=["wamp"]) as socket:
            assert not socket.closed
        for name in (
            "../phantom.nrrd",
            "..%2Fphantom.nrrd",
            "a/b.nrrd",
            "%5C..%5Cb.nrrd",
            "%00.nrrd",
            "",
            ".hidden.nrrd",
        ):
            url = f"{gate.base}files/volume?name={name}"
            async with visitor.http.post(url, data=image.read_bytes()) as answer:
                assert answer.status == 400, name
                assert (await answer.text()).count("\n") == 0
        names = {path.name for path in gate.temporary.rglob("*.nrrd")}
        assert names <= {"phantom.nrrd"}
        async with visitor.http.post(f"{gate.base}files/volume?name=mine.nrrd", data=image.read_bytes()) as answer:
            assert answer.status == 204


@in_loop
async def test_a_killed_server_leaves_no_session_and_no_folder(gate):
    async with Visitor(gate) as visitor:
        await visitor.enter()
        async with visitor.socket():
            family = [process.pid for process in gate.family()]
            assert len(family) > 1
            gate.process.kill()
            gate.process.wait()
    for pid in family:
        assert gone(pid, 10), psutil.Process(pid).cmdline()
    await eventually(lambda: gate.folders() == [])
