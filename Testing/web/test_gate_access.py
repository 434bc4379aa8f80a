"""Who gets in: tokens, cookies, names of the server, pages of other sites, paths, sizes."""

import asyncio
import contextlib
import re
import subprocess
import sys

import aiohttp
import pytest
from gate_driver import GateProcess, Visitor, eventually, in_loop

from sslseg.errors import InputError
from SSLSegmentWeb.access import Access, is_loopback

TOKEN = "a-token-of-this-test"
LIMIT_MB = 2


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    running = GateProcess(tmp_path_factory.mktemp("gate"), "--upload-limit", str(LIMIT_MB))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    running = GateProcess(tmp_path_factory.mktemp("guarded"), "--token", TOKEN)
    yield running
    running.stop()


async def raw(gate, text, wait_s=5.0):
    """The answer to a request that no library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(text.encode("latin-1"))
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    answer = await asyncio.wait_for(reader.read(1 << 16), wait_s)
    writer.close()
    return answer.decode("utf-8", "replace")


def status(answer):
    return int(answer.split()[1])


@in_loop
@pytest.mark.parametrize(
    "query", ["", "?token=", "?token=wrong", f"?token={TOKEN[:-1]}", f"?token={TOKEN}x", "?token=%00", "?start=1"]
)
async def test_without_the_token_there_is_no_page_no_cookie_and_no_websocket(guarded, query):
    async with Visitor(guarded) as stranger:
        found, text = await stranger.get(f"/{query}")
        assert (found, list(stranger.http.cookie_jar)) == (401, [])
        assert "token" in text
        assert (await stranger.get(f"/index.html{query}"))[0] == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stranger.http.ws_connect(f"{guarded.base}ws{query}")
        assert refused.value.status == 401


@in_loop
async def test_the_token_lets_in_and_is_not_kept_in_the_address(guarded):
    async with Visitor(guarded) as visitor:
        assert guarded.url.endswith(f"?token={TOKEN}")
        assert (await visitor.enter())[0] == 200
        async with visitor.http.get(guarded.base) as answer:
            assert str(answer.url) == f"{guarded.base}index.html"
        async with visitor.socket() as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
    assert guarded.printed().count(TOKEN) == 1


@in_loop
@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="BROWSER is what Linux asks")
async def test_the_page_that_is_opened_shows_no_token_in_the_list_of_processes(tmp_path, monkeypatch):
    script, opened = tmp_path / "browser.py", tmp_path / "opened.txt"
    script.write_text(f"import sys; open({str(opened)!r}, 'w').write(sys.argv[1])", encoding="utf-8")
    monkeypatch.setenv("BROWSER", f"{sys.executable} {script} %s")
    monkeypatch.setenv("DISPLAY", ":0")
    gate = GateProcess(tmp_path / "gate", "--token", TOKEN, "--open")
    try:
        await eventually(lambda: opened.exists() and opened.read_text())
        address = opened.read_text().removeprefix(gate.base.rstrip("/"))
        assert TOKEN not in address
        async with Visitor(gate) as first, Visitor(gate) as second:
            assert (await first.enter(address))[0] == 200
            assert (await second.enter(address))[0] == 401
            assert (await second.enter())[0] == 200
    finally:
        gate.stop()


@in_loop
async def test_a_link_of_another_site_finds_the_session_that_is_there(guarded):
    """A strict cookie does not come with it: the page asks once more by itself before it asks for a token."""
    async with Visitor(guarded) as visitor:
        first = await visitor.enter() and await visitor.inside()
        async with Visitor(guarded) as link:
            status, text = await link.get("/", headers={"Sec-Fetch-Site": "cross-site"})
            assert (status, list(link.http.cookie_jar)) == (200, [])
            onward = re.search(r"url=([^\"]+)", text).group(1)
            assert (await link.get(onward, headers={"Sec-Fetch-Site": "cross-site"}))[0] == 401
        assert (await visitor.enter(onward))[0] == 200
        assert await visitor.inside() == first


@in_loop
async def test_the_cookie_is_for_this_server_only(guarded):
    async with Visitor(guarded) as visitor, visitor.http.get(guarded.url) as answer:
        flags = answer.headers["Set-Cookie"].lower()
        assert "httponly" in flags
        assert "samesite=strict" in flags
        assert TOKEN not in flags


@in_loop
@pytest.mark.parametrize("value", ["", ".", "x.y", "\u00e9.\u00e9", "a" * 4000])
async def test_a_made_up_cookie_is_worth_nothing(guarded, value):
    async with Visitor(guarded) as stranger:
        cookie = f"sslsegment-{guarded.port}={value}".encode().decode("latin-1")
        answer = await raw(guarded, f"GET /index.html HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n")
        assert status(answer) in {303, 401}
        assert (await stranger.get("/"))[0] == 401


@in_loop
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200), ("127.0.0.1", 200), ("LOCALHOST:1234", 200), ("[::1]:80", 200), ("127.0.0.2", 200),
        ("evil.test", 403), ("evil.test:8080", 403), ("localhost.evil.test", 403), ("192.168.0.1", 403),
        ("127.0.0.1.evil.test", 403), ("", 403), ("[", 403), ("user@localhost@evil.test", 403),
    ],
)  # fmt: skip
async def test_names_that_a_request_may_ask_for(gate, host, expected):
    assert status(await raw(gate, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")) == expected


@in_loop
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("{base}", True), ("http://evil.test", False), ("null", False), ("{base}.evil.test", False),
        ("http://127.0.0.1:1", False), ("http://localhost", False), ("", False),
    ],
)  # fmt: skip
async def test_pages_that_may_open_a_websocket_or_send(gate, origin, allowed):
    async with Visitor(gate) as visitor:
        await visitor.come_back()
        headers = {"Origin": origin.format(base=gate.base.rstrip("/"))}
        async with visitor.http.post(f"{gate.base}files/volume?name=a.nrrd", data=b"x", headers=headers) as answer:
            assert answer.status == (204 if allowed else 403)
        with contextlib.nullcontext() if allowed else pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            async with visitor.socket(headers=headers):
                pass


@in_loop
@pytest.mark.parametrize(
    "path",
    [
        "/files/../../etc/passwd", "/files/..%2f..%2fetc/passwd", "/%2e%2e/secret", "/files/%252e%252e/x",
        "/files/..\\..\\x", "/./index.html", "/files/%00", "http://evil.test/", "/a%0d%0ab",
    ],
)  # fmt: skip
async def test_paths_that_lead_out_of_a_folder(gate, path):
    async with Visitor(gate) as visitor:
        await visitor.come_back()
        for method in ("GET", "POST"):
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {visitor.cookie}\r\n"
            answer = await raw(gate, f"{head}Content-Length: 0\r\n\r\n")
            assert status(answer) in {400, 403, 404}, answer
            assert "root:" not in answer


@in_loop
async def test_a_message_that_says_it_is_too_large_is_not_read(gate):
    async with Visitor(gate) as visitor:
        await visitor.come_back()
        head = f"POST /files/volume?name=a.nrrd HTTP/1.1\r\nHost: localhost\r\nCookie: {visitor.cookie}\r\n"
        answer = await raw(gate, f"{head}Content-Length: {10**11}\r\n\r\nbegin")
        assert status(answer) == 413
        assert f"{LIMIT_MB} MB" in answer


@in_loop
@pytest.mark.parametrize(
    ("path", "size", "expected"),
    [
        ("files/volume?name=a.nrrd", LIMIT_MB * 1_000_000, 204),
        ("files/volume?name=a.nrrd", (LIMIT_MB + 2) * 1_000_000, 413),
        ("files/other", 2_000_000, 204),
    ],
)
@pytest.mark.parametrize("told", [True, False], ids=["length", "chunked"])
async def test_sizes_of_uploads(gate, path, size, expected, told):
    async def chunks():
        for start in range(0, size, 100_000):
            yield bytes(min(100_000, size - start))

    async with Visitor(gate) as visitor:
        await visitor.come_back()
        headers = {"Content-Length": str(size)} if told else {}
        try:
            async with visitor.http.post(gate.base + path, data=chunks(), headers=headers) as answer:
                assert answer.status == expected
        except aiohttp.ClientOSError:  # closed while we still sent
            assert expected == 413
        if expected == 204:
            assert (await visitor.get("/files/upload")) == (200, str(size))


@in_loop
async def test_only_uploads_may_be_large(gate):
    async with Visitor(gate) as visitor:
        await visitor.come_back()
        answer = await raw(
            gate, f"POST /ws HTTP/1.1\r\nHost: localhost\r\nCookie: {visitor.cookie}\r\nContent-Length: 2000000\r\n\r\n"
        )
        assert status(answer) == 413


@in_loop
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
async def test_other_methods(gate, method):
    target = "localhost:80" if method == "CONNECT" else "/index.html"
    assert status(await raw(gate, f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")) in {400, 405}


@in_loop
async def test_the_gates_own_pages_ask_nothing_of_anybody(gate, guarded):
    for server in (gate, guarded):
        async with Visitor(server) as visitor, visitor.http.get(server.base) as answer:
            text = await answer.text()
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert not any(word in text for word in ("http:", "https:", "//cdn", "<script"))
            assert text.count("</p>") == 1


@in_loop
async def test_what_the_session_is_not_told(gate):
    """The cookie is the gate's own business; a secret that a browser makes up does not get through."""
    async with Visitor(gate) as visitor:
        await visitor.come_back()
        async with visitor.http.get(f"{gate.base}index.html", headers={"X-SSLSegment-Secret": "made up"}) as answer:
            inside = await answer.json()
    assert "Cookie" not in inside["headers"]
    assert inside["headers"]["X-SSLSegment-Secret"] == inside["secret"]


