"""The channel over real WebSockets, on a virtual clock: what it subscribes to and what it claims."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from kalshi_ingest.exchange.subscriptions import MARKETS_PER_COMMAND, Changed, Gap, Traded, Watched
from kalshi_ingest.exchange.websocket import channel_url
from tests.exchange.websocket_serving import TRADE_ID, Command, Connection, Message, params
from tests.exchange.websocket_stage import KEY_ID, SUBSCRIBED, TRADED, Stage


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
        await stage.until(lambda: stage.channel.stats.connected, seconds=0.5)
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
        assert (stage.channel.stats.connections, stage.channel.stats.messages, stage.channel.stats.gaps) == (1, 2, 1)

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
        assert not stage.channel.stats.connected
        ((connection, command),) = held
        await connection.say(connection.answer(command))
        assert await stage.told() == [SUBSCRIBED]
        assert stage.channel.stats.connected

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
        assert stage.channel.stats.connected
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
        assert stage.channel.stats.connected

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
        assert (stage.channel.stats.gaps, stage.channel.stats.connections) == (2, 1)

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
