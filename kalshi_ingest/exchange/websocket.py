"""The exchange's WebSocket: says at once that something happened, so that REST is asked sooner. Needs a key.

It delivers claims, no data: its times are milliseconds, it loses messages and replays nothing, and it does not tell
that a market opened at its `open_time` or closed at its `close_time`.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import orjson
import structlog

from kalshi_ingest.errors import BadPayload, Rejected
from kalshi_ingest.exchange.signing import Sign
from kalshi_ingest.exchange.subscriptions import Event, Gap, OutOfStep, Talk, decoded, error_code
from kalshi_ingest.http.obstacles import MOVED
from kalshi_ingest.http.proxies import proxy_for
from kalshi_ingest.http.retry import RetryPolicy

MAX_MESSAGE_BYTES = 2**20
"""A trade is 400 bytes; the longest honest message lists every market of the subscription."""
SILENCE_SECONDS = 30.0
"""The exchange pings every 10 s, so a longer silence means that the connection is dead."""
REFUSED_SECONDS = 300.0
"""Between two attempts with a key that the exchange refuses."""
STABLE_SECONDS = 60.0
"""A connection that lasted so long shows that reconnecting at once is no burden to anybody."""

_PATH = "/trade-api/ws/v2"
_HANDSHAKE_SECONDS = 10.0
_CLOSE_SECONDS = 0.5
_LONGEST_DELAY = 30.0
_LOOK_SECONDS = 1.0
"""How often the markets that are wanted are compared with those subscribed."""

log = structlog.get_logger()


def channel_url(api_url: str) -> str:
    """The WebSocket that belongs to the REST API at `api_url`; the recommended hosts have one of their own for it."""
    url = urlsplit(api_url)
    host = url.netloc
    if host.startswith("external-api."):
        host = "external-api-ws." + host.removeprefix("external-api.")
    return urlunsplit(("wss" if url.scheme == "https" else "ws", host, _PATH, "", ""))


@dataclass(slots=True)
class ChannelStats:
    """What became of the connections; the counters only ever grow, from one channel to the next."""

    connected: bool = False
    """Whether everything that is wanted is being announced at this moment."""
    connections: int = 0
    """Handshakes that succeeded."""
    gaps: int = 0
    """Times that messages were lost or may have been, the first connection included."""
    messages: int = 0


class Channel:
    """Keeps one connection, subscribed to the trades of the wanted markets and to every market's life."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        sign: Sign,
        listener: Callable[[Event], None],
        random: Random | None = None,
        *,
        stats: ChannelStats | None = None,
    ) -> None:
        """`listener` is called with each event in the event loop; it must neither wait nor raise."""
        self.stats = stats or ChannelStats()
        self.watched: frozenset[str] = frozenset()
        """The markets whose trades are being announced at this moment."""
        self._http = http
        self._url = "http" + url.removeprefix("ws")  # the same to aiohttp, and what a proxy understands
        self._proxy = proxy_for(self._url)
        self._sign = sign
        self._listener = listener
        self._delay = RetryPolicy(first_delay=0.5, longest_delay=_LONGEST_DELAY, random=random or Random()).delay
        self._refused = False
        self._codes: set[int] = set()

    async def run(self, tickers: Callable[[], Collection[str]]) -> None:
        """Stay connected until cancelled; `tickers` gives the wanted markets and is asked every second.

        Tells a `Gap` each time the connection is lost and each time everything that is wanted is subscribed again, a
        `Watched` for markets added in between.
        """
        # A session of its own over the same connector: its handshakes go to one host, and take no cookie along.
        async with aiohttp.ClientSession(
            connector=self._http.connector,
            connector_owner=False,
            headers=self._http.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_stay,),
        ) as http:
            await self._keep_connected(http, tickers)

    async def _keep_connected(self, http: aiohttp.ClientSession, tickers: Callable[[], Collection[str]]) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                reason = await self._connection(http, tickers)
                failures = 1 if loop.time() - started > STABLE_SECONDS else failures + 1
                delay = self._delay(failures)
            except Rejected as error:
                reason, delay = str(error), REFUSED_SECONDS
                self._warn_once(error)
            finally:
                was_connected, self.stats.connected, self.watched = self.stats.connected, False, frozenset()
            if was_connected:
                self._tell(Gap(f"connection lost: {reason}"))
            log.info("websocket_disconnected", reason=reason, seconds_to_next_attempt=round(delay, 1))
            await asyncio.sleep(delay)

    async def _connection(self, http: aiohttp.ClientSession, tickers: Callable[[], Collection[str]]) -> str:
        """One connection from handshake to end, and why it ended.

        Raises `Rejected` when the key or a command is refused, or the handshake is sent elsewhere.
        """
        headers = self._sign(urlsplit(self._url).path)
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                socket = await http.ws_connect(
                    self._url,
                    headers=headers,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=SILENCE_SECONDS, ws_close=_CLOSE_SECONDS),
                    max_msg_size=MAX_MESSAGE_BYTES,
                    proxy=None if self._proxy is None else self._proxy.url,
                )
        except aiohttp.WSServerHandshakeError as error:  # its text may hold the signed headers
            if error.status in (401, 403):
                raise Rejected(f"handshake: status {error.status}", error.status) from None
            return f"handshake: status {error.status}"
        except (aiohttp.ClientError, OSError) as error:
            through = "" if self._proxy is None else f" through {self._proxy}"
            status = f" {error.status}" if isinstance(error, aiohttp.ClientHttpProxyError) else ""
            return f"handshake: {type(error).__name__}{status}{through}"
        self.stats.connections += 1
        try:
            return await self._until_the_end(socket, Talk(tickers, self._delay))
        finally:
            await socket.close()

    async def _until_the_end(self, socket: aiohttp.ClientWebSocketResponse, talk: Talk) -> str:
        hearing = asyncio.create_task(self._hear(socket, talk))
        asking = asyncio.create_task(self._ask(socket, talk))
        try:
            done, _ = await asyncio.wait((hearing, asking), return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        except OutOfStep as error:
            return str(error)
        except (aiohttp.ClientError, OSError) as error:
            return type(error).__name__
        finally:
            hearing.cancel()
            asking.cancel()
            await asyncio.gather(hearing, asking, return_exceptions=True)

    async def _ask(self, socket: aiohttp.ClientWebSocketResponse, talk: Talk) -> str:
        """Keep what is subscribed equal to what is wanted."""
        while True:
            await self._advance(socket, talk)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, talk: Talk) -> str:
        """Take in messages until there are no more; why there are none."""
        while True:
            try:
                frame = await socket.receive()
            except TimeoutError:
                return f"silence for {SILENCE_SECONDS:.0f} s"
            if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return f"closed with code {socket.close_code}"
            self.stats.messages += 1
            waiting = talk.waiting
            self._take(frame.data, talk)
            if waiting and not talk.waiting:
                await self._advance(socket, talk)

    async def _advance(self, socket: aiohttp.ClientWebSocketResponse, talk: Talk) -> None:
        command = talk.command(asyncio.get_running_loop().time())
        self._settle(talk)
        if command is not None:
            await socket.send_str(orjson.dumps(command).decode())

    def _take(self, data: str | bytes, talk: Talk) -> None:
        try:
            message = decoded(data)
            self._note(error_code(message))
            events = talk.hear(message, asyncio.get_running_loop().time())
        except BadPayload as error:
            events = [Gap(str(error))]
        self._settle(talk)
        for event in events:
            self._tell(event)

    def _settle(self, talk: Talk) -> None:
        """Show the outside what is subscribed; from the moment that everything is, REST can fill what was missed."""
        was_connected, self.stats.connected, self.watched = self.stats.connected, talk.in_step, talk.watched
        if self.stats.connected and not was_connected:
            self._refused = False
            log.info("websocket_connected", markets=len(self.watched))
            self._tell(Gap("subscribed: nothing before was announced"))

    def _tell(self, event: Event) -> None:
        if isinstance(event, Gap):
            self.stats.gaps += 1
            log.debug("websocket_gap", reason=event.reason)
        self._listener(event)

    def _note(self, code: int | None) -> None:
        if code is not None and code not in self._codes:
            self._codes.add(code)
            log.warning("websocket_error", error_code=code, consequence="live trades may be late, none is lost")

    def _warn_once(self, error: Rejected) -> None:
        if not self._refused:
            self._refused = True
            advice = "check KALSHI_INGEST_API_KEY_ID, KALSHI_INGEST_PRIVATE_KEY_PATH and this machine's clock"
            log.warning(
                "websocket_refused",
                reason=str(error),
                advice="check KALSHI_INGEST_API_URL" if error.status in MOVED else advice,
                minutes_to_next_attempt=REFUSED_SECONDS / 60,
            )


async def _stay(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A redirect is refused: aiohttp would follow it, and take the signed headers along to wherever it points."""
    response = await handler(request)
    if response.status in MOVED:
        response.close()
        raise Rejected(f"handshake: redirected elsewhere (status {response.status})", response.status)
    return response
