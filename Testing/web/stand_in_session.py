"""A session process for tests of the gate: keeps the contract, and does on its websocket what it is told.

With the word "stubborn" it does not end when its stdin does; with "broken" it cannot begin; with "mute" it dies first.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from aiohttp import WSMsgType, web

WORKER = "import sys; sys.stdin.read()"


class StandIn:
    def __init__(self, order):
        self.order = order
        self.folder = Path(order["folder"])
        self.worker = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE)

    def end(self):
        self.worker.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def application(self):
        app = web.Application(middlewares=[self.guard()])
        app.router.add_get("/index.html", self.page)
        app.router.add_get("/half", self.half)
        app.router.add_get("/ws", self.socket)
        app.router.add_post("/files/{kind}", self.upload)
        app.router.add_get("/files/{name}", self.file)
        return app

    def guard(self):
        @web.middleware
        async def guard(request, handler):
            if request.headers.get("X-SSLSegment-Secret") != self.order["secret"]:
                return web.Response(status=403)
            return await handler(request)

        return guard

    async def page(self, request):
        facts = {**self.order, "pid": os.getpid(), "worker": self.worker.pid, "headers": dict(request.headers)}
        return web.json_response(facts)

    async def half(self, request):
        """An answer in the middle of which the session dies."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begin")
        await asyncio.sleep(0.2)
        os._exit(3)

    async def upload(self, request):
        received = 0
        async for chunk in request.content.iter_any():
            received += len(chunk)
        (self.folder / "upload").write_text(str(received), encoding="utf-8")
        return web.Response(status=204)

    async def file(self, request):
        return web.FileResponse(self.folder / request.match_info["name"])

    async def socket(self, request):
        socket = web.WebSocketResponse(protocols=["wslink"], max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
                continue
            word, *values = message.data.split()
            if word == "die":
                os._exit(3)
            elif word == "close":
                await socket.close(code=int(values[0]), message=b"as you wish")
            elif word == "flood":
                for _ in range(int(values[0])):
                    await socket.send_bytes(bytes(1 << 20))
            else:
                await socket.send_str(message.data)
        (self.folder / "closed").write_text(str(socket.close_code), encoding="utf-8")
        return socket


def tell(line):
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


async def serve(stand_in):
    runner = web.AppRunner(stand_in.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tell({"port": runner.addresses[0][1]})
    while await asyncio.to_thread(sys.stdin.readline):
        pass
    if "stubborn" in sys.argv:
        await asyncio.sleep(600)
    stand_in.end()
    os._exit(0)  # the thread that reads stdin may wait still


def main():
    order = json.loads(sys.stdin.readline())
    if "broken" in sys.argv:
        tell({"error": "The volume cannot be read: choose another one."})
        sys.exit(1)
    if "mute" in sys.argv:
        sys.exit("no library of that name")
    stand_in = StandIn(order)
    try:
        asyncio.run(serve(stand_in))
    finally:
        stand_in.end()


if __name__ == "__main__":
    main()
