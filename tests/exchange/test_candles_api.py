"""Asking for candles: the right path for each tier, never more minutes than allowed, every answer checked."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from kalshi_ingest.domain.audit import MinuteCandle
from kalshi_ingest.domain.model import Tier, to_microseconds
from kalshi_ingest.errors import BadPayload, Rejected
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Tally
from tests.exchange.serving import GRACE, Reply, Script, asking, serving
from tests.support import virtual_clock

TICKER = "KXHIGHCHI-26JUL04-B80.5"
PATHS = {
    Tier.LIVE: f"/series/KXHIGHCHI/markets/{TICKER}/candlesticks",
    Tier.HISTORICAL: f"/historical/markets/{TICKER}/candlesticks",
}
NOON = datetime(2026, 7, 4, 12, tzinfo=UTC)
NOON_TS = int(NOON.timestamp())
MINUTE = timedelta(minutes=1)


def answer(*ends: int, ticker: str = TICKER) -> Reply:
    price = {f"{name}_dollars": "0.4100" for name in ("open", "high", "low", "close", "mean")}
    rows = [{"end_period_ts": end, "price": price, "volume_fp": "1.00"} for end in ends]
    return Reply(body=orjson.dumps({"ticker": ticker, "candlesticks": rows}))


def talk(script: Script, ask: Callable[[Api], Awaitable[Any]]) -> Any:
    async def scenario() -> Any:
        async with serving(script.answer) as url, asking(url) as client:
            return await ask(Api(client))

    return virtual_clock.run(scenario(), grace=GRACE)


def asked(
    script: Script, tier: Tier, start: datetime, end: datetime, tally: Tally | None = None
) -> list[list[MinuteCandle]]:
    async def ask(api: Api) -> list[list[MinuteCandle]]:
        return [part async for part in api.candles(TICKER, "KXHIGHCHI", tier, start, end, tally or Tally())]

    parts: list[list[MinuteCandle]] = talk(script, ask)
    return parts


def scripted(tier: Tier, *replies: Reply) -> Script:
    return Script(**{PATHS[tier].removeprefix("/").replace("/", "__"): replies})


@pytest.mark.parametrize("tier", Tier)
def test_one_request_for_a_short_life(tier: Tier) -> None:
    script = scripted(tier, answer(NOON_TS + 60, NOON_TS + 180))
    ((first, last),) = asked(script, tier, NOON, NOON + 3 * MINUTE)
    assert (first.start_us, last.start_us) == (to_microseconds(NOON), to_microseconds(NOON + 2 * MINUTE))
    (request,) = script.seen
    assert request.path == PATHS[tier]
    assert request.query == {"start_ts": str(NOON_TS + 60), "end_ts": str(NOON_TS + 180), "period_interval": "1"}


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (timedelta(0), MINUTE, 60, 60),
        (timedelta(seconds=59, microseconds=999_999), MINUTE, 60, 60),
        (MINUTE, MINUTE + timedelta(microseconds=1), 120, 120),
        (timedelta(microseconds=1), timedelta(seconds=60, microseconds=1), 60, 120),
    ],
)
def test_every_minute_that_the_life_touches(start: timedelta, end: timedelta, first: int, last: int) -> None:
    script = scripted(Tier.LIVE, answer())
    assert asked(script, Tier.LIVE, NOON + start, NOON + end) == [[]]
    (request,) = script.seen
    assert (request.query["start_ts"], request.query["end_ts"]) == (str(NOON_TS + first), str(NOON_TS + last))


@pytest.mark.parametrize("minutes", [4_999, 5_000, 5_001, 10_000, 12_345])
def test_a_long_life_is_asked_for_in_parts_that_meet(minutes: int) -> None:
    script, tally = scripted(Tier.HISTORICAL, answer()), Tally()
    parts = asked(script, Tier.HISTORICAL, NOON, NOON + minutes * MINUTE, tally)
    assert len(parts) == len(script.seen) == tally.requests == -(-minutes // 5_000)
    windows = [(int(seen.query["start_ts"]), int(seen.query["end_ts"])) for seen in script.seen]
    ends = [end for first, last in windows for end in range(first, last + 60, 60)]
    assert ends == list(range(NOON_TS + 60, NOON_TS + 60 * minutes + 60, 60))
    assert all((last - first) // 60 + 1 <= 5_000 for first, last in windows)


def test_each_part_is_checked_against_its_own_window() -> None:
    script = scripted(Tier.LIVE, answer(NOON_TS + 60), answer(NOON_TS + 60))
    with pytest.raises(BadPayload, match=f"{TICKER}.*outside the window"):
        asked(script, Tier.LIVE, NOON, NOON + 5_001 * MINUTE)
    script = scripted(Tier.LIVE, answer(ticker="KXHIGHCHI-26JUL04-B82.5"))
    with pytest.raises(BadPayload, match=f"{TICKER}.*another market"):
        asked(script, Tier.LIVE, NOON, NOON + MINUTE)


@pytest.mark.parametrize("tier", Tier)
def test_a_market_that_the_tier_does_not_serve(tier: Tier) -> None:
    with pytest.raises(Rejected) as refused:
        asked(Script(exchange__status=[Reply(body=b'{"exchange_active":true}')]), tier, NOON, NOON + MINUTE)
    assert refused.value.status == 404
