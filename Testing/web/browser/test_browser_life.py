"""Closed tabs, two users at once, a server that was restarted."""

import pytest
from playwright.sync_api import BrowserContext
from web_page import WebPage, draw
from web_server import WebServer, wait_until

WORKER = "sslseg.worker"
LINGER_S = 20.0
"""A training goes on for so long after the tab was closed, as the documentation says."""
MARGIN_S = 8.0


def keep_training(tab: WebPage) -> None:
    """Begin a training that takes minutes, and wait until the network learns."""
    tab.train("accurate")
    tab.wait(lambda: "step" in tab.text("status"), "the training", seconds=90)


@pytest.mark.slow
def test_closing_the_tab_ends_the_training_and_keeps_the_drawing(server, user, phantom):
    mine: BrowserContext = user()
    others = {process.pid for process in server.processes(WORKER)}
    tab = WebPage(mine, server.url).open()
    tab.upload("volume", phantom.path)
    draw(tab, phantom)
    keep_training(tab)
    workers = [process for process in server.processes(WORKER) if process.pid not in others]
    assert workers
    tab.close()
    took = wait_until(
        lambda: not any(worker.is_running() for worker in workers),
        LINGER_S + MARGIN_S,
        lambda: f"the worker still runs {LINGER_S + MARGIN_S} s after the tab was closed",
    )
    assert took > LINGER_S / 2, "a tab that is loaded anew would lose its training"
    again = WebPage(mine, server.url).open()
    again.wait(lambda: again.rows() == list(phantom.drawn), "the drawing")
    assert phantom.path.stem in again.chosen("volume")
    again.wait_enabled("train")
    again.picture("09-tab-opened-again")
    assert again.problems == []


@pytest.mark.slow
def test_a_reloaded_page_keeps_its_training(tab, phantom):
    tab.upload("volume", phantom.path)
    draw(tab, phantom)
    keep_training(tab)
    tab.page.on("dialog", lambda dialog: dialog.accept())
    tab.page.reload()
    tab.open()
    tab.wait(lambda: "step" in tab.text("status"), "the training that went on")
    tab.press("stop")
    tab.wait(lambda: tab("train").count(), "the end of the training", seconds=60)


@pytest.mark.slow
def test_two_users_have_scenes_and_files_of_their_own(tab, server, user, phantom, tmp_path):
    tab.upload("volume", phantom.path)
    draw(tab, phantom)
    other = WebPage(user(), server.url).open()
    assert other.chosen("volume") != tab.chosen("volume")
    assert other.rows() == []
    tab.download("export", tmp_path)
    address = server.url + tab("download-0").get_attribute("href")
    assert tab.page.request.get(address).status == 200
    for stranger in (other.page.request, user().request):
        assert stranger.get(address).status in {401, 403, 404}
    other.upload("volume", phantom.path)
    other.wait(lambda: other("train").count(), "the second page")
    assert other.rows() == []
    assert tab.rows() == list(phantom.drawn)


@pytest.mark.slow
def test_a_restarted_server_is_said_and_started_again(user, phantom, tmp_path):
    first = WebServer(tmp_path)
    tab = WebPage(user(), first.url).open()
    tab.upload("volume", phantom.path)
    first.stop()
    tab("gone").wait_for()
    assert tab("gone").inner_text().count(".") == 1
    tab.picture("10-connection-lost")
    second = WebServer(tmp_path, port=first.port)
    try:
        tab.page.on("dialog", lambda dialog: dialog.accept())
        tab("start-again").click()
        tab.wait(lambda: not tab("gone").count(), "the page without its notice")
        tab.open()
        assert tab.rows() == []
        tab.upload("volume", phantom.path)
        assert tab.text("data-error") == ""
    finally:
        second.stop()
