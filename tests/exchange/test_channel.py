"""The channel over real WebSockets, on a virtual clock: what it claims, what it admits to miss, how it returns."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_ingest.errors import BadPayload, Rejected
from kalshi_ingest.exchange.channel import MAX_MESSAGE_BYTES, SILENCE_SECONDS, Channel, channel_url
from kalshi_ingest.exchange.channel_messages import Changed, Event, Gap, Traded, Watched
from kalshi_ingest.exchange.channel_talk import ANSWER_SECONDS, MARKETS_PER_COMMAND, OutOfStep, Talk
from kalshi_ingest.exchange.signing import Signer
from tests import virtual_clock
from tests.exchange.channel_serving import TRADE_ID, Command, Connection, Exchange, Message, as_documented, params
from tests.exchange.serving import GRACE

KEY_ID = "a952bcbe-ec3b-4b5b-b8f9-11dae589608c"
KEY = generate_private_key(65537, 2048)
TRADED = Traded("A", UUID(TRADE_ID).bytes, 1669149841123)
SUBSCRIBED = Gap("subscribed: nothing before was announced")


def pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Stage:
    """Both sides of a test: the server, the running channel, what it told, and the markets that are wanted."""

    exchange: Exchange
    channel: Channel
    running: asyncio.Task[None]
    wanted: set[str]
    events: list[Event] = field(default_factory=list)

    async def until(self, happened: Callable[[], object], seconds: float = 120) -> None:
        """Let virtual time pass until something holds."""
        end = asyncio.get_running_loop().time() + seconds
        while not happened():
            assert not self.running.done(), "run() never ends by itself"
            assert asyncio.get_running_loop().time() < end, f"did not happen within {seconds} s; told: {self.events}"
            await asyncio.sleep(0.1 if seconds <= 120 else 1)

    async def in_step(self, connection: int = 1) -> Connection:
        """Wait until everything is subscribed on the n-th connection."""
        await self.until(lambda: self.channel.connected and len(self.exchange.connections) >= connection)
        return self.exchange.last

    async def told(self) -> list[Event]:
        """What was told since the last time, once everything under way has arrived."""
        await asyncio.sleep(0.2)
        events = self.events[:]
        self.events.clear()
        return events

    def gaps(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, Gap)]


Scene = Callable[[Stage], Awaitable[Any]]


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_bytes(pem(KEY))
    return path


@pytest.fixture
def play(key_file: Path) -> Callable[..., Any]:
    """Runs a scene: `play(scene, wanted=…, prepare=…)`; `prepare` changes the server before the channel starts."""

    def played(
        scene: Scene, wanted: Collection[str] = ("A",), prepare: Callable[[Exchange], None] | None = None
    ) -> Any:
        async def scenario() -> Any:
            exchange = Exchange(KEY.public_key())
            if prepare is not None:
                prepare(exchange)
            async with staged(exchange, Signer(KEY_ID, key_file), set(wanted)) as stage:
                return await scene(stage)

        return virtual_clock.run(scenario(), grace=GRACE)

    return played


@asynccontextmanager
async def staged(exchange: Exchange, signer: Signer, wanted: set[str]) -> AsyncIterator[Stage]:
    events: list[Event] = []
    async with exchange.serving() as api_url, aiohttp.ClientSession() as http:
        channel = Channel(http, channel_url(api_url), signer, events.append, Random(1))
        running = asyncio.create_task(channel.run(lambda: wanted))
        try:
            yield Stage(exchange, channel, running, wanted, events)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("api", "channel"),
    [
        ("https://external-api.kalshi.com/trade-api/v2", "wss://external-api-ws.kalshi.com/trade-api/ws/v2"),
        ("https://external-api.demo.kalshi.co/trade-api/v2/", "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2"),
        ("https://api.elections.kalshi.com/trade-api/v2", "wss://api.elections.kalshi.com/trade-api/ws/v2"),
        ("https://demo-api.kalshi.co/trade-api/v2", "wss://demo-api.kalshi.co/trade-api/ws/v2"),
        ("http://127.0.0.1:8080/trade-api/v2", "ws://127.0.0.1:8080/trade-api/ws/v2"),
        ("http://[::1]:8080/trade-api/v2", "ws://[::1]:8080/trade-api/ws/v2"),
    ],
)
def test_the_address_follows_from_that_of_rest(api: str, channel: str) -> None:
    assert channel_url(api) == channel


# --- handshake and subscriptions


def test_the_handshake_is_signed_and_both_channels_are_subscribed(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        await stage.until(lambda: stage.channel.connected, seconds=0.5)
        connection = stage.exchange.last
        (headers,) = stage.exchange.headers
        assert headers["KALSHI-ACCESS-KEY"] == KEY_ID
        assert re.fullmatch(r"1[0-9]{12}", headers["KALSHI-ACCESS-TIMESTAMP"]), "milliseconds"
        assert connection.asked("subscribe") == [
            {"channels": ["market_lifecycle_v2"]},
            {"channels": ["trade"], "market_tickers": ["A", "B"]},
        ]
        assert len({command["id"] for command in connection.commands}) == 2
        assert stage.channel.watched == {"A", "B"}
        assert await stage.told() == [SUBSCRIBED], "whatever happened before has to be asked for"
        assert (stage.channel.connections, stage.channel.messages, stage.channel.gaps) == (1, 2, 1)

    play(scene, wanted=["B", "A"])


def test_the_gap_is_told_after_the_subscription_is_in_force(play: Callable[..., Any]) -> None:
    """REST asked any earlier would leave a hole between its answer and the first message."""
    held: list[tuple[Connection, Command]] = []

    def hold(connection: Connection, command: Command) -> Message | None:
        if params(command)["channels"] == ["trade"]:
            held.append((connection, command))
            return None
        return connection.answer(command)

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: held)
        await asyncio.sleep(2)
        assert await stage.told() == []
        assert not stage.channel.connected
        ((connection, command),) = held
        await connection.say(connection.answer(command))
        assert await stage.told() == [SUBSCRIBED]
        assert stage.channel.connected

    play(scene, prepare=lambda exchange: setattr(exchange, "rule", hold))


def test_the_subscription_follows_the_wanted_markets(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        stage.wanted.update({"C", "D"})
        await stage.until(lambda: stage.channel.watched == {"A", "B", "C", "D"}, seconds=1.5)
        assert await stage.told() == [Watched(frozenset({"C", "D"}))]
        stage.wanted.difference_update({"A", "B"})
        await stage.until(lambda: stage.channel.watched == {"C", "D"}, seconds=1.5)
        stage.wanted.symmetric_difference_update({"C", "E"})
        await stage.until(lambda: stage.channel.watched == {"D", "E"}, seconds=2.5)
        sid = connection.channels["trade"]
        assert connection.markets[sid] == {"D", "E"}
        assert connection.commands[2]["params"] == {
            "sids": [sid],
            "market_tickers": ["C", "D"],
            "action": "add_markets",
        }
        assert [each["market_tickers"] for each in connection.asked("delete_markets")] == [["A", "B"], ["C"]]
        await connection.trade("E")
        assert await stage.told() == [Watched(frozenset({"E"})), Traded("E", TRADED.trade_id, TRADED.created_ms)], (
            "the answers to commands count in seq too, so they make no gap"
        )

    play(scene, wanted=["A", "B"])


def test_without_a_market_no_trades_are_subscribed_for_that_would_be_those_of_the_whole_exchange(
    play: Callable[..., Any],
) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await asyncio.sleep(3)
        assert connection.asked("subscribe") == [{"channels": ["market_lifecycle_v2"]}]
        stage.wanted.add("A")
        await stage.until(lambda: stage.channel.watched == {"A"})
        stage.wanted.clear()
        await stage.until(lambda: stage.channel.watched == set())
        assert stage.channel.connected
        assert connection.asked("unsubscribe") == [{"sids": [connection.channels["trade"]]}]
        assert connection.asked("delete_markets") == []
        stage.wanted.add("B")
        await stage.until(lambda: stage.channel.watched == {"B"})
        assert await stage.told() == [SUBSCRIBED] * 3
        assert connection.asked("subscribe")[-1] == {"channels": ["trade"], "market_tickers": ["B"]}

    play(scene, wanted=[])


def test_all_markets_changed_at_once_never_leaves_an_empty_subscription(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        stage.wanted.clear()
        stage.wanted.update({"X", "Y"})
        await stage.until(lambda: stage.channel.watched == {"X", "Y"})
        assert [params(each).get("action") for each in connection.commands[2:]] == ["add_markets", "delete_markets"]

    play(scene, wanted=["A", "B"])


def test_many_markets_go_in_batches(play: Callable[..., Any]) -> None:
    many = {f"KXHIGHCHI-26NOV22-B{number}" for number in range(2 * MARKETS_PER_COMMAND + 1)}

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: len(stage.channel.watched) == len(many), seconds=5)
        asked = [len(params(each).get("market_tickers", ())) for each in stage.exchange.last.commands]
        assert asked == [0, MARKETS_PER_COMMAND, MARKETS_PER_COMMAND, 1]
        assert stage.exchange.last.markets[2] == many

    play(scene, wanted=many)


# --- what is claimed


def test_trades_and_changes_are_told_and_what_is_unknown_is_ignored(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        await connection.trade(new_field={"deep": [1]})
        for kind in ("created", "settled", "a new word"):
            body = {"market_ticker": "M", "event_type": kind, "additional_metadata": {"title": "°"}}
            numbers = connection.number("market_lifecycle_v2")
            await connection.say({"type": "market_lifecycle_v2", **numbers, "msg": body})
        for odd in ("event_lifecycle", "event_fee_update", "ticker", 7, None):
            await connection.say(
                {"type": odd, **connection.number("market_lifecycle_v2"), "msg": {"event_ticker": "E"}}
            )
        odd_bodies: list[Any] = [{"market_ticker": "M"}, {"event_type": "created", "market_ticker": 1}, None, []]
        for unreadable in odd_bodies:
            numbers = connection.number("market_lifecycle_v2")
            await connection.say({"type": "market_lifecycle_v2", **numbers, "msg": unreadable})
        await connection.say({"msg": {}})
        assert await stage.told() == [
            TRADED,
            Changed("M", "created"),
            Changed("M", "settled"),
            Changed("M", "a new word"),
        ]
        assert stage.channel.connected

    play(scene)


MALFORMED: dict[str, list[Any]] = {
    "trade_id": [
        None,
        "",
        7,
        TRADE_ID.replace("-", ""),
        TRADE_ID[:-1],
        "{" + TRADE_ID[1:-1] + "}",
        "x" * 36,
        [TRADE_ID],
    ],
    "market_ticker": [None, "", 7, ["A"]],
    "ts_ms": [None, "1669149841123", -1, 1.5, True],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_trade_that_cannot_be_read_is_a_gap_that_names_the_field(play: Callable[..., Any], name: str) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        for value in MALFORMED[name]:
            await connection.trade(**{name: value})
        assert await stage.told() == [Gap(f"a trade's {name} is missing or malformed")] * len(MALFORMED[name])
        await connection.trade()
        assert await stage.told() == [TRADED]
        assert len(stage.exchange.connections) == 1

    play(scene)


@pytest.mark.parametrize("change", [{"msg": None}, {"msg": "text"}, {"seq": None}, {"sid": "1"}, {"seq": 1.0}])
def test_a_trade_without_a_body_or_a_number_is_a_gap(play: Callable[..., Any], change: dict[str, object]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        good = await connection.trade()
        await stage.told()
        await connection.say(good | connection.number() | change)
        (event,) = await stage.told()
        assert isinstance(event, Gap)

    play(scene)


# --- lost and doubled messages


def test_a_jump_of_seq_is_a_gap_and_what_follows_is_told(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        await connection.trade(skip=41)
        assert await stage.told() == [TRADED], "the first number starts the count"
        await connection.trade()
        await connection.trade(skip=2)
        await connection.trade()
        assert await stage.told() == [TRADED, Gap("trade: seq jumps from 43 to 46"), TRADED, TRADED]
        assert (stage.channel.gaps, stage.channel.connections) == (2, 1)

    play(scene)


def test_each_subscription_has_a_count_of_its_own(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        body = {"market_ticker": "M", "event_type": "settled"}
        for _ in range(3):
            await connection.trade()
            numbers = connection.number("market_lifecycle_v2")
            await connection.say({"type": "market_lifecycle_v2", **numbers, "msg": body})
        assert await stage.told() == [TRADED, Changed("M", "settled")] * 3
        await connection.say({"type": "event_lifecycle", **connection.number("market_lifecycle_v2", skip=1), "msg": {}})
        assert await stage.told() == [Gap("event_lifecycle: seq jumps from 3 to 5")], "unknown messages count too"

    play(scene)


def test_what_comes_twice_is_told_once(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        first = await connection.trade()
        second = await connection.trade(ts_ms=1669149841124)
        await connection.say(second)
        await connection.say(first)
        await connection.trade()
        assert await stage.told() == [TRADED, Traded("A", TRADED.trade_id, 1669149841124), TRADED]

    play(scene)


# --- lost connections


async def close(connection: Connection) -> None:
    await connection.socket.close(code=1001)


async def abort(connection: Connection) -> None:
    assert connection.request.transport is not None
    connection.request.transport.abort()


async def too_large(connection: Connection) -> None:
    await connection.socket.send_str('{"type":"' + "x" * MAX_MESSAGE_BYTES + '"}')


async def broken_frame(connection: Connection) -> None:
    assert connection.request.transport is not None
    connection.request.transport.write(b"\xff\xff\xff\xff")


async def half_a_character(connection: Connection) -> None:
    assert connection.request.transport is not None
    connection.request.transport.write(b"\x81\x01\xe2")


@pytest.mark.parametrize("end", [close, abort, too_large, broken_frame, half_a_character])
def test_a_lost_connection_is_a_gap_and_everything_is_subscribed_again(
    play: Callable[..., Any], end: Callable[[Connection], Awaitable[None]]
) -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.in_step()
        await first.trade()
        await stage.told()
        stage.wanted.add("B")
        await end(first)
        await stage.until(lambda: not stage.channel.connected, seconds=1)
        assert stage.channel.watched == set()
        second = await stage.in_step(2)
        assert second.asked("subscribe") == [
            {"channels": ["market_lifecycle_v2"]},
            {"channels": ["trade"], "market_tickers": ["A", "B"]},
        ]
        lost, *rest = await stage.told()
        assert isinstance(lost, Gap)
        assert lost.reason.startswith("connection lost: ")
        assert rest == [SUBSCRIBED]
        await second.trade()
        assert await stage.told() == [TRADED], "a new connection counts anew"
        assert (stage.channel.connections, stage.channel.gaps) == (2, 3)

    play(scene)


def test_silence_is_a_lost_connection_and_pings_are_no_silence(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        for _ in range(12):
            await connection.socket.ping(b"heartbeat")
            await asyncio.sleep(10)
        assert connection.pongs == [b"heartbeat"] * 12
        assert stage.channel.connections == 1
        await asyncio.sleep(SILENCE_SECONDS - 10.5)
        assert stage.channel.connections == 1
        await stage.in_step(2)
        assert f"connection lost: silence for {SILENCE_SECONDS:.0f} s" in stage.gaps()

    play(scene)


def test_while_nobody_answers_attempts_are_spaced_and_never_end(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        stage.exchange.statuses += [503, 429, 404, 502] * 100
        await stage.told()
        await close(connection)
        await asyncio.sleep(3600)
        attempts = stage.exchange.handshakes
        assert 120 < len(attempts) < 400
        assert max(later - earlier for earlier, later in pairwise(attempts)) < 31
        assert len(await stage.told()) == 1, "nothing is lost twice"
        stage.exchange.statuses.clear()
        await stage.in_step(2)

    play(scene)


def test_a_connection_that_dies_at_once_each_time_makes_no_storm(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        end = asyncio.get_running_loop().time() + 180
        while asyncio.get_running_loop().time() < end:
            await close(await stage.in_step(len(stage.exchange.connections)))
            await stage.until(lambda: not stage.channel.connected)
        assert 10 < len(stage.exchange.handshakes) < 40

    play(scene)


def test_nobody_at_the_address(key_file: Path) -> None:
    async def scenario() -> None:
        async with aiohttp.ClientSession() as http:
            channel = Channel(http, "ws://127.0.0.1:9/trade-api/ws/v2", Signer(KEY_ID, key_file), lambda _: None)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(600):
                    await channel.run(lambda: ["A"])
            assert (channel.connections, channel.connected, channel.gaps) == (0, False, 0)

    virtual_clock.run(scenario(), grace=GRACE)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_told_once_and_tried_every_five_minutes(play: Callable[..., Any], status: int) -> None:
    async def scene(stage: Stage) -> None:
        with structlog.testing.capture_logs() as lines:
            await asyncio.sleep(3600)
        assert 12 <= len(stage.exchange.handshakes) <= 13
        warnings = [line for line in lines if line["log_level"] == "warning"]
        assert len(warnings) == 1
        assert "KALSHI_INGEST_PRIVATE_KEY_PATH" in warnings[0]["advice"]
        assert stage.events == []
        stage.exchange.statuses.clear()
        await stage.in_step()
        assert await stage.told() == [SUBSCRIBED]

    play(scene, prepare=lambda exchange: exchange.statuses.extend([status] * 100))


def test_the_test_s_doorkeeper_refuses_another_key(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(pem(generate_private_key(65537, 2048)))

    async def scenario() -> None:
        async with staged(Exchange(KEY.public_key()), Signer(KEY_ID, other), {"A"}) as stage:
            await stage.until(lambda: stage.exchange.handshakes)
            await asyncio.sleep(1)
            assert stage.channel.connections == 0

    virtual_clock.run(scenario(), grace=GRACE)


# --- errors


def error(code: object, **more: object) -> Message:
    return {"type": "error", **more, "msg": {"code": code, "msg": "hunter2 was here"}}


@pytest.mark.parametrize("code", [10, 25])
@pytest.mark.parametrize("channel", ["trade", "market_lifecycle_v2"])
def test_an_error_that_ends_a_subscription_is_a_gap_and_it_is_subscribed_again(
    play: Callable[..., Any], code: int, channel: str
) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await connection.trade()
        await stage.told()
        await connection.say(error(code, **connection.number(channel)))
        await stage.until(lambda: not stage.channel.connected, seconds=0.5)
        await stage.in_step()
        assert await stage.told() == [Gap(f"{channel}: error {code} ended the subscription"), SUBSCRIBED]
        assert [each["channels"] for each in connection.asked("subscribe")][2:] == [[channel]]
        await connection.trade()
        assert await stage.told() == [TRADED]
        assert stage.channel.connections == 1

    play(scene)


def test_a_subscription_that_the_exchange_ends_is_subscribed_again(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        await connection.say({"type": "unsubscribed", **connection.number()})
        assert await stage.told() == [Gap("trade: the exchange ended the subscription")]
        await stage.in_step()
        assert await stage.told() == [SUBSCRIBED]

    play(scene)


def refusing(verb: str, *replies: Message, channel: str = "trade") -> Callable[[Exchange], None]:
    """A server that answers the first commands of a kind with `replies`, the last of them for ever if it is alone."""
    left = list(replies)

    def rule(connection: Connection, command: Command) -> Message | None:
        wanted = params(command)
        if verb in (command["cmd"], wanted.get("action")) and wanted.get("channels", [channel]) == [channel] and left:
            reply = left.pop(0) if len(replies) > 1 else left[0]
            return {"id": command["id"], **reply}
        return as_documented(connection, command)

    return lambda exchange: setattr(exchange, "rule", rule)


@pytest.mark.parametrize("code", [10, 18, 25, 26, 27])
def test_a_subscription_that_has_to_wait_is_asked_for_with_growing_pauses(play: Callable[..., Any], code: int) -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(600)
        assert not stage.channel.connected
        assert stage.channel.connections == 1
        assert 15 < len(stage.exchange.last.commands) < 80
        stage.exchange.rule = as_documented
        await stage.in_step()
        assert await stage.told() == [SUBSCRIBED]

    async def pinged(stage: Stage) -> None:
        pinging = asyncio.create_task(ping(stage.exchange))
        try:
            await scene(stage)
        finally:
            pinging.cancel()

    play(pinged, prepare=refusing("subscribe", error(code)))


async def ping(exchange: Exchange) -> None:
    """Keep the connections alive as the exchange does."""
    while True:
        for connection in exchange.connections:
            if not connection.socket.closed:
                await connection.socket.ping(b"heartbeat")
        await asyncio.sleep(10)


def test_markets_that_cannot_be_added_yet_are_added_later(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        await stage.in_step()
        await stage.told()
        stage.wanted.add("B")
        await stage.until(lambda: stage.channel.watched == {"A", "B"})
        assert len(stage.exchange.last.asked("add_markets")) == 3
        assert await stage.told() == [Watched(frozenset({"B"}))]
        assert stage.channel.connections == 1

    play(scene, prepare=refusing("add_markets", error(26), error(27)))


@pytest.mark.parametrize("code", [1, 7, 13, None, "x"])
def test_a_change_that_is_refused_is_made_by_connecting_again(play: Callable[..., Any], code: object) -> None:
    async def scene(stage: Stage) -> None:
        await stage.in_step()
        stage.wanted.add("B")
        second = await stage.in_step(2)
        assert second.asked("subscribe")[1]["market_tickers"] == ["A", "B"]
        assert second.asked("add_markets") == []

    play(scene, prepare=refusing("add_markets", error(code)))


def test_a_connection_given_up_is_not_waited_for(play: Callable[..., Any]) -> None:
    def rule(connection: Connection, command: Command) -> Message | None:
        if params(command).get("action") != "add_markets":
            return as_documented(connection, command)
        assert connection.request.transport is not None
        connection.request.transport.pause_reading()
        return {"id": command["id"], **error(13)}

    async def scene(stage: Stage) -> None:
        await stage.in_step()
        stage.wanted.add("B")
        await stage.until(lambda: len(stage.exchange.connections) == 2, seconds=4)

    play(scene, prepare=lambda exchange: setattr(exchange, "rule", rule))


@pytest.mark.parametrize("verb", ["subscribe", "add_markets"])
def test_a_command_that_is_never_answered_is_made_by_connecting_again(play: Callable[..., Any], verb: str) -> None:
    silent = {"type": "never heard of"}

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: stage.exchange.connections)
        if verb == "add_markets":
            await stage.in_step()
            stage.wanted.add("B")
        await stage.until(lambda: len(stage.exchange.connections) == 2, seconds=ANSWER_SECONDS + 5)

    play(scene, prepare=refusing(verb, silent))


@pytest.mark.parametrize("code", [8, 9, 11])
def test_a_refused_subscription_is_told_once_and_tried_every_five_minutes(play: Callable[..., Any], code: int) -> None:
    async def scene(stage: Stage) -> None:
        with structlog.testing.capture_logs() as lines:
            await asyncio.sleep(3600)
        assert 12 <= len(stage.exchange.handshakes) <= 13
        warnings = [line for line in lines if line["log_level"] == "warning"]
        assert len(warnings) == 2, "the code and the advice, once each"
        stage.exchange.rule = as_documented
        await stage.until(lambda: stage.channel.connected, seconds=301)

    play(scene, prepare=refusing("subscribe", error(code)))


def test_an_error_that_concerns_a_subscription_and_does_not_end_it(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        await connection.say(error(1, **connection.number()))
        await connection.trade()
        assert await stage.told() == [TRADED]
        assert stage.channel.connections == 1

    play(scene)


# --- whatever arrives


GARBAGE: list[str | bytes] = [
    "",
    "{",
    "null",
    "[]",
    "7",
    '"trade"',
    "[" * 100_000,
    '{"a":NaN}',
    b"",
    b"\x00\xff",
    b"\xe2\x82",
    '{"type":"trade"}\x00',
]


def test_garbage_is_a_gap_and_ends_nothing(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        for data in GARBAGE:
            await (connection.socket.send_str(data) if isinstance(data, str) else connection.socket.send_bytes(data))
        events = await stage.told()
        assert len(events) == len(GARBAGE)
        assert {event.reason for event in events if isinstance(event, Gap)} == {
            "a message is no JSON",
            "a message is no JSON object",
        }
        await connection.socket.send_bytes(json.dumps({"type": "new"}).encode())
        await connection.trade()
        assert await stage.told() == [TRADED]
        assert stage.channel.connections == 1

    play(scene)


plain = st.none() | st.booleans() | st.integers(-2, 30) | st.floats(allow_nan=False) | st.text(max_size=4)
anything = plain | st.lists(plain, max_size=2) | st.dictionaries(st.text(max_size=2), plain, max_size=2)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from([1, 7, 10, 25, 26, None]) | anything,
        "channel": st.sampled_from(["trade", "market_lifecycle_v2"]) | anything,
        "sid": st.integers(1, 3) | anything,
        "trade_id": st.just(TRADE_ID) | anything,
        "market_ticker": anything,
        "ts_ms": anything,
    },
)
kinds = ["trade", "market_lifecycle_v2", "subscribed", "unsubscribed", "ok", "error"]
messages = st.fixed_dictionaries(
    {"type": st.sampled_from(kinds) | anything, "msg": bodies | anything},
    optional={
        "id": st.integers(1, 5) | anything,
        "sid": st.integers(1, 3) | anything,
        "seq": st.integers(1, 9) | anything,
    },
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(messages, max_size=8), st.sets(st.sampled_from("ABC")))
def test_no_message_is_an_unforeseen_error(heard: list[Message], wanted: set[str]) -> None:
    talk = Talk(lambda: wanted, lambda errors: errors / 10)
    for second, message in enumerate(heard):
        try:
            talk.command(second)
            talk.hear(message, second)
        except (BadPayload, OutOfStep, Rejected):
            pass
        assert talk.watched <= wanted


# --- the end


@pytest.mark.parametrize("answers", [True, False])
def test_a_cancelled_channel_closes_its_socket_at_once(play: Callable[..., Any], answers: bool) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        if not answers:
            assert connection.request.transport is not None
            connection.request.transport.pause_reading()
        before = asyncio.get_running_loop().time()
        stage.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stage.running
        assert asyncio.get_running_loop().time() - before < 1
        assert not stage.channel.connected
        assert stage.channel.watched == set()
        if answers:
            await asyncio.sleep(0.5)
            assert connection.closed_at is not None
            assert connection.closed_at - before < 1

    play(scene)


def test_an_error_of_the_listener_is_not_swallowed(key_file: Path) -> None:
    def listener(event: Event) -> None:
        raise LookupError("the listener's own mistake")

    async def scenario() -> None:
        exchange = Exchange(KEY.public_key())
        async with exchange.serving() as api_url, aiohttp.ClientSession() as http:
            channel = Channel(http, channel_url(api_url), Signer(KEY_ID, key_file), listener)
            with pytest.raises(LookupError):
                await channel.run(lambda: ["A"])

    virtual_clock.run(scenario(), grace=GRACE)


def test_no_secret_and_no_word_of_a_message_is_logged(
    play: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(stage: Stage) -> str:
        with structlog.testing.capture_logs() as lines:
            await stage.until(lambda: stage.channel.connected, seconds=400)
            connection = stage.exchange.last
            await connection.trade(trade_id="hunter2")
            await connection.trade(skip=3)
            await connection.socket.send_str("hunter2")
            await connection.say(error(25, **connection.number()))
            await stage.in_step()
            await connection.say({"type": "hunter2", "msg": "hunter2"})
            await connection.socket.close(code=1011, message=b"hunter2")
            await stage.until(lambda: not stage.channel.connected)
            await stage.in_step(2)
        assert len(lines) > 8
        logged = repr(lines) + caplog.text + repr(stage.events)
        secrets = [KEY_ID, "hunter2", *pem(KEY).decode().splitlines()]
        secrets += [headers["KALSHI-ACCESS-SIGNATURE"] for headers in stage.exchange.headers]
        return next((secret for secret in secrets if secret in logged), "")

    found = play(scene, prepare=lambda exchange: exchange.statuses.extend([401, 503]))
    assert found == ""
