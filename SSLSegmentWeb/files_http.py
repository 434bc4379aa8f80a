"""What goes over HTTP beside the page: the secret of the session, uploads, downloads, and what replaces trame's own."""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from sslseg.errors import SSLSegError
from SSLSegmentWeb.proxy import too_large

SECRET_HEADER = "X-SSLSegment-Secret"  # noqa: S105 - the name of a header
KINDS = ("volume", "segmentation")
CHUNK_BYTES = 1 << 20
MAX_NAME = 200
MAX_FILES = 4096
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; "
    "connect-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
"""Vue compiles its templates in the browser, which takes eval; nothing comes from, or goes to, another host."""


class Refusal(Exception):  # noqa: N818 - becomes an answer, not a failure
    """An upload that is not taken, with the status to answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Files:
    """The routes of one session.

    Args:
        secret: without it nothing is answered but 403.
        folder: private to the session.
        upload_limit: bytes of one upload.
        take: opens what was uploaded: kind, and a file or a folder of files. Raises :class:`SSLSegError`.
        on_sockets: told how many browsers are connected whenever that changes.
    """

    def __init__(
        self,
        secret: str,
        folder: Path,
        upload_limit: int,
        take: Callable[[str, Path], Awaitable[None]],
        on_sockets: Callable[[int], None],
    ) -> None:
        self._secret = secret
        self._folder = folder
        self._limit = upload_limit
        self._take = take
        self._on_sockets = on_sockets
        self._sockets = 0
        self._offered: dict[tuple[str, str], Path] = {}

    def bind(self, app: web.Application) -> None:
        """Put the routes and the check of the secret into trame's server before it starts."""
        app.middlewares.append(self._guard)
        app.router.add_post("/files/{kind}", self._upload)
        app.router.add_get("/files/{token}/{name}", self._download)

    def offer(self, paths: Sequence[Path]) -> list[str]:
        """Let the browser download these files.

        Returns:
            A URL for each, relative to the page.
        """
        urls = []
        for path in paths:
            token = secrets.token_urlsafe(16)
            self._offered[token, path.name] = path
            urls.append(f"files/{token}/{quote(path.name)}")
        return urls

    @property
    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            given = request.headers.get(SECRET_HEADER, "")
            if not hmac.compare_digest(given.encode(), self._secret.encode()):
                return web.Response(status=403, text="This session belongs to somebody else.")
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._count(request, handler)
            response = await handler(request)
            response.headers.setdefault("Content-Security-Policy", POLICY)
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            response.headers.setdefault("Referrer-Policy", "no-referrer")
            return response

        return guard

    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._sockets += 1
        self._on_sockets(self._sockets)
        try:
            return await handler(request)
        finally:
            self._sockets -= 1
            self._on_sockets(self._sockets)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        path = self._offered.get((request.match_info["token"], request.match_info["name"]))
        if path is None or not path.is_file():
            raise web.HTTPNotFound(text="This file is not there any more: export it again.")
        disposition = f"attachment; filename*=UTF-8''{quote(path.name)}"
        return web.FileResponse(path, headers={"Content-Disposition": disposition})

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        folder = self._folder / "uploads" / secrets.token_hex(8)
        answer = None
        try:
            answer = await self._open(request, folder)
        finally:  # also where the browser is gone before the end
            if answer is None or answer.status != 204:
                shutil.rmtree(folder, ignore_errors=True)
        return answer

    async def _open(self, request: web.Request, folder: Path) -> web.Response:
        """Store what is sent in ``folder``, and open it."""
        try:
            received = await self._receive(request, folder)
            await self._take(request.match_info["kind"], received)
        except Refusal as refusal:
            return web.Response(status=refusal.status, text=str(refusal))
        except SSLSegError as error:
            return web.Response(status=400, text=str(error).replace(f"{folder}{os.sep}", ""))
        except (ValueError, AssertionError):  # how aiohttp says that a body is no multipart
            return web.Response(status=400, text="The upload is not complete: try again.")
        except OSError as error:
            reason = (error.strerror or "the connection was lost").lower()
            return web.Response(status=507, text=f"The upload cannot be stored ({reason}): tell the server's owner.")
        return web.Response(status=204)

    async def _receive(self, request: web.Request, folder: Path) -> Path:
        """Store what is sent; its path."""
        if request.match_info["kind"] not in KINDS:
            raise Refusal(404, "Only a volume or a segmentation can be uploaded.")
        if (request.content_length or 0) > self._limit + CHUNK_BYTES:
            raise Refusal(413, too_large(self._limit))
        path = folder / checked_name(request.query.get("name", ""))
        folder.mkdir(parents=True, mode=0o700)
        if not request.content_type.startswith("multipart/"):
            await self._store(request.content.iter_chunked(CHUNK_BYTES), path, self._limit)
            return path
        path.mkdir()
        left, count = self._limit, 0
        async for part in await request.multipart():
            count += 1
            if not isinstance(part, BodyPartReader) or count > MAX_FILES:
                raise Refusal(400, f"One upload takes at most {MAX_FILES} files of one DICOM series.")
            left -= await self._store(_chunks(part), path / f"{count:05d}.dcm", left)
        if not count:
            raise Refusal(400, "The upload holds no file: choose one.")
        return path

    async def _store(self, chunks: Any, path: Path, limit: int) -> int:
        size = 0
        with path.open("xb") as stream:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise Refusal(413, too_large(self._limit))
                stream.write(chunk)
        return size


async def _chunks(part: BodyPartReader) -> Any:
    while chunk := await part.read_chunk(CHUNK_BYTES):
        yield chunk


def checked_name(name: str) -> str:
    """``name`` if it is a plain file name.

    Raises:
        Refusal: it is empty, too long, hidden, or would lead to another folder.
    """
    bad = set('/\\:*?"<>|')
    if not name or len(name.encode("utf-8", "replace")) > MAX_NAME or name.startswith((".", " ")) or name.endswith("."):
        raise Refusal(400, "The name of the file is empty or cannot be used: rename it and try again.")
    if any(character in bad or not character.isprintable() for character in name):
        raise Refusal(400, "The name of the file holds characters that are not allowed: rename it and try again.")
    return name
