"""The gate: the only thing that listens where users can reach it. Lets in whom it knows, and passes them on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import aiohttp
from aiohttp import web

from SSLSegmentWeb.access import Access
from SSLSegmentWeb.pages import Notice, page
from SSLSegmentWeb.proxy import BODY_BYTES, TooLarge, new_client, pass_http, pass_websocket, session_url, too_large
from SSLSegmentWeb.sessions import Full, Session, Sessions

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
UPLOADS = "/files/"
FIRST_PAGE = "/index.html"
METHODS = {"GET", "HEAD", "POST"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

RESTARTED = "SSLSegment was restarted, and what was not exported is lost."
OPENING = "SSLSegment is opening."
STARTING = Notice("Your session is starting.", waits=True, next_url="/", after_s=1)
NO_COOKIES = Notice("SSLSegment needs a cookie to tell its users apart: allow cookies for this page.", 403, "Try again")
FULL = Notice("All places of this server are taken: try again when somebody has finished.", 503, "Try again")
GONE = "There is no session for this browser: open the first page."


class Gate:
    """The application that aiohttp serves.

    Args:
        access: who may come in.
        sessions: of all browsers.
        upload_limit: bytes of one upload.
    """

    def __init__(self, access: Access, sessions: Sessions, upload_limit: int) -> None:
        self._access = access
        self._sessions = sessions
        self._upload_limit = upload_limit
        self._client: aiohttp.ClientSession | None = None

    def application(self) -> web.Application:
        """An application that ends all sessions when it is cleaned up."""
        app = web.Application(middlewares=[self._guard()])
        app.on_startup.append(self._open)
        app.on_shutdown.append(self._end)
        app.on_cleanup.append(self._close)
        app.router.add_get("/", self._door)
        app.router.add_route("*", "/{rest:.*}", self._pass_on)
        return app

    async def _open(self, _: web.Application) -> None:
        self._client = new_client()

    async def _end(self, _: web.Application) -> None:
        await self._sessions.end()

    async def _close(self, _: web.Application) -> None:
        if self._client is not None:
            await self._client.close()

    def _guard(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = self._refusal(request) or await handler(request)
            if not response.prepared:
                response.headers.update(_HEADERS)
            return response

        return guard

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What is answered to a request that no page of this server can have made."""
        if not self._access.knows_host(request.headers.get("Host", "")):
            return _text(403, "This server does not have the name by which it was asked: use the address it printed.")
        if (_is_websocket(request) or request.method not in {"GET", "HEAD"}) and not self._access.same_origin(
            request.headers
        ):
            return _text(403, "A page of another site cannot use this server.")
        if request.method not in METHODS:
            return _text(405, "This server answers GET, HEAD and POST only.")
        if not _is_plain_path(request.raw_path):
            return _text(400, "The address holds a path that leads nowhere: check it.")
        return None

    async def _door(self, request: web.Request) -> web.StreamResponse:
        """The first page: who comes in gets a cookie, who has one gets a session."""
        browser = self._browser(request)
        if browser is not None:
            return await self._inside(request, browser)
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and "link" not in request.query:
            # Who followed a link of another site sends no strict cookie, and may have one all the same.
            return page(Notice(OPENING, waits=True, next_url=str(request.rel_url.update_query(link="1"))))
        if not self._access.right_token(request.query.get("token")):
            return self._ask_for_token(request)
        if "entered" in request.query:
            return page(NO_COOKIES)
        if _cookie_name(request) in request.cookies and not request.query.keys() & {"start", "token"}:
            return page(Notice(RESTARTED, 410, "Start again", "start"))
        # A page that goes on by itself takes the token out of the address and shows whether there are cookies.
        response = page(Notice(OPENING, waits=True, next_url="/?entered=1"))
        response.set_cookie(
            _cookie_name(request), self._access.new_cookie(), path="/", httponly=True, samesite="Strict"
        )
        return response

    def _ask_for_token(self, request: web.Request) -> web.Response:
        if request.query.get("token"):
            sentence = "This token is not the right one: open the address that SSLSegment printed, or type its token."
        elif _cookie_name(request) in request.cookies:
            sentence = "SSLSegment was restarted, and what was not exported is lost: type the token that it printed."
        else:
            sentence = "Open the address that SSLSegment printed when it was started, or type its token."
        return page(Notice(sentence, 401, "Open", "token", asks="Token"))

    async def _inside(self, request: web.Request, browser: str) -> web.StreamResponse:
        session = self._sessions.find(browser)
        if session is None:
            why = self._sessions.why_ended(browser)
            if why and "start" not in request.query:
                return page(Notice(why, 410, "Start again", "start"))
            try:
                session = self._sessions.open(browser)
            except Full:
                return page(FULL)
        if request.query_string:
            raise web.HTTPSeeOther("/")
        if session.process.port is None:
            return page(STARTING)
        raise web.HTTPSeeOther(FIRST_PAGE)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        browser = self._browser(request)
        session = None if browser is None else self._sessions.find(browser)
        if browser is None or session is None or session.process.port is None:
            if request.path == FIRST_PAGE:
                raise web.HTTPSeeOther("/")
            return _text(401 if browser is None else 410, GONE)
        try:
            if _is_websocket(request):
                return await self._join(request, browser, session, session.process.port)
            return await self._ask(request, session, session.process.port)
        except aiohttp.ClientError:
            return _text(502, "The session does not answer: load the page again.")

    async def _ask(self, request: web.Request, session: Session, port: int) -> web.StreamResponse:
        upload = request.method == "POST" and request.path.startswith(UPLOADS)
        limit = BODY_BYTES + (self._upload_limit if upload else 0)
        url = session_url(request, port)
        try:
            return await pass_http(request, self._connection(), url, session.process.headers, limit)
        except TooLarge:
            response = _text(413, too_large(self._upload_limit))
            response.force_close()
            return response

    async def _join(self, request: web.Request, browser: str, session: Session, port: int) -> web.StreamResponse:
        opened: list[web.WebSocketResponse] = []

        def on_open(socket: web.WebSocketResponse) -> None:
            opened.append(socket)
            self._sessions.connected(session, socket)

        url = session_url(request, port)
        try:
            return await pass_websocket(request, self._connection(), url, session.process.headers, on_open)
        finally:
            for socket in opened:
                self._sessions.disconnected(browser, session, socket)

    def _browser(self, request: web.Request) -> str | None:
        return self._access.browser(request.cookies.get(_cookie_name(request)))

    def _connection(self) -> aiohttp.ClientSession:
        if self._client is None:
            raise RuntimeError("the gate has not been started")
        return self._client


async def listen(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Serve an application.

    Returns:
        What to clean up at the end, and the port, which the system chooses for 0.

    Raises:
        OSError: the port is taken, or the host is not of this machine.
    """
    # Addresses may hold the token, so they are not logged. Who sent too much is told, and not listened to for long.
    runner = web.AppRunner(app, access_log=None, lingering_time=1.0, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, runner.addresses[0][1]


def _text(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=sentence)


def _cookie_name(request: web.Request) -> str:
    """Browsers tell servers of one host apart by their cookies' names alone, not by their ports."""
    address = request.transport.get_extra_info("sockname") if request.transport else None
    return f"sslsegment-{address[1] if address else ''}"


def _is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _is_plain_path(raw_path: str) -> bool:
    """Whether a path, however often it is decoded, has no part that leads out of a folder."""
    path, former = raw_path.partition("?")[0], ""
    while path != former:
        path, former = unquote(path), path
    parts = path.replace("\\", "/").split("/")
    return path.startswith("/") and path.isprintable() and not {".", ".."} & set(parts)
