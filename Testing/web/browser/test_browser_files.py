"""Uploads that are too large, damaged, or named to end up elsewhere: refused with a sentence, and the page goes on."""

import gzip
import tempfile
from pathlib import Path

import pytest
from web_page import WebPage, outside
from web_server import WebServer

LIMIT_MB = 2

NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 8 8 8\nencoding: raw\n"
BAD = {
    "empty.nrrd": b"",
    "text.nii.gz": b"Dear colleague, please find attached",
    "truncated.nrrd": NRRD + b"\n" + bytes(100),
    "damaged.nii.gz": gzip.compress(bytes(400))[:-12],
    "detached.nrrd": NRRD + b"data file: /etc/passwd\n\n",
    "photo.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
}
TRAVERSING = ["../../evil.nrrd", "..\\..\\evil.nrrd", "/evil.nrrd", "evil\x00.nrrd", "..", "a" * 400 + ".nrrd"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server that takes little."""
    running = WebServer(tmp_path_factory.mktemp("small"), "--upload-limit", str(LIMIT_MB))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def page(small, any_user, phantom):
    """A page with one volume, which nothing that follows may take away."""
    context = any_user()
    opened = WebPage(context, small.url).open()
    opened.upload("volume", phantom.path)
    assert opened.text("data-error") == ""
    yield opened
    assert outside(opened, small) == []
    assert [said for said in opened.problems if "Failed to load resource" not in said] == []
    context.close()


def payload(name: str, content: bytes) -> dict:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


@pytest.mark.parametrize("kind", ["volume", "segmentation"])
@pytest.mark.parametrize("name", BAD)
def test_a_damaged_upload_is_refused_in_one_sentence(page, name, kind):
    chosen = page.chosen(kind)
    page.upload(kind, payload(name, BAD[name]))
    said = page.text("data-error")
    assert name in said
    assert said.endswith(".")
    assert page.chosen(kind) == chosen
    assert "/" not in said.replace(".nii.gz/", ""), "a path of the server is nobody's business"
    if (name, kind) == ("text.nii.gz", "volume"):
        page.picture("12-damaged-upload")


def test_an_upload_that_is_too_large_is_refused(page):
    page.upload("volume", payload("large.nrrd", NRRD + b"\n" + bytes(LIMIT_MB * 2_000_000)))
    said = page.text("data-error")
    assert f"{LIMIT_MB} MB" in said
    page.picture("13-large-upload")


@pytest.mark.parametrize("name", TRAVERSING)
def test_a_name_leads_nowhere(page, phantom, name):
    """Sent as the page sends it, with a name that no dialog would give."""
    status = page.page.evaluate(
        """async ([name, bytes]) => (await fetch(`files/volume?name=${encodeURIComponent(name)}`,
          { method: "POST", body: new Uint8Array(bytes) })).status""",
        [name, list(phantom.path.read_bytes())],
    )
    assert status == 400
    for folder in (Path(tempfile.gettempdir()), Path("/"), Path.home(), Path.cwd(), Path.cwd().parent):
        assert not list(folder.glob("*evil*"))


def test_downloads_lead_nowhere_either(page, small):
    for name in ("../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "x/../../../etc/passwd"):
        answer = page.page.request.get(f"{small.url}files/token/{name}")
        assert answer.status in {400, 404}
        assert b"root:" not in answer.body()
