"""What a hand on the mouse feels while the worker trains.

A turn of the wheel is timed in the page: from the wheel's event until the slider has moved and the page has a new image
of the slice, decoded and ready to be painted. Rendering, JPEG, both websockets and decoding are in it; no network is.
Each turn waits for the frame of the one before. The limit is that of a server with two processors of its own: what this
browser, which draws in software, and other programs take of them is measured, and makes the limit longer by as much.
What the server alone takes is timed at its websocket, by ``test_session_loop.py``.
"""

import statistics
import time

import psutil
import pytest
from test_browser_life import keep_training
from web_cases import LARGE, make_phantom
from web_page import PICTURES, draw
from web_server import WebServer

FRAME_MS = 150
TURNS = 20


@pytest.mark.slow
def test_scrolling_stays_fast_while_the_worker_trains(tab, server, tmp_path):
    case = make_phantom(tmp_path, LARGE)
    tab.upload("volume", case.path)
    draw(tab, case)
    keep_training(tab)
    begin, others = tab.view.offset, Others(server)
    times = [*tab.view.scroll(TURNS, down=True), *tab.view.scroll(TURNS, down=False)]
    limit = FRAME_MS / (1 - others.share())
    assert abs(tab.view.offset - begin) < 0.1, "a turn of the wheel was lost"
    assert "step" in tab.text("status"), "the training is over: the time says nothing"
    tab.picture("14-scrolling-while-training")
    ninth = statistics.quantiles(times, n=10)[-1]
    measured = f"ms a frame: median {statistics.median(times):.0f}, nine of ten {ninth:.0f}; limit {limit:.0f}\n"
    (PICTURES / "frames.txt").write_text(measured, encoding="utf-8")
    assert statistics.median(times) < limit
    assert ninth < 2 * limit, times


class Others:
    """How busy the processors are with all but the server."""

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._begin = time.monotonic(), self._busy()

    def share(self) -> float:
        """Of all processors since this was made, 0 to 1."""
        began, busy = self._begin
        return min(0.9, max(0.0, (self._busy() - busy) / (time.monotonic() - began) / psutil.cpu_count()))

    def _busy(self) -> float:
        """Seconds that others have computed since the computer was started."""
        times = psutil.cpu_times()
        served = [process.cpu_times() for process in self._server.processes("")]
        return times.user + times.nice + times.system - sum(each.user + each.system for each in served)
