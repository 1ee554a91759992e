"""Whatever arrives on the channel, and its end: nothing foreign ends it, and no secret is logged."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.errors import BadPayload, Rejected
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.exchange.subscriptions import Event, Gap, OutOfStep, Talk
from kalshi_ingest.exchange.websocket import Channel, channel_url
from tests.exchange.serving import GRACE
from tests.exchange.websocket_serving import TRADE_ID, Exchange, Message
from tests.exchange.websocket_stage import KEY, KEY_ID, TRADED, Stage, error, pem
from tests.support import virtual_clock

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
            "a message is not JSON",
            "a message is not a JSON object",
        }
        await connection.socket.send_bytes(json.dumps({"type": "new"}).encode())
        await connection.trade()
        assert await stage.told() == [TRADED]
        assert stage.channel.stats.connections == 1

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
        assert not stage.channel.stats.connected
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
            channel = Channel(http, channel_url(api_url), Signer(KEY_ID, key_file).at(utc_now), listener)
            with pytest.raises(LookupError):
                await channel.run(lambda: ["A"])

    virtual_clock.run(scenario(), grace=GRACE)


def test_no_secret_and_no_word_of_a_message_is_logged(
    play: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(stage: Stage) -> str:
        with structlog.testing.capture_logs() as lines:
            await stage.until(lambda: stage.channel.stats.connected, seconds=400)
            connection = stage.exchange.last
            await connection.trade(trade_id="hunter2")
            await connection.trade(skip=3)
            await connection.socket.send_str("hunter2")
            await connection.say(error(25, **connection.number()))
            await stage.in_step()
            await connection.say({"type": "hunter2", "msg": "hunter2"})
            await connection.socket.close(code=1011, message=b"hunter2")
            await stage.until(lambda: not stage.channel.stats.connected)
            await stage.in_step(2)
        assert len(lines) > 8
        logged = repr(lines) + caplog.text + repr(stage.events)
        secrets = [KEY_ID, "hunter2", *pem(KEY).decode().splitlines()]
        secrets += [headers["KALSHI-ACCESS-SIGNATURE"] for headers in stage.exchange.headers]
        return next((secret for secret in secrets if secret in logged), "")

    found = play(scene, prepare=lambda exchange: exchange.statuses.extend([401, 503]))
    assert found == ""
