"""A WebSocket server for tests of the channel: a doorkeeper that checks signatures, and documented answers."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PATH = "/trade-api/ws/v2"
TRADE_ID = "d91bc706-ee49-470d-82d8-11418bda6fed"

Command = dict[str, Any]
Message = dict[str, Any]


def params(command: Command) -> dict[str, Any]:
    """What a command asks for."""
    wanted: dict[str, Any] = command["params"]
    return wanted


@dataclass
class Connection:
    """One client, and what it is subscribed to."""

    socket: web.WebSocketResponse
    request: web.Request
    commands: list[Command] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    markets: dict[int, set[str]] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    seqs: dict[int, int] = field(default_factory=dict)
    closed_at: float | None = None

    def asked(self, verb: str) -> list[dict[str, Any]]:
        """The parameters of each command of one kind: subscribe, unsubscribe, add_markets, delete_markets."""
        return [params(each) for each in self.commands if verb in (each["cmd"], params(each).get("action"))]

    def number(self, channel: str = "trade", skip: int = 0) -> dict[str, int]:
        """The next sid and seq of a channel; `skip` numbers are lost on the way."""
        sid = self.channels[channel]
        self.seqs[sid] += 1 + skip
        return {"sid": sid, "seq": self.seqs[sid]}

    async def say(self, message: Message) -> None:
        await self.socket.send_str(json.dumps(message))

    async def trade(self, ticker: str = "A", skip: int = 0, **changes: Any) -> Message:
        """Send the specification's own example of a trade, with some fields of its body changed (None: left out)."""
        body = {
            "trade_id": TRADE_ID,
            "market_ticker": ticker,
            "yes_price_dollars": "0.3600",
            "no_price_dollars": "0.6400",
            "count_fp": "136.00",
            "taker_side": "no",
            "is_block_trade": False,
            "ts": 1669149841,
            "ts_ms": 1669149841123,
        } | changes
        kept = {key: value for key, value in body.items() if value is not None}
        message = {"type": "trade", "sending_ts_ms": 1669149841200, **self.number(skip=skip), "msg": kept}
        await self.say(message)
        return message

    def answer(self, command: Command) -> Message:
        """The documented answer to a command that is in order."""
        wanted, reply = params(command), {"id": command["id"]}
        if command["cmd"] == "subscribe":
            (channel,) = wanted["channels"]
            sid = len(self.seqs) + 1
            self.channels[channel], self.seqs[sid] = sid, 0
            self.markets[sid] = set(wanted.get("market_tickers", ()))
            return {**reply, "type": "subscribed", "msg": {"channel": channel, "sid": sid}}
        (sid,) = wanted["sids"]
        self.seqs[sid] += 1
        numbered = {**reply, "sid": sid, "seq": self.seqs[sid]}
        if command["cmd"] == "unsubscribe":
            self.markets[sid].clear()
            return {**numbered, "type": "unsubscribed"}
        change = {"add_markets": self.markets[sid].update, "delete_markets": self.markets[sid].difference_update}
        change[wanted["action"]](wanted["market_tickers"])
        return {**numbered, "type": "ok", "msg": {"market_tickers": sorted(self.markets[sid])}}


Rule = Callable[[Connection, Command], Message | None]


def as_documented(connection: Connection, command: Command) -> Message | None:
    """The rule of a server that agrees with every command."""
    return connection.answer(command)


class Exchange:
    """The server. `statuses` are the answers to the first handshakes; `rule` answers commands (None: not at all)."""

    def __init__(self, key: RSAPublicKey) -> None:
        self.statuses: list[int] = []
        self.rule: Rule = as_documented
        self.connections: list[Connection] = []
        self.handshakes: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self._key = key

    @property
    def last(self) -> Connection:
        """The newest connection."""
        return self.connections[-1]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.handshakes.append(asyncio.get_running_loop().time())
        self.headers.append(dict(request.headers))
        status = self.statuses.pop(0) if self.statuses else 101
        if status == 101 and not self._known(request):
            status = 401
        if status != 101:
            return web.Response(status=status, text="no secrets here: hunter2")
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        connection = Connection(socket, request)
        self.connections.append(connection)
        async for frame in socket:
            if frame.type is WSMsgType.PONG:
                connection.pongs.append(bytes(frame.data))
            elif frame.type is WSMsgType.TEXT:
                command = json.loads(frame.data)
                connection.commands.append(command)
                connection.arrived.append(asyncio.get_running_loop().time())
                if (answer := self.rule(connection, command)) is not None:
                    await connection.say(answer)
        connection.closed_at = asyncio.get_running_loop().time()
        return socket

    def _known(self, request: web.Request) -> bool:
        stamp = request.headers.get("KALSHI-ACCESS-TIMESTAMP", "")
        signature = base64.b64decode(request.headers.get("KALSHI-ACCESS-SIGNATURE", ""))
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        try:
            self._key.verify(signature, f"{stamp}GET{request.path}".encode(), scheme, hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The server on a free port; the base URL of its REST API."""
        app = web.Application()
        app.router.add_get(PATH, self.handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/trade-api/v2"
        finally:
            await runner.cleanup()
