"""The venue's WebSocket side: who is connected, what they listen to, and what each of them is sent."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from simulator.account import Account
from simulator.channels import Channel, open_channel
from simulator.state import Change
from simulator.venue import Venue

QUEUE = 5000  # messages a slow reader may be behind before it is cut off
NAME = re.compile(r"^(![a-zA-Z]+|[a-z0-9_]+)(@[A-Za-z0-9_]+)*$")


@dataclass(eq=False, slots=True)
class Connection:
    """One socket: its subscriptions, or the account it hears of, and what still has to be sent to it."""

    socket: web.WebSocketResponse
    is_wrapped: bool
    api_key: str = ""
    streams: set[str] = field(default_factory=set)
    queue: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    is_zombie: bool = False

    def push(self, text: str) -> None:
        """Line a message up; a reader too far behind is cut off."""
        if self.is_zombie:
            return
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        """End the connection after what is lined up was dropped."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Hub:
    """All connections and channels; `poll` is called a few times a second and costs nothing for what nobody hears."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.sent = 0
        self._all: set[Connection] = set()
        self._channels: dict[str, Channel] = {}
        self._listeners: dict[str, set[Connection]] = {}
        venue.tell = self.tell

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        return len(self._all)

    @property
    def streams(self) -> int:
        """How many channels somebody listens to."""
        return len(self._channels)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One socket from handshake to end."""
        fault = self.venue.faults.consult("ws.handshake", self.venue.clock.now_ms(), path=request.path)
        if fault is not None:
            return web.Response(status=503)
        tail = request.match_info.get("tail", "")
        wanted = [name for name in (request.query.get("streams") or tail).split("/") if "@" in name or "!" in name]
        connection = Connection(web.WebSocketResponse(autoping=True), "/stream" in request.path)
        key = request.query.get("listenKey") or (tail if len(tail) == 64 else "")
        if key and not self._admit(connection, key):
            return web.json_response({"code": -1125, "msg": "This listenKey does not exist."}, status=400)
        await connection.socket.prepare(request)
        self._all.add(connection)
        for name in wanted:
            self._subscribe(connection, name)
        writer = asyncio.create_task(self._write(connection))
        try:
            await self._read(connection)
        finally:
            self._leave(connection)
            writer.cancel()
        return connection.socket

    def _admit(self, connection: Connection, key: str) -> bool:
        now_ms = self.venue.clock.now_ms()
        for account in self.venue.accounts.values():
            if account.listen_key == key and account.listen_key_until_ms > now_ms:
                connection.api_key = account.api_key
        return bool(connection.api_key)

    async def _write(self, connection: Connection) -> None:
        while not connection.socket.closed:
            text = await connection.queue.get()
            if text is None:
                await connection.socket.close()
                return
            try:
                await connection.socket.send_str(text)
            except ConnectionError:
                return

    async def _read(self, connection: Connection) -> None:
        async for message in connection.socket:
            if message.type is WSMsgType.TEXT:
                connection.push(orjson.dumps(self._obey(connection, message.data)).decode())

    def _obey(self, connection: Connection, text: str) -> dict[str, Any]:
        try:
            wish = orjson.loads(text)
            method, names, number = wish["method"], list(wish.get("params") or []), wish.get("id")
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return {"error": {"code": 2, "msg": "Invalid request: malformed"}, "id": None}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(connection.streams), "id": number}
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return {"error": {"code": 2, "msg": f"Invalid request: unknown method {method}"}, "id": number}
        act = self._subscribe if method == "SUBSCRIBE" else self._unsubscribe
        if not all(isinstance(name, str) and act(connection, name) for name in names):
            return {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": number}
        return {"result": None, "id": number}

    def _subscribe(self, connection: Connection, name: str) -> bool:
        channel = self._channels.get(name)
        if channel is None:
            channel = open_channel(self.venue, name) if NAME.match(name) else None
            if channel is None:
                return False
            self._channels[name] = channel
        connection.streams.add(name)
        self._listeners.setdefault(name, set()).add(connection)
        return True

    def _unsubscribe(self, connection: Connection, name: str) -> bool:
        connection.streams.discard(name)
        listeners = self._listeners.get(name, set())
        listeners.discard(connection)
        if not listeners and name in self._channels:
            self._channels.pop(name).close()
            self._listeners.pop(name, None)
        return True

    def _leave(self, connection: Connection) -> None:
        self._all.discard(connection)
        for name in list(connection.streams):
            self._unsubscribe(connection, name)

    def poll(self, now_ms: int) -> None:
        """Ask every channel what is new and send it to its listeners."""
        for name, channel in list(self._channels.items()):
            for event in channel.poll(now_ms):
                self._send(self._listeners.get(name, set()), name, event)

    def tell(self, api_key: str, event: dict[str, Any]) -> None:
        """Send a user event to the account's sockets."""
        self._send({c for c in self._all if c.api_key == api_key}, str(event["e"]), event)

    def _send(self, listeners: set[Connection], name: str, event: Any) -> None:
        plain = wrapped = ""
        for connection in list(listeners):
            if connection.is_wrapped:
                wrapped = wrapped or orjson.dumps({"stream": name, "data": event}).decode()
            else:
                plain = plain or orjson.dumps(event).decode()
            self._deliver(connection, wrapped if connection.is_wrapped else plain, name)

    def _deliver(self, connection: Connection, text: str, name: str) -> None:
        self.sent += 1
        fault = self.venue.faults.consult(
            "ws.send", self.venue.clock.now_ms(), stream=name, api_key=connection.api_key
        )  # fmt: skip
        if fault is None:
            connection.push(text)
        elif fault.kind == "zombie":
            connection.is_zombie = True
        elif fault.kind == "disconnect":
            connection.cut()
        elif fault.kind == "duplicate":
            connection.push(text)
            connection.push(text)

    def wake_zombies(self) -> None:
        """Let silent connections speak again."""
        for connection in self._all:
            connection.is_zombie = False

    def expire_listen_key(self, account: Account) -> None:
        """Take a listen key away and say so; its sockets stay open and hear nothing more."""
        if not account.listen_key:
            return
        now_ms = self.venue.clock.now_ms()
        event = {"e": "listenKeyExpired", "E": now_ms, "T": now_ms, "listenKey": account.listen_key}
        account.listen_key, account.listen_key_until_ms = "", 0
        self.venue.commit(Change(accounts={account.api_key: account}, events=[(account.api_key, event)]), now_ms)
        for connection in self._all:
            if connection.api_key == account.api_key:
                connection.api_key = ""

    def expire_due_keys(self, now_ms: int) -> None:
        """Take away the listen keys whose hour is over."""
        for account in self.venue.accounts.values():
            if account.listen_key and account.listen_key_until_ms <= now_ms:
                self.expire_listen_key(account)

    async def close(self) -> None:
        """Close every socket."""
        closing: list[Callable[[], Any]] = [c.socket.close for c in self._all]
        await asyncio.gather(*(close() for close in closing), return_exceptions=True)
