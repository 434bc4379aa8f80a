"""Passes HTTP and websockets on to a session, without keeping more than a few chunks of either in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import WSMsgType, hdrs, web
from multidict import CIMultiDict
from yarl import URL

CHUNK_BYTES = 1 << 18
BODY_BYTES = 1 << 20
"""Limit of the body of everything that is no upload, and of what an upload has beside its file."""
FROM_BROWSER_BYTES = 16 << 20
"""Limit of one websocket message of a browser; frames from the session have none."""
HEARTBEAT_S = 20.0
CLOSE_S = 2.0

_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
_NOT_PASSED_ON = _HOP_BY_HOP | {"cookie", "host", "origin", "content-length", "expect"}
_NOT_PASSED_BACK = _HOP_BY_HOP | {"set-cookie", "server", "date"}
_NO_CODE_TO_SEND = {1005, 1006, 1015}


class TooLarge(Exception):  # noqa: N818 - becomes an answer, not a failure
    """A request with more bytes than allowed."""


def too_large(limit: int) -> str:
    """What is answered to an upload of more than ``limit`` bytes."""
    return f"The file is larger than {limit / 1e6:.0f} MB, the limit of this server: ask its owner to raise it."


def new_client() -> aiohttp.ClientSession:
    """A client for all sessions; it keeps no cookies, and no proxy of the environment comes between."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        auto_decompress=False,
        trust_env=False,
    )


def session_url(request: web.Request, port: int) -> URL:
    """The same path and query at a session; not decoded on the way."""
    return URL(f"http://127.0.0.1:{port}{request.raw_path}", encoded=True)


async def pass_http(
    request: web.Request, client: aiohttp.ClientSession, url: URL, own: Mapping[str, str], limit: int
) -> web.StreamResponse:
    """Pass a request on and its answer back.

    Args:
        request: of the browser.
        client: to ask the session with.
        url: of the session.
        own: headers that the session wants of the gate.
        limit: bytes of the body.

    Raises:
        TooLarge: the body has more than ``limit`` bytes; no more than that was read.
        aiohttp.ClientError: the session does not answer.
    """
    if (request.content_length or 0) > limit:
        raise TooLarge
    headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _NOT_PASSED_ON)
    headers.update(own)
    if request.content_length is not None:
        headers[hdrs.CONTENT_LENGTH] = str(request.content_length)
    body = _Body(request, limit)
    data = body.chunks() if request.can_read_body else None
    try:
        async with client.request(request.method, url, headers=headers, data=data, allow_redirects=False) as answer:
            return await _pass_back(request, answer)
    except aiohttp.ClientError as error:
        if body.exceeded:  # the client says no more than that the sending has failed
            raise TooLarge from error
        raise


async def _pass_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    response.headers.extend((k, v) for k, v in answer.headers.items() if k.lower() not in _NOT_PASSED_BACK)
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            await response.write(chunk)
        await response.write_eof()
    except aiohttp.ClientError as error:  # too late for another answer: hang up, so that the browser sees it is cut
        raise ConnectionResetError from error
    return response


class _Body:
    """What a browser sends, up to a limit."""

    def __init__(self, request: web.Request, limit: int) -> None:
        self._request = request
        self._left = limit
        self.exceeded = False

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.content.iter_chunked(CHUNK_BYTES):
            self._left -= len(chunk)
            if self._left < 0:
                self.exceeded = True
                raise TooLarge
            yield chunk


async def pass_websocket(
    request: web.Request,
    client: aiohttp.ClientSession,
    url: URL,
    own: Mapping[str, str],
    on_open: Callable[[web.WebSocketResponse], None],
) -> web.WebSocketResponse:
    """Join the websocket of a browser with one of its session until either is closed.

    A side that reads slowly slows the other one down: each message is sent before the next one is read.

    Args:
        request: of the browser, an upgrade to a websocket.
        client: to call the session with.
        url: of the session.
        own: headers that the session wants of the gate.
        on_open: called with the browser's socket once both are open.

    Raises:
        aiohttp.ClientError: the session does not answer.
    """
    offered = [name.strip() for name in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",") if name.strip()]
    timeout = aiohttp.ClientWSTimeout(ws_close=CLOSE_S)
    async with client.ws_connect(
        url, headers=own, protocols=offered, max_msg_size=0, compress=0, timeout=timeout
    ) as upstream:
        browser = web.WebSocketResponse(
            protocols=[upstream.protocol] if upstream.protocol else (),
            max_msg_size=FROM_BROWSER_BYTES,
            compress=False,
            heartbeat=HEARTBEAT_S,
            timeout=CLOSE_S,
        )
        await browser.prepare(request)
        on_open(browser)
        await asyncio.gather(_pump(browser, upstream), _pump(upstream, browser))
    return browser


async def _pump(source: Any, target: Any) -> None:
    reason = b""
    try:
        while True:
            message = await source.receive()
            if message.type is WSMsgType.BINARY:
                await target.send_bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await target.send_str(message.data)
            else:
                reason = (message.extra or "").encode() if message.type is WSMsgType.CLOSE else b""
                break
    except ConnectionError:  # the other end is gone; its own pump sees that too
        pass
    code = source.close_code
    await target.close(code=1001 if code is None or code in _NO_CODE_TO_SEND else code, message=reason)
