"""The WebSocket: handshake, commands, trades and lifecycle messages as time passes, and its faults."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kalshi_simulator import ChannelFaults, Faults, Limits, Simulator, SyntheticWorld, WorldConfig
from tests.simulator.support import Api, Row, served
from tests.support.patience import COMES

PATH = "/trade-api/ws/v2"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2026, 5, 6, 18, tzinfo=UTC)
ANY_SIGNATURE = {"KALSHI-ACCESS-KEY": "key", "KALSHI-ACCESS-TIMESTAMP": "1", "KALSHI-ACCESS-SIGNATURE": "anything"}


def world_of_days(**changes: Any) -> SyntheticWorld:
    """Two cities in the middle of an event day; the clock stands still until a test moves it."""
    settings: dict[str, Any] = {
        "start": date(2026, 5, 4),
        "end": date(2026, 5, 10),
        "now": START,
        "cities": ("KXHIGHCHI", "KXHIGHLAX"),
        "trades_per_market": 60,
    }
    return SyntheticWorld(WorldConfig(**(settings | changes)))


class Line:
    """A client's end of one connection."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def read(self) -> Row:
        """The next message."""
        body: Row = await self.socket.receive_json(timeout=COMES)
        return body

    async def ask(self, cmd: str, **params: Any) -> Row:
        """A command's (first) answer."""
        await self.socket.send_json({"id": 7, "cmd": cmd, "params": params})
        return await self.read()

    async def take(self, count: int) -> list[Row]:
        """The next messages."""
        return [await self.read() for _ in range(count)]


@asynccontextmanager
async def connected(
    world: SyntheticWorld, faults: ChannelFaults | None = None
) -> AsyncIterator[tuple[Line, Api, Simulator]]:
    simulator = Simulator(world, faults=Faults(channel=faults or ChannelFaults()))
    async with (
        served(simulator) as api,
        api.session.ws_connect(simulator.channel_url, headers=ANY_SIGNATURE) as socket,
    ):
        yield Line(socket), api, simulator


def busy(world: SyntheticWorld, hours: float, count: int = 1) -> list[str]:
    """Open markets that will trade most within the next hours."""
    later = world_of_days()
    later.now = world.now + timedelta(hours=hours)
    tickers = [ticker for ticker in world.market_tickers() if world.market(ticker)["status"] == "active"]
    return sorted(tickers, key=lambda each: later.trade_count(each) - world.trade_count(each))[-count:]


def made_between(world: SyntheticWorld, ticker: str, start: datetime) -> list[Row]:
    """A market's trades from `start` until now, oldest first."""
    return [row for row in world.trades(ticker) if datetime.fromisoformat(row["created_time"]) >= start][::-1]


@pytest.fixture(scope="module", params=["rsa", "ed25519"])
def key(request: pytest.FixtureRequest) -> RSAPrivateKey | Ed25519PrivateKey:
    return generate_private_key(65537, 2048) if request.param == "rsa" else Ed25519PrivateKey.generate()


def signed(key: RSAPrivateKey | Ed25519PrivateKey, text: str) -> dict[str, str]:
    """The headers of a handshake whose signature covers `text`."""
    if isinstance(key, RSAPrivateKey):
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        signature = key.sign(text.encode(), scheme, hashes.SHA256())
    else:
        signature = key.sign(text.encode())
    encoded = base64.b64encode(signature).decode()
    return ANY_SIGNATURE | {"KALSHI-ACCESS-TIMESTAMP": "1778090400000", "KALSHI-ACCESS-SIGNATURE": encoded}


async def test_only_a_signed_handshake_is_let_in(key: RSAPrivateKey | Ed25519PrivateKey) -> None:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    simulator = Simulator(world_of_days(), Limits(public_key_pem=public))
    async with served(simulator) as api:
        for headers in ({}, ANY_SIGNATURE, signed(key, f"1778090400000GET{PATH}?a=b")):
            with pytest.raises(WSServerHandshakeError) as refused:
                await api.session.ws_connect(simulator.channel_url, headers=headers)
            assert refused.value.status == 401
        good = signed(key, f"1778090400000GET{PATH}")
        async with api.session.ws_connect(simulator.channel_url, headers=good) as socket:
            assert (await Line(socket).ask("list_subscriptions"))["type"] == "ok"
    assert simulator.stats.channel == {"refused": 3, "connections": 1}


