"""From the command to a page that can be worked in."""

import time

from web_page import WebPage
from web_server import WebServer

READY_S = 10.0
BUSY_MACHINE = 2.0
"""The computer that runs this test does other things as well."""


def test_a_page_with_its_volume_is_ready_soon(tmp_path, user, phantom):
    begin = time.monotonic()
    server = WebServer(tmp_path, str(phantom.path))
    try:
        page = WebPage(user(), server.url).open()
        took = time.monotonic() - begin
        assert phantom.path.stem in page.chosen("volume")
        assert page("mark-empty").is_enabled()
        assert page.problems == []
    finally:
        server.stop()
    assert took < READY_S * BUSY_MACHINE, f"{took:.1f} s"
