"""A TCP proxy of ours between the fleet and a server, which can stall, cut, slow and half-close what passes through it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

HOST = "127.0.0.1"
COMMIT = b"COMMIT\x00"
"""How psycopg ends a transaction: a simple query of this text."""

Mode = Literal["through", "drop", "half_open", "slow", "reset"]
CutAt = Literal["before", "after"]
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_CHUNK = 65_536


class ProxyThread:
    """One event loop in a thread of its own, on which every proxy of the process runs."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any], timeout_s: float = 10.0) -> Any:
        """Do `work` on the loop and wait for it."""
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return done.result(timeout_s)

    def stop(self) -> None:
        """End the loop; what still runs on it is dropped."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)


@dataclass(slots=True, eq=False)
class Pair:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_doomed: bool = False

    def reset(self) -> None:
        """End both halves without an orderly close, as a cut cable and a firewall do."""
        for writer in (self.client, self.server):
            _reset(writer)


@dataclass(slots=True)
class Proxy:
    """Listens on `port` and passes on to `upstream`; `mode` says how badly. Its methods may be called from any thread."""

    name: str
    upstream: int
    thread: ProxyThread
    port: int = 0
    mode: Mode = "through"
    delay_s: float = 0.0
    cuts: list[CutAt] = field(default_factory=list)
    cut_commits: int = 0
    _pairs: set[Pair] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _gates: dict[str, asyncio.Event] = field(default_factory=dict)
    _server: asyncio.Server | None = None

    def start(self) -> Proxy:
        """Listen."""
        self.thread.run(self._start())
        return self

    async def _start(self) -> None:
        for name in ("up", "down"):
            self._gates[name] = asyncio.Event()
            self._gates[name].set()
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        """How many connections pass through it now."""
        return len(self._pairs)

    def worsen(self, mode: Mode, delay_s: float = 0.0) -> None:
        """Be in `mode` from now on: `drop` holds all bytes back, `half_open` only the answers, `reset` cuts and refuses."""
        self.thread.run(self._worsen(mode, delay_s))

    async def _worsen(self, mode: Mode, delay_s: float) -> None:
        self.mode, self.delay_s = mode, delay_s
        if mode == "reset":
            self._reset_all()
        for name, closed_in in (("up", {"drop"}), ("down", {"drop", "half_open"})):
            if mode in closed_in:
                self._gates[name].clear()
            else:
                self._gates[name].set()

    def heal(self, *, cut: bool = False) -> None:
        """Pass everything on again; with `cut` what was held back is lost with its connections instead of coming late."""
        self.thread.run(self._heal(cut))

    async def _heal(self, cut: bool) -> None:
        if cut or self.mode == "half_open":
            self._reset_all()
        self.cuts.clear()
        await self._worsen("through", 0.0)

    def reset(self) -> int:
        """Cut every connection once; returns how many there were."""
        count = self.connections
        self.thread.run(self._cut_now())
        return count

    async def _cut_now(self) -> None:
        self._reset_all()

    def cut_at_commit(self, when: CutAt, count: int) -> None:
        """Cut the next `count` connections that COMMIT: `before` Postgres hears of it, or `after` it answered."""
        self.thread.loop.call_soon_threadsafe(self.cuts.extend, [when] * count)

    def stop(self) -> None:
        """Stop listening and cut what is connected."""
        with suppress(Exception):
            self.thread.run(self._stop())

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._reset_all()
        for task in list(self._tasks):
            task.cancel()

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            pair.is_doomed = True
            pair.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "reset":
            _reset(writer)
            return
        try:
            theirs, ours = await asyncio.open_connection(HOST, self.upstream)
        except OSError:
            _reset(writer)
            return
        pair = Pair(writer, ours)
        self._pairs.add(pair)
        tasks = [
            asyncio.ensure_future(self._pump(pair, reader, ours, "up")),
            asyncio.ensure_future(self._pump(pair, theirs, writer, "down")),
        ]
        self._tasks.update(tasks)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._tasks.difference_update(tasks)
            self._pairs.discard(pair)
            for half in (writer, ours):
                half.close()

    async def _pump(
        self, pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Literal["up", "down"]
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(_CHUNK):
                await self._gates[way].wait()
                if self.mode == "slow":
                    await asyncio.sleep(self.delay_s)
                if pair.is_doomed:  # The answer to a COMMIT that was to be lost is here; it is not passed on.
                    pair.reset()
                    return
                if way == "up" and self._is_to_be_cut(data):
                    if self.cuts.pop(0) == "before":
                        pair.reset()
                        return
                    pair.is_doomed = True
                writer.write(data)
                await writer.drain()

    def _is_to_be_cut(self, data: bytes) -> bool:
        if not self.cuts or COMMIT not in data:
            return False
        self.cut_commits += 1
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    writer.transport.abort()