async def test_trades_come_as_they_are_made() -> None:
    world = world_of_days()
    (ticker,) = busy(world, 1)
    async with connected(world) as (line, _, _):
        answer = await line.ask("subscribe", channels=["trade"], market_tickers=[ticker])
        assert answer["msg"] == {"channel": "trade", "sid": 1}
        assert (answer["type"], answer["id"]) == ("subscribed", 7)
        world.now = START + timedelta(hours=1)
        expected = made_between(world, ticker, START)
        assert expected
        for seq, (row, message) in enumerate(zip(expected, await line.take(len(expected)), strict=True), start=1):
            assert (message["type"], message["sid"], message["seq"]) == ("trade", 1, seq)
            assert message["sending_ts_ms"] == int(world.now.timestamp() * 1000)
            millis = (datetime.fromisoformat(row.pop("created_time")) - EPOCH) // timedelta(milliseconds=1)
            row |= {"market_ticker": row.pop("ticker"), "ts_ms": millis, "ts": millis // 1000}
            assert message["msg"] == row


async def test_a_jump_over_days_loses_and_repeats_nothing() -> None:
    world = world_of_days()
    async with connected(world) as (line, _, simulator):
        await line.ask("subscribe", channels=["trade"])
        world.now = START + timedelta(hours=6)
        first = sum(len(made_between(world, each, START)) for each in world.market_tickers())
        found = await line.take(first)
        world.now = START + timedelta(days=2)
        wanted = {row["trade_id"] for each in world.market_tickers() for row in made_between(world, each, START)}
        found += await line.take(len(wanted) - first)
        assert {message["msg"]["trade_id"] for message in found} == wanted
        assert [message["seq"] for message in found] == list(range(1, len(wanted) + 1))
        times = [message["msg"]["ts_ms"] for message in found]
        assert times == sorted(times)
        assert simulator.stats.channel["messages"] == len(wanted)


async def test_a_clock_that_was_set_back_tells_nothing_twice() -> None:
    world = world_of_days()
    (ticker,) = busy(world, 1)
    async with connected(world) as (line, _, _):
        await line.ask("subscribe", channels=["trade"], market_ticker=ticker)
        world.now = START + timedelta(hours=1)
        await line.take(len(made_between(world, ticker, START)))
        world.now = START
        assert (await line.ask("list_subscriptions"))["type"] == "ok"
        world.now = START + timedelta(hours=8)
        later = made_between(world, ticker, START + timedelta(hours=1))
        found = await line.take(len(later))
        wanted = [row["trade_id"] for row in later]
        assert [message["msg"]["trade_id"] for message in found] == wanted


async def test_markets_are_added_and_taken_out() -> None:
    world = world_of_days()
    first, second = busy(world, 1, 2)
    async with connected(world) as (line, _, _):
        await line.ask("subscribe", channels=["trade"], market_ticker=first)
        answer = await line.ask("update_subscription", sids=[1], action="add_markets", market_tickers=[second])
        assert answer == answer | {"type": "ok", "id": 7, "sid": 1, "seq": 1}
        assert answer["msg"]["market_tickers"] == sorted([first, second])
        answer = await line.ask("update_subscription", sid=1, action="delete_markets", market_ticker=first)
        assert answer["msg"]["market_tickers"] == [second]
        world.now = START + timedelta(hours=1)
        expected = made_between(world, second, START)
        messages = await line.take(len(expected))
        assert {message["msg"]["market_ticker"] for message in messages} == {second}
        assert [message["seq"] for message in messages] == list(range(3, len(expected) + 3))


async def test_subscriptions_are_listed_and_ended() -> None:
    world = world_of_days()
    async with connected(world) as (line, _, _):
        await line.ask("subscribe", channels=["trade", "market_lifecycle_v2", "trade"])
        await line.take(2)
        answer = await line.ask("list_subscriptions")
        names = ["trade", "market_lifecycle_v2", "trade"]
        assert answer["msg"] == [{"channel": name, "sid": sid} for sid, name in enumerate(names, start=1)]
        answer = await line.ask("unsubscribe", sids=[1, 3])
        assert answer == answer | {"type": "unsubscribed", "sid": 1, "seq": 1, "id": 7}
        assert (await line.read())["sid"] == 3
        assert (await line.ask("list_subscriptions"))["msg"] == [{"channel": "market_lifecycle_v2", "sid": 2}]
        world.now = START + timedelta(hours=20)
        assert (await line.read())["type"] == "event_lifecycle"  # and none of the day's trades before it


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("{", 1),
        ("[]", 1),
        ('{"cmd":"subscribe"}', 2),
        ('{"cmd":"subscribe","params":{}}', 3),
        ('{"cmd":"unsubscribe","params":{}}', 4),
        ('{"cmd":"shout","params":{}}', 5),
        ('{"cmd":["subscribe"],"params":{}}', 5),
        ('{"cmd":"unsubscribe","params":{"sids":[9]}}', 7),
        ('{"cmd":"update_subscription","params":{"sid":9}}', 7),
        ('{"cmd":"subscribe","params":{"channels":["tape"]}}', 8),
        ('{"cmd":"subscribe","params":{"channels":["trade","ticker"]}}', 8),  # nothing would ever come
        ('{"cmd":"subscribe","params":{"channels":[["trade"]]}}', 8),
        ('{"cmd":"subscribe","params":{"channels":["trade"],"market_ticker":"A","market_tickers":["B"]}}', 11),
        ('{"cmd":"subscribe","params":{"channels":["trade"],"market_tickers":"A"}}', 11),
        ('{"cmd":"update_subscription","params":{"sids":[1,2]}}', 12),
        ('{"cmd":"update_subscription","params":{"sids":[1],"action":"get_snapshot"}}', 13),
        ('{"cmd":"update_subscription","params":{"sids":[2],"action":"add_markets","market_ticker":"A"}}', 13),
        ('{"cmd":"update_subscription","params":{"sids":[1],"action":"add_markets"}}', 14),
        ('{"cmd":"update_subscription","params":{"sids":[1]}}', 15),
    ],
)
async def test_wrong_commands_get_the_codes_of_the_exchange(command: str, code: int) -> None:
    async with connected(world_of_days()) as (line, _, _):
        await line.ask("subscribe", channels=["trade", "market_lifecycle_v2"])
        await line.read()
        await line.socket.send_str(command)
        answer = await line.read()
        assert (answer["type"], answer["msg"]["code"]) == ("error", code)
        assert "id" not in answer


