"""The rule about the main thread can fail."""

import pytest

from main_thread import TOLERATED, Ledger


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([0.01, 0.09, 0.099], False),
        ([0.01, 0.2], False),
        ([0.2, 0.2], True),
        ([0.01] * 3 * TOLERATED + [0.2] * 3, False),
        ([0.01] * 3 * TOLERATED + [0.2] * 4, True),
    ],
)
def test_a_handler_that_is_slow_too_often_is_found(times, found):
    ledger = Ledger()
    for value in times:  # one in each test
        ledger.add({"click": [value], "setup": [1.0]})
    assert ("click" in ledger.too_slow()) is found
    assert "setup" not in ledger.too_slow()
