"""A server, a browser and tabs, shared where the tests do not disturb each other."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright
from web_cases import WebCase, make_phantom
from web_page import WebPage, outside
from web_server import WebServer

SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZE = {"width": 1400, "height": 900}


def launch(playwright: Playwright) -> Browser:
    """Chromium without a window; that of the system, where there is one."""
    found = next(filter(None, map(shutil.which, SYSTEM_BROWSERS)), None)
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[WebServer]:
    """A server for many users one after the other, of whom none stays for long."""
    running = WebServer(tmp_path_factory.mktemp("server"), "--keep", "1", "--max-sessions", "12")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> WebCase:
    return make_phantom(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="session")
def any_user(browser) -> Callable[[], BrowserContext]:
    """Makes browsers that know nothing of each other, as two users have them."""
    return lambda: browser.new_context(viewport=SIZE, accept_downloads=True)


@pytest.fixture
def user(any_user) -> Iterator[Callable[[], BrowserContext]]:
    """The same, with the end of each browser."""
    made: list[BrowserContext] = []

    def make() -> BrowserContext:
        made.append(any_user())
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.fixture
def tab(server, user) -> Iterator[WebPage]:
    """A new user's page, of which nothing leaves the machine and nothing is wrong to the console."""
    page = WebPage(user(), server.url).open()
    yield page
    assert page.problems == []
    assert outside(page, server) == []