async def test_the_life_of_markets_is_told() -> None:
    """Made, determined, settled; that trading begins and ends at its time is told to nobody."""
    world = world_of_days()
    old = set(world.market_tickers())
    unsettled = {each for each in old if world.market(each)["status"] != "finalized"}
    async with connected(world) as (line, _, _):
        await line.ask("subscribe", channels=["market_lifecycle_v2"], market_ticker="its filter is ignored")
        told: list[Row] = []
        for day, hours in ((7, 20), (8, 20), (9, 20)):
            world.now = datetime(2026, 5, day, tzinfo=UTC) + timedelta(hours=hours)
            rows = [world.market(each) for each in world.market_tickers()]
            made = [row["ticker"] for row in rows if row["ticker"] not in old]
            settled = [row["ticker"] for row in rows if row["ticker"] in unsettled and row["status"] == "finalized"]
            events = {row["event_ticker"] for row in rows if row["ticker"] in made}
            found = [
                message | message["msg"] for message in await line.take(len(events) + len(made) + 2 * len(settled))
            ]
            assert {each["event_ticker"] for each in found if each["type"] == "event_lifecycle"} == events
            for event_type, wanted in (("created", made), ("determined", settled), ("settled", settled)):
                tickers = [each["market_ticker"] for each in found if each.get("event_type") == event_type]
                assert sorted(tickers) == sorted(wanted)
            for message in found:
                if "determination_ts" in message:
                    row = world.market(message["market_ticker"])
                    assert message["result"] == row["result"]
                    assert message["settlement_value"] == row["settlement_value_dollars"]
                if "settled_ts" in message:
                    row = world.market(message["market_ticker"])
                    assert message["settled_ts"] == int(datetime.fromisoformat(row["settlement_ts"]).timestamp())
            told += found
            old.update(made)
            unsettled = (unsettled | set(made)) - set(settled)
        assert [message["seq"] for message in told] == list(range(1, len(told) + 1))
        created = next(message for message in told if message.get("event_type") == "created")
        row = world.market(created["market_ticker"])
        assert created["open_ts"] == int(datetime.fromisoformat(row["open_time"]).timestamp())
        assert created["close_ts"] == int(datetime.fromisoformat(row["close_time"]).timestamp())
        assert created["additional_metadata"]["strike_type"] == row["strike_type"]


async def test_a_result_is_told_before_it_is_settled() -> None:
    world = world_of_days(cities=("KXHIGHCHI",))
    late = world_of_days(cities=("KXHIGHCHI",), now=START + timedelta(days=2))
    (event,) = [each for each in late.events(None) if each.ticker == "KXHIGHCHI-26MAY06"]
    settles = datetime.fromisoformat(event.markets[0].row()["settlement_ts"])
    world.now = settles - timedelta(hours=2)
    async with connected(world) as (line, _, _):
        await line.ask("subscribe", channels=["market_lifecycle_v2"])
        world.now = settles - timedelta(minutes=1)
        first = await line.take(6)
        assert {message["msg"]["event_type"] for message in first} == {"determined"}
        determined = int((settles - timedelta(hours=1)).timestamp())
        assert {message["msg"]["determination_ts"] for message in first} == {determined}
        world.now = settles
        assert {message["msg"]["event_type"] for message in await line.take(6)} == {"settled"}


