"""Lines of the worker's protocol: what goes in comes out, and nothing but one JSON object is a message."""

import json
import math

import pytest

from sslseg.progress import Progress
from sslseg.protocol import decode, encode


@pytest.mark.parametrize(
    "message",
    [
        {"id": 1, "do": "shutdown"},
        {"id": 2, "image": "C:\\Bilder größer\\心臓.nrrd", "axis": 0},
        {"id": 3, "image": "not valid Unicode \udc80"},
        {"id": 4, "text": "two\nlines\u2028and a line separator"},
        {"id": 5, "cases": [{"volume": "a", "labels": "b", "axis": 2}], "settings": {"time_limit_s": None}},
        {"id": 6, "event": "progress", **Progress("fine-tuning", 3, 10, loss=0.25).as_dict()},
    ],
)
def test_a_message_survives(message):
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line.decode("utf-8").splitlines()) == 1
    assert decode(line) == message
    assert decode(line.decode("utf-8")) == message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_becomes_null(value):
    line = encode({"id": 1, "loss": value, "nested": [{"dice": (0.5, value)}]})
    assert json.loads(line) == {"id": 1, "loss": None, "nested": [{"dice": [0.5, None]}]}


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"hello\n", b"[1, 2]\n", b"3\n", b'{"id": 1\n', b'{"id": 1} {"id": 2}\n', b"\xff\xfe{}\n"]
)
def test_anything_else_is_no_message(line):
    with pytest.raises(ValueError):  # noqa: PT011 - the json module's own words
        decode(line)