@in_loop
async def test_without_the_secret_a_session_tells_nothing(gate):
    async with Visitor(gate) as visitor:
        await visitor.come_back()
        port = (await visitor.inside())["headers"]["Host"].rpartition(":")[2]
        async with visitor.http.get(f"http://127.0.0.1:{port}/index.html") as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)]
)
def test_hosts_that_only_this_machine_reaches(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "token", "words"),
    [("0.0.0.0", None, "--token"), ("127.0.0.1", "short", "too short"), ("no such host", "x" * 20, "no name")],
)
def test_hosts_and_tokens_that_are_not_safe(host, token, words):
    with pytest.raises(InputError, match=words):
        Access(host, token)


@pytest.mark.parametrize(
    ("header", "known"), [("10.0.0.1:8080", True), ("localhost", True), ("evil.test", False), ("[fe80::1]:80", True)]
)
def test_names_of_a_server_that_others_reach(header, known):
    """An address cannot be made to point elsewhere; a name can."""
    assert Access("0.0.0.0", "x" * 20).knows_host(header) is known


def test_a_cookie_of_another_run_is_worth_nothing():
    former, now = Access("127.0.0.1", None), Access("127.0.0.1", None)
    cookie = former.new_cookie()
    assert former.browser(cookie)
    assert now.browser(cookie) is None
    assert former.browser(cookie[:-1]) is None


def test_the_gate_loads_neither_the_viewer_nor_the_network():
    """It starts at once, and nothing in it draws or learns."""
    script = (
        "import sys, SSLSegmentWeb.cli, SSLSegmentWeb.gate; "
        "print(*{'slicer', 'vtk', 'vtkmodules', 'torch', 'monai', 'trame', 'SimpleITK'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "\n"
