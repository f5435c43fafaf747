"""A balancer as unkind as can be: every single request goes to a random node, whatever connection it came over.

Answers stream through as they come. What was asked and what came is kept: .requests, one for each answer.
"""
import asyncio
import dataclasses
import random
import threading
import time

HOST = "127.0.0.1"
HEAD_BYTES_MAX = 65536
COPY_BYTES = 65536
# Of the connection to the player, not of the answer.
HOP_BY_HOP = (b"connection", b"keep-alive", b"proxy-connection")


@dataclasses.dataclass
class Request:
    began: float  # unix time, s
    path: str
    node: str
    status: int = 0  # 0: no answer
    first_s: float = 0  # until the answer's head
    total_s: float = 0
    bytes: int = 0
    whole: bool = False  # False: the player went away, or the node did
    left: bool = False   # the player did

    def is_miss(self):
        return (self.status == 0 and not self.left) or self.status >= 400

    def line(self):
        return (f"{self.began:.3f} {self.node} {self.status} {self.bytes:7} {self.first_s * 1000:7.1f} {self.total_s * 1000:7.1f} "
                f"{'' if self.whole else 'CUT '}{self.path}")


class Gone(Exception):
    """The node: not there, or its answer broke off."""


class Balancer:
    """balancer.port on loopback; .nodes is {id: (host, port)} of those that may be chosen and may be replaced at any time."""

    def __init__(self, nodes, seed=None):
        self.nodes = dict(nodes)
        self.random = random.Random(seed)
        self.requests = []
        self.refused = 0
        self.port = None
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self.thread.start()
        self.ready.wait()

    def url(self, path):
        return f"http://{HOST}:{self.port}{path}"

    def misses(self):
        return [r for r in list(self.requests) if r.is_miss()]

    def shares(self):
        """{node: answers}"""
        out = {}
        for r in list(self.requests):
            out[r.node] = out.get(r.node, 0) + 1
        return out

    def write(self, path):
        with open(path, "w") as f:
            f.writelines(r.line() + "\n" for r in list(self.requests))

    def finish(self):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join()

    # --- in its thread ---

    async def _main(self):
        self.loop = asyncio.get_running_loop()
        self.over = asyncio.Event()
        players = set()

        async def serve(reader, writer):
            players.add(asyncio.current_task())
            try:
                await self._serve(reader, writer)
            finally:
                players.discard(asyncio.current_task())
                writer.close()

        server = await asyncio.start_server(serve, HOST, 0, limit=HEAD_BYTES_MAX)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.over.wait()
        server.close()
        for task in list(players):
            task.cancel()
        await asyncio.gather(*players, return_exceptions=True)

    async def _serve(self, reader, writer):
        """One player's connection: a request after the other."""
        ahead = b""
        try:
            while True:
                head = ahead + await reader.readuntil(b"\r\n\r\n")
                answer = asyncio.create_task(self._answer(head, writer))
                more = asyncio.create_task(reader.read(1))
                await asyncio.wait((answer, more), return_when=asyncio.FIRST_COMPLETED)
                if more.done() and more.result() == b"":
                    answer.cancel()
                    await asyncio.gather(answer, return_exceptions=True)
                    return
                await answer
                ahead = await self._ahead(reader, more)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, Gone):
            pass

    @staticmethod
    async def _ahead(reader, more):
        """The first byte of the next request."""
        byte = await more
        if not byte:
            raise asyncio.IncompleteReadError(b"", 1)
        return byte

    async def _answer(self, head, writer):
        began = time.monotonic()
        request = Request(time.time(), head.split(b" ", 2)[1].decode("latin-1"), "")
        try:
            upstream, up = await self._connect(request)
            try:
                await self._exchange(head, request, upstream, up, writer, began)
            finally:
                up.close()
        except asyncio.CancelledError:
            request.left = True
            raise
        finally:
            request.total_s = time.monotonic() - began
            self.requests.append(request)

    async def _connect(self, request):
        """A connection to a random node; who refuses is left out, as any balancer does."""
        left = dict(self.nodes)
        while left:
            request.node = self.random.choice(list(left))
            try:
                return await asyncio.open_connection(*left.pop(request.node), limit=HEAD_BYTES_MAX)
            except ConnectionError:
                self.refused += 1
        raise Gone

    async def _exchange(self, head, request, upstream, up, writer, began):
        up.write(without(head, HOP_BY_HOP)[:-2] + b"Connection: close\r\n\r\n")
        try:
            answer = await upstream.readuntil(b"\r\n\r\n")
            request.first_s = time.monotonic() - began
            request.status = int(answer.split(b" ", 2)[1])
            writer.write(without(answer, HOP_BY_HOP))
            await self._copy(head, answer, request, upstream, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as e:
            raise Gone from e
        request.whole = True

    @staticmethod
    async def _copy(head, answer, request, upstream, writer):
        length = field(answer, b"content-length")
        if head.startswith(b"HEAD ") or request.status in (204, 304):
            length = 0
        # Without a length it is chunked, whose end is the end of this connection.
        left = int(length) if length is not None else None
        while left is None or left > 0:
            data = await upstream.read(COPY_BYTES if left is None else min(left, COPY_BYTES))
            if not data:
                break
            request.bytes += len(data)
            left = left - len(data) if left is not None else None
            writer.write(data)
            await writer.drain()
        if left:
            raise asyncio.IncompleteReadError(b"", left)


def field(head, name):
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def without(head, names):
    lines = head.split(b"\r\n")
    return b"\r\n".join(lines[:1] + [l for l in lines[1:] if l.partition(b":")[0].strip().lower() not in names])
