"""The worker's protocol: one JSON object a line, UTF-8. Needs no torch, so that viewers import it too.

Requests carry a positive ``id`` chosen by the parent, and ``do``:

=========  ==================================================================================================
load       ``volume`` (a key of the parent's choice), ``image`` (file or DICOM folder).
           Result: ``shape`` [K, J, I], ``seconds``. The volume stays in memory until the worker ends or the key
           is loaded again.
finetune   ``cases`` [{``volume`` key, ``labels`` file, ``axis`` 0|1|2}], ``segments`` [{name, color, label_value,
           segment_id, terminology}], ``settings`` (:class:`sslseg.settings.Settings` as a dict), ``model`` (file to
           write). Result: ``model``, ``stopped`` "schedule" | "time limit" | "request", ``steps``, ``seconds``,
           ``device``, ``messages`` [sentences].
predict    ``model`` file, ``volume`` key, ``output`` (label map to write, uint8 class indices), optional
           ``uncertainty`` (float32 map to write, 0..1), optional ``labels`` and ``axis`` (what is annotated in this
           volume), optional ``device``. Result: ``output``, ``uncertainty``, ``stopped`` "schedule" | "request"
           (then no file is written), ``seconds``, ``device``, ``messages``.
suggest    ``output`` and ``uncertainty`` of a predict, ``labels`` file, ``axis``, optional ``n``.
           Result: ``suggestions`` [{``index``, ``score``, ``reason``}], best first.
cancel     ``job``: the id to stop; answered at once, the stopped job then ends with its own result.
shutdown   ends the worker once it has been answered. So does the end of stdin, at once.
=========  ==================================================================================================

Replies carry the request's ``id`` and ``event``: "progress" (the fields of :class:`sslseg.progress.Progress`),
"result", "error" (``message``: one sentence; ``kind``: the exception's class name) or "log" (``message``).
After start the worker says ``{"id": 0, "event": "result", "ready": true, "version": ..., "pid": ..., "torch": ...,
"devices": [{"name": "cpu", "description": ...}, ...]}``. Label files are uncompressed .nrrd: uint8 class indices, 255
where nothing is annotated, on the grid of the image.
"""

from __future__ import annotations

import json
import math
from typing import Any

READY_ID = 0
REQUESTS = ("load", "finetune", "predict", "suggest", "cancel", "shutdown")
EVENTS = ("progress", "result", "error", "log")


def encode(message: dict[str, Any]) -> bytes:
    """One line, newline included. NaN is not JSON: it becomes null."""
    return (json.dumps(_finite(message), ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def decode(line: bytes | str) -> dict[str, Any]:
    """The message of one line.

    Raises:
        ValueError: the line is not one JSON object in UTF-8.
    """
    text = line.decode("utf-8") if isinstance(line, bytes) else line
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError(f"a message is one JSON object, not {text.strip()[:40]!r}")  # noqa: TRY004 - content, not type
    return message


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