async def test_lost_and_repeated_messages() -> None:
    world = world_of_days()
    (ticker,) = busy(world, 3)
    async with connected(world, ChannelFaults(drop_every=3, repeat_every=4)) as (line, _, simulator):
        await line.ask("subscribe", channels=["trade"], market_ticker=ticker)
        world.now = START + timedelta(hours=3)
        assert len(made_between(world, ticker, START)) >= 9
        found = [message["seq"] for message in await line.take(8)]
        assert found == [1, 2, 4, 4, 5, 7, 8, 8]
        assert simulator.stats.channel["dropped"] >= 2
        assert simulator.stats.channel["repeated"] >= 2


async def test_an_overflow_ends_a_subscription() -> None:
    world = world_of_days()
    (ticker,) = busy(world, 3)
    async with connected(world, ChannelFaults(overflow_after=2)) as (line, _, _):
        await line.ask("subscribe", channels=["trade"], market_ticker=ticker)
        world.now = START + timedelta(hours=3)
        *trades, error = await line.take(3)
        assert [message["type"] for message in trades] == ["trade", "trade"]
        assert (error["type"], error["sid"], error["seq"], error["msg"]["code"]) == ("error", 1, 3, 25)
        assert (await line.ask("list_subscriptions"))["msg"] == []
        assert (await line.ask("subscribe", channels=["trade"]))["msg"]["sid"] == 2


async def test_a_connection_is_closed_after_some_messages() -> None:
    world = world_of_days()
    async with connected(world, ChannelFaults(close_after=2)) as (line, _, simulator):
        await line.ask("subscribe", channels=["trade"])
        world.now = START + timedelta(hours=3)
        await line.take(2)
        assert (await line.socket.receive(timeout=COMES)).type is WSMsgType.CLOSE
        assert simulator.stats.channel["closed"] == 1


@pytest.mark.parametrize(
    ("faults", "first"),
    [(ChannelFaults(rest_lag_seconds=600), "channel"), (ChannelFaults(channel_lag_seconds=600), "rest")],
)
async def test_one_side_may_know_of_a_trade_before_the_other(faults: ChannelFaults, first: str) -> None:
    world = world_of_days()
    (ticker,) = busy(world, 1)
    world.now = START - timedelta(minutes=10)  # so that neither side is behind what it showed before
    async with connected(world, faults) as (line, api, _):
        await line.ask("subscribe", channels=["trade"], market_ticker=ticker)
        world.now = START + timedelta(hours=1)
        expected = made_between(world, ticker, START - timedelta(minutes=20 if first == "rest" else 10))
        border = START + timedelta(minutes=50)
        early = [row["trade_id"] for row in expected if datetime.fromisoformat(row["created_time"]) < border]
        every = [row["trade_id"] for row in expected]
        assert early != every
        listed = (await api.get("/markets/trades", ticker=ticker, limit=1000))["trades"]
        told = every if first == "channel" else early
        assert [message["msg"]["trade_id"] for message in await line.take(len(told))] == told
        assert (listed[0]["trade_id"] == every[-1]) is (first == "rest")
        market = (await api.get(f"/markets/{ticker}"))["market"]
        assert (market["volume_fp"] == world.market(ticker)["volume_fp"]) is (first == "rest")


async def test_the_server_pings_with_a_heartbeat() -> None:
    simulator = Simulator(world_of_days(), faults=Faults(channel=ChannelFaults(heartbeat_seconds=0.01)))
    async with (
        served(simulator) as api,
        api.session.ws_connect(simulator.channel_url, headers=ANY_SIGNATURE, autoping=False) as socket,
    ):
        message = await socket.receive(timeout=COMES)
        assert (message.type, message.data) == (WSMsgType.PING, b"heartbeat")
    assert ChannelFaults().heartbeat_seconds == 10


async def test_a_running_clock_pushes_by_itself() -> None:
    world = world_of_days()
    world.clock.speed = 3600  # one tick is three minutes
    async with connected(world) as (line, _, _):
        await line.ask("subscribe", channels=["trade"])
        messages = await line.take(20)
    assert [message["seq"] for message in messages] == list(range(1, 21))
    for message in messages:
        assert 0 <= message["sending_ts_ms"] - message["msg"]["ts_ms"] < 3_600_000
