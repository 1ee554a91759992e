"""The channel loses its connection: what it admits to miss, how it returns, and that it never storms."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.exchange.subscriptions import Gap
from kalshi_ingest.exchange.websocket import MAX_MESSAGE_BYTES, SILENCE_SECONDS, Channel
from tests.exchange.serving import GRACE
from tests.exchange.websocket_serving import Connection, Exchange
from tests.exchange.websocket_stage import KEY, KEY_ID, SUBSCRIBED, TRADED, Stage, pem, staged
from tests.support import virtual_clock

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
        await stage.until(lambda: not stage.channel.stats.connected, seconds=1)
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
        assert (stage.channel.stats.connections, stage.channel.stats.gaps) == (2, 3)

    play(scene)


def test_silence_is_a_lost_connection_and_pings_are_no_silence(play: Callable[..., Any]) -> None:
    async def scene(stage: Stage) -> None:
        connection = await stage.in_step()
        for _ in range(12):
            await connection.socket.ping(b"heartbeat")
            await asyncio.sleep(10)
        assert connection.pongs == [b"heartbeat"] * 12
        assert stage.channel.stats.connections == 1
        await asyncio.sleep(SILENCE_SECONDS - 10.5)
        assert stage.channel.stats.connections == 1
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
            await stage.until(lambda: not stage.channel.stats.connected)
        assert 10 < len(stage.exchange.handshakes) < 40

    play(scene)


def test_nobody_at_the_address(key_file: Path) -> None:
    async def scenario() -> None:
        async with aiohttp.ClientSession() as http:
            channel = Channel(
                http, "ws://127.0.0.1:9/trade-api/ws/v2", Signer(KEY_ID, key_file).at(utc_now), lambda _: None
            )
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(600):
                    await channel.run(lambda: ["A"])
            assert (channel.stats.connections, channel.stats.connected, channel.stats.gaps) == (0, False, 0)

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
            assert stage.channel.stats.connections == 0

    virtual_clock.run(scenario(), grace=GRACE)
