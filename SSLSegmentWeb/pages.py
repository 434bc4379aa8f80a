"""The gate's own pages: one sentence and, where useful, one button. Nothing in them comes from elsewhere."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from aiohttp import web

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
_ICON = Path(__file__).parents[1] / "Resources" / "SSLSegment.png"
_STYLE = """
  :root { color-scheme: dark }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #0f2136; color: #e8f1f5;
         font: 17px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
  main { max-width: 30rem; margin: 1.5rem; padding: 2.5rem; border-radius: 16px; background: #17324d;
         text-align: center; box-shadow: 0 12px 40px rgb(0 0 0 / .35) }
  img { width: 72px; height: 72px }
  p { margin: 1.25rem 0 0 }
  form { margin: 1.5rem 0 0; display: flex; gap: .75rem; justify-content: center; flex-wrap: wrap }
  input { flex: 1; min-width: 12rem; padding: .6rem .8rem; border: 1px solid #5fbcb3; border-radius: 8px;
          background: #0f2136; color: inherit; font: inherit }
  button { padding: .6rem 1.4rem; border: 0; border-radius: 8px; background: #ff7a5c; color: #16202b; font: inherit;
           font-weight: 600; cursor: pointer }
  button:hover { background: #ff9379 }
  :focus-visible { outline: 3px solid #9fe3dc; outline-offset: 2px }
  .wait { width: 28px; height: 28px; margin: 1.5rem auto 0; border-radius: 50%; border: 3px solid #5fbcb3;
          border-top-color: transparent; animation: turn 1s linear infinite }
  @keyframes turn { to { transform: rotate(1turn) } }
  @media (prefers-reduced-motion: reduce) { .wait { animation-duration: 6s } }
"""


@dataclass(frozen=True)
class Notice:
    """What a page says.

    Attributes:
        sentence: one, for the user.
        status: of HTTP.
        button: what the button says; empty: there is none.
        query: what the button sends, a name in the query of the first page; empty: the first page as it is.
        asks: a label; the button then sends what was typed as ``query``.
        waits: whether the page shows that something is going on.
        next_url: loaded by itself after ``after_s`` seconds.
        after_s: see ``next_url``.
    """

    sentence: str
    status: int = 200
    button: str = ""
    query: str = ""
    asks: str = ""
    waits: bool = False
    next_url: str = ""
    after_s: int = 0


def page(notice: Notice) -> web.Response:
    """A notice as an answer."""
    parts = [f"<p>{escape(notice.sentence)}</p>"]
    if notice.waits:
        parts.append('<div class="wait" role="progressbar" aria-label="Please wait"></div>')
    if notice.button:
        parts.append(_form(notice))
    onward = f"{notice.after_s};url={escape(notice.next_url)}"
    reload = f'<meta http-equiv="refresh" content="{onward}">' if notice.next_url else ""
    icon = _icon()
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{reload}
<title>SSLSegment</title>
<link rel="icon" href="{icon}">
<style>{_STYLE}</style>
</head>
<body>
<main data-testid="notice">
<img src="{icon}" alt="SSLSegment">
{"".join(parts)}
</main>
</body>
</html>
"""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return web.Response(text=text, status=notice.status, content_type="text/html", headers=headers)


def _form(notice: Notice) -> str:
    query, label = escape(notice.query), escape(notice.asks)
    field = ""
    if notice.asks:
        field = (
            f'<input name="{query}" type="password" aria-label="{label}" placeholder="{label}" autofocus required '
            'autocomplete="off">'
        )
    elif notice.query:
        field = f'<input type="hidden" name="{query}" value="1">'
    return f'<form action="/">{field}<button data-testid="start-again">{escape(notice.button)}</button></form>'


@cache
def _icon() -> str:
    """The icon inside of the page; without its file, none rather than a request for one."""
    data = base64.b64encode(_ICON.read_bytes()).decode() if _ICON.is_file() else ""
    return f"data:image/png;base64,{data}"
