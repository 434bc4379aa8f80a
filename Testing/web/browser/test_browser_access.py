"""Who gets in, and what a page asks for."""

import pytest
from web_page import WebPage, outside
from web_server import WebServer, fetch

TOKEN = "a-token-of-this-test-0123456789"
WRONG = ["", "wrong", TOKEN[:-1], TOKEN + "0", "%00", "../" + TOKEN]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    running = WebServer(tmp_path_factory.mktemp("guarded"), "--token", TOKEN)
    yield running
    running.stop()


@pytest.mark.parametrize("token", WRONG)
def test_a_wrong_token_opens_nothing(guarded, user, token):
    page = WebPage(user(), f"{guarded.url}?token={token}")
    assert page.answer.status in {401, 403}
    assert "token" in page.page.inner_text("body")
    refused = page.page.evaluate(
        """() => new Promise(resolve => {
          const socket = new WebSocket(`ws://${location.host}/ws`);
          socket.onopen = () => resolve(false);
          socket.onerror = () => resolve(true);
        })"""
    )
    assert refused
    if token == "wrong":
        page.picture("11-wrong-token")


def test_the_right_token_opens_the_page_and_does_not_stay_in_the_address(guarded, user):
    tab = WebPage(user(), f"{guarded.url}?token={TOKEN}").open()
    assert TOKEN not in tab.page.url
    tab.page.goto(guarded.url)
    tab.open()
    assert outside(tab, guarded) == []
    assert fetch(guarded.url)[0] in {401, 403}


def test_a_page_of_another_site_cannot_open_the_websocket(server, user):
    context = user()
    tab = WebPage(context, server.url).open()
    context.route("http://evil.test/", lambda route: route.fulfill(body="<html></html>", content_type="text/html"))
    tab.page.goto("http://evil.test/")
    refused = tab.page.evaluate(
        """address => new Promise(resolve => {
          const socket = new WebSocket(address);
          socket.onopen = () => resolve(false);
          socket.onerror = () => resolve(true);
        })""",
        server.url.replace("http:", "ws:") + "ws",
    )
    assert refused
