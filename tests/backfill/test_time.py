"""The time at the exchange, as a session learns it before it signs or lists anything."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.follow.intervals import passed
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.http.server_clock import AGREEING
from kalshi_ingest.ingest.resources import Exchange, learn_time, time_at
from tests.exchange.serving import Reply, Script, serving

_OPEN = b'{"exchange_active": true, "trading_active": true}'


def told(*offsets: timedelta) -> Script:
    """An exchange whose answers tell the local time shifted by so much, the last one for ever."""
    now = datetime.now(UTC)
    dates = [{"Date": format_datetime(now + each, usegmt=True)} for each in offsets]
    return Script(exchange__status=[Reply(body=_OPEN, headers=each) for each in dates])


@pytest.mark.parametrize("days", [-2, 2, 40])
async def test_a_signature_is_of_the_exchanges_time_from_the_first_one_on(days: int, tmp_path: Path) -> None:
    """The question for the time goes unsigned: a signature of another time would be refused."""
    away = timedelta(days=days)
    key = ed25519.Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    script = told(away)
    async with serving(script.answer) as url, aiohttp.ClientSession() as http:
        exchange = Exchange(url)
        await learn_time(http, exchange)
        client = Client(http, url, Pacer(1000), signer=Signer("id", path), clock=exchange.clock)
        await Api(client).is_trading()
    *asked, signed = script.seen
    assert 0 < len(asked) <= 2 * AGREEING
    assert not any("KALSHI-ACCESS-KEY" in each.headers for each in asked)
    stamp = datetime.fromtimestamp(int(signed.headers["KALSHI-ACCESS-TIMESTAMP"]) / 1000, UTC)
    assert abs(stamp - datetime.now(UTC) - away) < timedelta(minutes=2)


async def test_a_first_answer_of_another_time_is_outvoted() -> None:
    script = told(timedelta(days=-30), timedelta(days=9), timedelta(days=9))
    async with serving(script.answer) as url:
        found = await time_at(Exchange(url), lambda: datetime(2020, 1, 1, tzinfo=UTC))
    assert abs(found - datetime.now(UTC) - timedelta(days=9)) < timedelta(minutes=2)


async def test_where_nobody_answers_the_local_clock_has_to_do() -> None:
    local = datetime(2020, 1, 1, tzinfo=UTC)
    async with serving(Script().answer) as url:
        nobody = Exchange(url.replace("/trade-api", "/nothing"))
        assert abs(await time_at(nobody, lambda: local) - local) < timedelta(seconds=1)


def test_a_mark_in_the_future_was_set_by_a_wrong_clock() -> None:
    assert passed(100_000_000, 40_000_000) == 60
    assert passed(40_000_000, 41_000_000) == -1, "the estimate may run back a little"
    assert passed(0, 86_400_000_000) > 1e9, "it counts as never made"
