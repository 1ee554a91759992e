"""The exchange refuses a command or ends a subscription: what is asked again, when, and what is told."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from kalshi_ingest.exchange.subscriptions import ANSWER_SECONDS, Gap, Watched
from tests.exchange.websocket_serving import Command, Connection, Exchange, Message, as_documented, params
from tests.exchange.websocket_stage import SUBSCRIBED, TRADED, Stage, error

# --- errors


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
        await stage.until(lambda: not stage.channel.stats.connected, seconds=0.5)
        await stage.in_step()
        assert await stage.told() == [Gap(f"{channel}: error {code} ended the subscription"), SUBSCRIBED]
        assert [each["channels"] for each in connection.asked("subscribe")][2:] == [[channel]]
        await connection.trade()
        assert await stage.told() == [TRADED]
        assert stage.channel.stats.connections == 1

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
        assert not stage.channel.stats.connected
        assert stage.channel.stats.connections == 1
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
        assert stage.channel.stats.connections == 1

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
        await stage.until(lambda: len(stage.exchange.connections) >= 2, seconds=4)

    play(scene, prepare=lambda exchange: setattr(exchange, "rule", rule))


@pytest.mark.parametrize("verb", ["subscribe", "add_markets"])
def test_a_command_that_is_never_answered_is_made_by_connecting_again(play: Callable[..., Any], verb: str) -> None:
    silent = {"type": "never heard of"}

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: stage.exchange.connections)
        if verb == "add_markets":
            await stage.in_step()
            stage.wanted.add("B")
        await stage.until(lambda: len(stage.exchange.connections) >= 2, seconds=ANSWER_SECONDS + 5)

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
        await stage.until(lambda: stage.channel.stats.connected, seconds=301)

    play(scene, prepare=refusing("subscribe", error(code)))


def test_an_error_that_concerns_a_subscription_and_does_not_end_it(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        await stage.told()
        await connection.say(error(1, **connection.number()))
        await connection.trade()
        assert await stage.told() == [TRADED]
        assert stage.channel.stats.connections == 1

    play(scene)
