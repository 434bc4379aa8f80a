"""Sessions from their start to their end, and that nothing of them is left."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time

import aiohttp
import psutil
import pytest
from gate_driver import STAND_IN, GateProcess, Visitor, eventually, in_loop

from processes import gone


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    running = GateProcess(tmp_path_factory.mktemp("gate"), "--max-sessions", "20")
    yield running
    running.stop()


@pytest.fixture
def new_gate(tmp_path):
    made = []

    def make(*options, word="plain"):
        made.append(GateProcess(tmp_path / f"Ordner für {len(made)}", *options, command=(*STAND_IN, word)))
        return made[-1]

    yield make
    for running in made:
        running.stop()


@in_loop
async def test_two_browsers_have_sessions_and_folders_of_their_own(gate):
    async with Visitor(gate) as one, Visitor(gate) as two:
        first, second = [await visitor.enter() and await visitor.inside() for visitor in (one, two)]
        for name in ("pid", "folder", "secret"):
            assert first[name] != second[name]
        async with one.http.post(f"{gate.base}files/volume?name=a.nrrd", data=b"mine") as answer:
            assert answer.status == 204
        assert await one.get("/files/upload") == (200, "4")
        assert (await two.get("/files/upload"))[0] == 404
        async with Visitor(gate) as stranger:
            assert (await stranger.get("/files/upload"))[0] == 401
        again = await one.enter("/") and await one.inside()
        assert again == first


@in_loop
async def test_private_folders_are_private(gate):
    async with Visitor(gate) as visitor:
        await visitor.enter()
        assert {folder.stat().st_mode & 0o777 for folder in gate.folders()} == {0o700}


@in_loop
async def test_a_program_without_cookies_takes_no_place(gate):
    before = len(gate.folders())
    async with Visitor(gate) as visitor:
        for _ in range(30):
            visitor.http.cookie_jar.clear()
            assert (await visitor.get())[0] == 200
        visitor.http.cookie_jar.clear()
        status, text = await visitor.get("/?entered=1")
        assert status == 403
        assert "cookies" in text
    assert len(gate.folders()) == before


@in_loop
async def test_large_frames_come_through_unchanged(gate):
    frame = bytes(range(256)) * (15 << 12)  # 15 MiB
    async with Visitor(gate) as visitor:
        await visitor.enter()
        async with visitor.socket(protocols=["wslink"]) as socket:
            assert socket.protocol == "wslink"
            await socket.send_bytes(frame)
            assert await socket.receive_bytes() == frame
            await socket.send_str("Größe")
            assert await socket.receive_str() == "Größe"


@in_loop
async def test_a_browser_that_reads_slowly_slows_the_session_down(gate):
    """The gate does not keep what the browser has not yet taken."""
    megabytes = 300
    async with Visitor(gate) as visitor:
        await visitor.enter()
        async with visitor.socket() as socket:
            await socket.send_str("hello")
            await socket.receive()
            server = psutil.Process(gate.process.pid)
            before = server.memory_info().rss
            await socket.send_str(f"flood {megabytes}")
            await asyncio.sleep(3)
            assert server.memory_info().rss - before < 60 << 20
            for _ in range(megabytes):
                assert len(await socket.receive_bytes()) == 1 << 20


@in_loop
@pytest.mark.parametrize("code", [1000, 1001, 1011, 4001])
async def test_close_codes_from_the_session(gate, code):
    async with Visitor(gate) as visitor:
        await visitor.come_back()
        async with visitor.socket() as socket:
            await socket.send_str(f"close {code}")
            message = await socket.receive()
            assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, code, "as you wish")


@in_loop
@pytest.mark.parametrize("code", [1000, 4002])
async def test_close_codes_from_the_browser(gate, code):
    async with Visitor(gate) as visitor:
        await visitor.enter()
        inside = await visitor.inside()
        async with visitor.socket() as socket:
            await socket.close(code=code)
        told = next(folder for folder in gate.folders() if str(folder) == inside["folder"]) / "closed"
        await eventually(told.exists)
        assert told.read_text(encoding="utf-8") == str(code)


@in_loop
async def test_a_browser_that_vanishes_is_told_to_the_session(gate):
    async with Visitor(gate) as visitor:
        await visitor.enter()
        inside = await visitor.inside()
        async with visitor.socket() as socket:
            socket._response.connection.transport.abort()
        told = next(folder for folder in gate.folders() if str(folder) == inside["folder"]) / "closed"
        await eventually(told.exists)


@in_loop
async def test_a_session_that_dies_is_said_and_started_again(gate):
    async with Visitor(gate) as visitor:
        await visitor.enter()
        former = await visitor.inside()
        async with visitor.socket() as socket:
            await socket.send_str("die")
            assert (await socket.receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        await eventually(lambda: not any(str(folder) == former["folder"] for folder in gate.folders()))
        assert await asyncio.to_thread(gone, former["worker"])
        status, text = await visitor.enter("/index.html")
        assert status == 410
        assert "ended unexpectedly" in text
        assert (await visitor.get("/logo.png"))[0] == 410
        field = re.search(r'name="(\w+)" value="(\w+)"', text)
        assert (await visitor.enter(f"/?{field[1]}={field[2]}"))[0] == 200
        now = await visitor.inside()
        assert now["pid"] != former["pid"]
        assert psutil.pid_exists(now["pid"])


@in_loop
async def test_an_answer_that_is_cut_is_no_whole_answer(gate):
    async with Visitor(gate) as visitor:
        await visitor.enter()
        with pytest.raises(aiohttp.ClientPayloadError):
            await visitor.get("/half")


@in_loop
async def test_a_session_is_kept_while_a_page_is_connected_and_for_a_while_after(new_gate):
    seconds = 2.0
    gate = new_gate("--keep", str(seconds / 60))
    async with Visitor(gate) as visitor:
        await visitor.enter()
        first = await visitor.inside()
        async with visitor.socket() as socket:
            await asyncio.sleep(1.5 * seconds)
            await socket.send_str("still here")
            assert await socket.receive_str() == "still here"
        await asyncio.sleep(seconds / 4)
        assert await visitor.inside() == first
        assert await asyncio.to_thread(gone, first["pid"], seconds + 5)
        assert await asyncio.to_thread(gone, first["worker"])
        await eventually(lambda: first["folder"] not in map(str, gate.folders()))
        status, text = await visitor.enter("/")
        assert status == 410
        assert "no page was connected" in text
        assert (await visitor.enter("/?start=1"))[0] == 200


@in_loop
async def test_all_places_taken(new_gate):
    gate = new_gate("--max-sessions", "2", "--keep", "0.03")
    async with Visitor(gate) as one, Visitor(gate) as two, Visitor(gate) as three:
        await one.enter()
        await two.enter()
        async with one.socket():
            async with two.socket():
                status, text = await three.enter()
                assert status == 503
                assert "places" in text
                assert len(gate.folders()) == 2
            await asyncio.sleep(4)
            assert (await three.enter("/"))[0] == 200


@in_loop
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process in one way only")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_the_server_ends_when_it_is_asked_to(new_gate, number):
    gate = new_gate()
    async with Visitor(gate) as visitor:
        await visitor.enter()
        inside = await visitor.inside()
        async with visitor.socket() as socket:
            gate.process.send_signal(number)
            gate.process.send_signal(number)
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert await asyncio.to_thread(gate.process.wait, 15) == 0
    assert gone(inside["pid"])
    assert gone(inside["worker"])
    assert gate.folders() == []


@in_loop
async def test_a_session_that_does_not_end_is_killed_with_its_children(new_gate):
    gate = new_gate(word="stubborn")
    async with Visitor(gate) as visitor:
        await visitor.enter()
        inside = await visitor.inside()
    begin = time.monotonic()
    gate.process.terminate()
    assert await asyncio.to_thread(gate.process.wait, 20) == 0
    assert time.monotonic() - begin < 12
    assert gone(inside["pid"], 1)
    assert gone(inside["worker"], 1)
    assert gate.folders() == []


@in_loop
async def test_a_killed_server_leaves_nothing(new_gate):
    gate = new_gate()
    async with Visitor(gate) as visitor:
        await visitor.enter()
        inside = await visitor.inside()
        family = [process.pid for process in gate.family()]
    gate.process.kill()
    gate.process.wait()
    assert all(gone(pid, 6) for pid in (*family, inside["worker"]))
    await eventually(lambda: gate.folders() == [])


@in_loop
async def test_a_restarted_server_is_said_once(new_gate):
    first = new_gate()
    async with Visitor(first) as visitor:
        await visitor.enter()
        first.stop()
        second = visitor.gate = new_gate("--port", str(first.port))
        status, text = await visitor.get("/")
        assert status == 410
        assert "restarted" in text
        assert "start-again" in text
        assert (await visitor.get("/logo.png"))[0] == 401
        assert (await visitor.enter("/?start=1"))[0] == 200
        assert (await visitor.enter("/"))[0] == 200
        assert second.process.poll() is None


def test_orders_of_the_sessions(new_gate, tmp_path):
    volume, labels = tmp_path / "Größe.nrrd", tmp_path / "labels.seg.nrrd"
    for file in (volume, labels):
        file.touch()

    @in_loop
    async def ask():
        gate = new_gate(str(volume), str(labels), "--data-dir", str(tmp_path), "--upload-limit", "1.5")
        async with Visitor(gate) as visitor:
            await visitor.enter()
            return await visitor.inside()

    told = ask()
    assert [told[name] for name in ("volume", "segmentation", "data_dir")] == [str(volume), str(labels), str(tmp_path)]
    assert told["upload_limit"] == 1_500_000


def refused(*options, word="plain", **environment):
    """Exit code and what is printed of a server that does not begin."""
    answer = subprocess.run(
        [*STAND_IN, word, *options], capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
        **environment,
    )  # fmt: skip
    return answer.returncode, answer.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nothing.nrrd"], "nothing.nrrd"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--host", "no such host"], "--host"),
        (["--host", "192.0.2.1"], "--host"),
        (["--token", "short"], "too short"),
        (["--port", "70000"], "70000"),
        (["--keep", "0"], "keep"),
        (["--max-sessions", "0"], "max-sessions"),
        (["--token", sys.executable], "behind the files"),
        (["--upload"], "--upload"),
    ],
)
def test_bad_input_gets_one_sentence(options, words):
    code, said = refused(*options)
    assert code == 2
    assert words in said
    assert said.count("\n") == 1


def test_a_port_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = refused("--port", str(port))
    assert code == 2
    assert said == f"Error: Port {port} is in use by another program: choose another --port, or 0 for any free one.\n"


def test_a_session_that_cannot_begin_ends_the_server():
    assert refused("--port", "0", word="broken") == (2, "Error: The volume cannot be read: choose another one.\n")
    code, said = refused("--port", "0", word="mute")
    assert code == 2
    assert "no library of that name" in said


def test_a_token_is_made_where_others_can_reach_the_server(new_gate):
    gate = new_gate("--host", "0.0.0.0")
    assert len(re.search(r"token=(\S+)", gate.url).group(1)) > 40
