"""Uploads and downloads of one session, without Slicer behind them."""

import asyncio
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sslseg.errors import InputError
from SSLSegmentWeb.files_http import SECRET_HEADER, Files

SECRET = {SECRET_HEADER: "s"}
LIMIT = 3_000_000


class Taker:
    """Takes what was uploaded, and remembers it."""

    def __init__(self):
        self.taken = []

    async def __call__(self, kind, path):
        if path.name.startswith("bad"):
            raise InputError(f"{path} is damaged: export it again.")
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        self.taken.append((kind, path.name, [file.read_bytes() for file in files]))


def with_client(folder, work):
    """Run ``work(client, taker, files)`` with the routes in a real server."""

    async def run():
        taker = Taker()
        files = Files("s", folder, LIMIT, taker, lambda _: None)
        app = web.Application(client_max_size=1024)  # uploads are not held in memory
        files.bind(app)
        async with TestClient(TestServer(app), headers=SECRET) as client:
            return await work(client, taker, files)

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["a.nrrd", "Bild Nr. 1 äöü 日本.nii.gz", "a+b%20c.mha", "a'b&c=d.nrrd"])
@pytest.mark.parametrize("kind", ["volume", "segmentation"])
def test_takes_an_upload(tmp_path, kind, name):
    async def work(client, taker, _):
        answer = await client.post(f"/files/{kind}?name={quote(name)}", data=b"x" * (LIMIT - 1))
        assert answer.status == 204
        assert taker.taken == [(kind, name, [b"x" * (LIMIT - 1)])]

    with_client(tmp_path, work)
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in stored] == [name]
    assert stored[0].parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../a.nrrd", "/etc/a.nrrd", "a/b.nrrd", "..\\a.nrrd", "C:\\a.nrrd", "a\0.nrrd", "a\n.nrrd",
        ".hidden.nrrd", "x" * 300 + ".nrrd", "a:b.nrrd", "a\u202egnp.nrrd", "a.",
    ],
)  # fmt: skip
def test_refuses_names_that_lead_elsewhere(tmp_path, name):
    folder = tmp_path / "private"
    folder.mkdir()

    async def work(client, taker, _):
        answer = await client.post(f"/files/volume?name={quote(name)}", data=b"x")
        assert answer.status == 400
        assert (await answer.text()).endswith(".")
        assert not taker.taken

    with_client(folder, work)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def _drip(size):
    for _ in range(size // 1000):
        yield b"x" * 1000


@pytest.mark.parametrize("data", [lambda: b"x" * (LIMIT + 1), lambda: b"x" * (3 * LIMIT), lambda: _drip(2 * LIMIT)])
def test_refuses_what_is_too_large(tmp_path, data):
    async def work(client, taker, _):
        try:
            answer = await client.post("/files/volume?name=a.nrrd", data=data())
            assert answer.status == 413
            assert "larger than 3 MB" in await answer.text()
        except aiohttp.ClientConnectionError:
            pass  # the server need not read on to the end of it
        assert not taker.taken

    with_client(tmp_path, work)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def _until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_keeps_nothing_of_an_upload_that_breaks_off(tmp_path):
    async def work(client, taker, _):
        _, writer = await asyncio.open_connection(client.host, client.port)
        lines = "POST /files/volume?name=a.nrrd HTTP/1.1", "Host: a", f"{SECRET_HEADER}: s", "Content-Length: 2000000"
        writer.write("\r\n".join([*lines, "", ""]).encode() + b"x" * 1_500_000)
        await asyncio.wait_for(_until(lambda: list(tmp_path.rglob("a.nrrd"))), 10)
        writer.close()
        await asyncio.wait_for(_until(lambda: not list(tmp_path.rglob("a.nrrd"))), 10)
        assert not taker.taken

    with_client(tmp_path, work)


def test_says_that_there_is_no_room_to_store_an_upload(tmp_path):
    (tmp_path / "occupied").write_bytes(b"")

    async def work(client, *_):
        answer = await client.post("/files/volume?name=a.nrrd", data=b"x")
        assert (answer.status, (await answer.text())[:31]) == (507, "The upload cannot be stored (no")

    with_client(tmp_path / "occupied", work)


def test_tells_why_a_file_cannot_be_opened_and_keeps_nothing(tmp_path):
    async def work(client, *_):
        answer = await client.post("/files/volume?name=bad.nrrd", data=b"x")
        assert (answer.status, await answer.text()) == (400, "bad.nrrd is damaged: export it again.")
        assert answer.content_type == "text/plain"

    with_client(tmp_path, work)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_takes_the_files_of_a_series_together(tmp_path):
    async def work(client, taker, _):
        form = aiohttp.FormData()
        for index, name in enumerate(["b.dcm", "../../a", "IM1"]):
            form.add_field(f"file{index}", bytes([index]), filename=name)
        answer = await client.post("/files/volume?name=T2%20axial", data=form)
        assert answer.status == 204
        assert taker.taken == [("volume", "T2 axial", [b"\0", b"\1", b"\2"])]

    with_client(tmp_path, work)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


def test_limits_the_files_of_a_series_together(tmp_path):
    async def work(client, taker, _):
        form = aiohttp.FormData()
        for index in range(4):
            form.add_field(f"file{index}", b"x" * (LIMIT // 3), filename="a")
        assert (await client.post("/files/volume?name=a", data=form)).status == 413
        assert not taker.taken

    with_client(tmp_path, work)


@pytest.mark.parametrize("body", [b"", b"garbage", b"--b\r\n\r\n"])
def test_refuses_a_broken_form(tmp_path, body):
    async def work(client, taker, _):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.post("/files/volume?name=a", data=body, headers=headers)
        assert answer.status == 400
        assert not taker.taken

    with_client(tmp_path, work)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/files/model?name=a.nrrd", 404),
        ("GET", "/files/volume", 405),
        ("GET", "/files/token/a.nrrd", 404),
        ("GET", "/files/../secret", 404),
    ],
)
def test_answers_nothing_else(tmp_path, method, path, status):
    async def work(client, *_):
        assert (await client.request(method, path)).status == status

    with_client(tmp_path, work)


@pytest.mark.parametrize("secret", [{}, {SECRET_HEADER: ""}, {SECRET_HEADER: "S"}, {SECRET_HEADER: "sé"}])
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/files/volume?name=a.nrrd"), ("GET", "/ws")])
def test_answers_nobody_without_the_secret(tmp_path, secret, method, path):
    async def work(client, taker, _):
        client.session.headers.clear()
        answer = await client.request(method, path, headers=secret, data=b"x" if method == "POST" else None)
        assert answer.status == 403
        assert not taker.taken

    with_client(tmp_path, work)


@pytest.mark.parametrize("name", ["a.seg.nrrd", "Bild 1 äöü.stl", "a#b?c%d.nii.gz"])
def test_offers_a_file_under_an_address_of_its_own(tmp_path, name):
    (tmp_path / name).write_bytes(b"result")

    async def work(client, _, files):
        (url,) = files.offer([tmp_path / name])
        answer = await client.get(aiohttp.client.URL("/" + url, encoded=True))
        assert (answer.status, await answer.read()) == (200, b"result")
        assert answer.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{quote(name)}"
        other = url.replace(url.split("/")[1], "another-token")
        assert (await client.get(aiohttp.client.URL("/" + other, encoded=True))).status == 404
        (tmp_path / name).unlink()
        assert (await client.get(aiohttp.client.URL("/" + url, encoded=True))).status == 404

    with_client(tmp_path, work)
