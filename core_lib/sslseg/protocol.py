"""The worker's protocol: one JSON object a line, UTF-8. Needs no torch, so that viewers import it too.

Requests carry a positive ``id`` chosen by the parent, and ``do``:

=========  ==================================================================================================
load       ``volume`` (a key of the parent's choice) and either ``image`` (file or DICOM folder) or ``array``
           (file) with ``geometry`` (:class:`sslseg.geometry.Geometry` as a dict) and an optional ``name``.
           Result: ``shape`` [K, J, I], ``seconds``. The volume stays in memory until the worker ends or the key
           is loaded again.
propagate  ``volume`` key, ``labels`` file, ``axis``, ``segments``, ``settings``, ``output`` and ``uncertainty``
           (files to write, as those of predict): the labels carried to all slices, without a training; what it
           computes serves a finetune after it. Result: ``output``, ``uncertainty``, ``stopped`` "schedule" |
           "request" (then no file is written), ``seconds``, ``device``.
finetune   ``cases`` [{``volume`` key, ``labels`` file, ``axis`` 0|1|2}], ``segments`` [{name, color, label_value,
           segment_id, terminology}], ``settings`` (:class:`sslseg.settings.Settings` as a dict), ``model`` (file to
           write). Result: ``model``, ``stopped`` "schedule" | "time limit" | "request", ``steps``, ``seconds``,
           ``device``, ``messages`` [sentences].
predict    ``model`` file, ``volume`` key, ``output`` (class map to write, uint8; a label file with the segments of
           the model where it does not end in .npy), optional ``uncertainty`` (float32 map to write, 0..1), optional
           ``labels``, ``axis`` and ``segments`` (what is annotated in this volume), optional ``device``. Result:
           ``output``, ``uncertainty``, ``stopped`` "schedule" | "request" (then no file is written), ``seconds``,
           ``device``, ``messages``.
suggest    ``output`` and ``uncertainty`` of a predict, ``volume`` key, ``labels`` file, ``axis``, ``segments``,
           optional ``n``. Result: ``suggestions`` [{``index``, ``score``, ``reason``}], best first.
find       ``folder``. Result: ``images`` [{``path`` to load, ``folder`` that it lies in, ``name`` without ending}] in
           and below the folder, in order; a DICOM series is one image, and label maps are left out.
measure    ``settings``. Result: ``seconds`` that the steps of such a training take here (null after a cancel),
           ``device``, ``stopped`` "schedule" | "request".
pretrain   ``data`` [folders, image files, manifests], ``settings``
           (:class:`sslseg.pretrain_settings.PretrainSettings` as a dict), ``weights`` (file to write), optional
           ``resume`` (bool). Result: ``weights``, ``stopped`` "schedule" | "time limit" | "request", ``steps``,
           ``slices``, ``skipped`` [sentences], ``seconds``, ``device``, ``messages``. An error where it ended before
           its first step: then no file is written.
cancel     ``job``: the id to stop. Answered at once with ``found`` (false: no such job is waiting or running); the
           stopped job then ends with its own result. One that had not begun ends with ``stopped`` "request" alone.
shutdown   answered at once, then the worker ends, whatever is running. The end of stdin, which the death of the
           parent brings about, also ends it at once, and removes the folder that was given with ``--folder``.
=========  ==================================================================================================

Replies carry the request's ``id`` and ``event``: "progress" (the fields of :class:`sslseg.progress.Progress`, about ten
a second at most), "result", "error" (``message``: one sentence; ``kind``: the exception's class name) or "log"
(``message``). Jobs run one at a time, in the order of their requests; each ends with one "result" or one "error". A
line that is not a request is answered by a "log" with id 0.
After start the worker says ``{"id": 0, "event": "result", "ready": true, "version": ..., "pid": ..., "torch": ...,
"devices": [{"name": "cpu", "description": ...}, ...]}``, or one "error" with id 0 if it cannot work, and ends.
Arrays travel as .npy files, exact and readable without any image library: (K, J, I) on the grid of the image; labels
are uint8 class indices, 255 where nothing is annotated.
"""

from __future__ import annotations

import json
import math
from typing import Any

READY_ID = 0
REQUESTS = (
    "load", "propagate", "finetune", "predict", "suggest", "find", "measure", "pretrain", "cancel", "shutdown",
)  # fmt: skip
EVENTS = ("progress", "result", "error", "log")


def encode(message: dict[str, Any]) -> bytes:
    """One line, newline included. NaN is not JSON: it becomes null.

    Everything beyond ASCII is escaped, so that file names which are not valid Unicode survive as well.
    """
    return (json.dumps(_finite(message), allow_nan=False) + "\n").encode("ascii")


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
