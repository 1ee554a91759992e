"""The audit against the exchange's own candles: a clean database passes, every planted fault is named."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import orjson
import pytest

from kalshi_ingest.coverage.candle_audit import audit
from kalshi_ingest.coverage.candle_audit_report import AuditReport
from kalshi_ingest.coverage.queries.candle_audit import Scope
from kalshi_ingest.errors import OutOfReach
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import RunContext
from kalshi_ingest.postgres.database import Database
from kalshi_simulator import Faults, RowsWorld, Simulator, SyntheticWorld, WorldConfig
from tests.support.backfills import DOGGED, IMPATIENT, STEADY, Run, fetch, plain, trade_row, varied_world, world_of

CHICAGO = Scope(("KXHIGHCHI",))
CITIES = ("KXHIGHCHI", "KXHIGHMIA", "KXHIGHAUS", "KXHIGHLAX", "KXHIGHDEN", "KXHIGHPHIL")


async def audited(
    api_url: str, database_url: str, markets: int, *, seed: int = 0, scope: Scope = CHICAGO, retry: RetryPolicy = STEADY
) -> AuditReport:
    """One audit with its own connections, as a process would have them."""
    database = Database(database_url)
    await database.open()
    try:
        async with aiohttp.ClientSession() as session:
            client = Client(session, api_url, Pacer(100_000), retry=retry)
            context = RunContext(Api(client), database, database, lambda: datetime.now(UTC), 4)
            return await audit(context, scope, markets, seed)
    finally:
        await database.close()


async def filled(
    world: SyntheticWorld | RowsWorld, database_url: str, wanted: tuple[Wanted, ...] | None = None
) -> None:
    async with Simulator(world) as simulator:
        await (Run(simulator.url, database_url, wanted) if wanted else Run(simulator.url, database_url))()


async def execute(url: str, query: str, *values: object) -> str:
    connection = await asyncpg.connect(url)
    try:
        status: str = await connection.execute(query, *values)
        return status
    finally:
        await connection.close()


def as_json(report: AuditReport) -> dict[str, Any]:
    said: dict[str, Any] = orjson.loads(orjson.dumps(report.as_dict()))
    return said


async def traded_minutes(url: str) -> int:
    return int((await fetch(url, "select count(*) from candles where period_minutes = 1"))[0][0])


async def test_a_clean_database_is_equal_in_both_tiers(database_url: str) -> None:
    world = varied_world(giant=2_500)
    await filled(world, database_url)
    async with Simulator(world) as simulator:
        report = await audited(simulator.url, database_url, 100)
        assert report.requests == len(simulator.stats.request_times) - 1  # the cutoff
    assert report.passed
    assert report.minutes == report.equal == await traded_minutes(database_url) > 500
    traded = sum(world.trade_count(ticker) > 0 for ticker in world.market_tickers())
    assert 15 < traded < len(world.market_tickers())
    assert (report.asked, report.eligible, len(report.audited), report.not_audited) == (100, traded, traded, [])
    tiers = {market.ticker: market.tier.value for market in report.audited}
    settled = {ticker: world.entry(ticker) for ticker in tiers}
    for ticker, entry in settled.items():
        assert entry is not None
        assert entry.settled is not None
        archived = entry.settled < world.cutoff.timestamp() * 1_000_000
        assert tiers[ticker] == ("historical" if archived else "live")
    assert set(tiers.values()) == {"live", "historical"}
    assert [market.ticker for market in report.audited] == sorted(tiers)
    said = as_json(report)
    assert said == report.as_dict()
    assert said["passed"] is True
    assert said["markets_by_series"] == {"KXHIGHCHI": traded}
    assert "\n" not in report.as_text()
    assert f"seed 0: {traded} of {traded} complete markets" in report.as_text()


FAULTS = {
    "close": (
        "update candles set close = close + 0.001 where (ticker, period_minutes, period_start) = ($1, 1, $2)",
        "close is",
    ),
    "volume": (
        "update candles set volume = volume + 0.01 where (ticker, period_minutes, period_start) = ($1, 1, $2)",
        "volume is",
    ),
    "mean": (
        "update candles set vwap = vwap - 0.0101 where (ticker, period_minutes, period_start) = ($1, 1, $2)",
        "mean is",
    ),
    "deleted": (
        "delete from candles where (ticker, period_minutes, period_start) = ($1, 1, $2)",
        "no candle here",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("archived", [False, True], ids=["live", "historical"])
async def test_one_planted_fault_is_listed(fault: str, archived: bool, database_url: str) -> None:
    world = _short_world(archived)
    await filled(world, database_url)
    rows = await fetch(
        database_url, "select ticker, period_start, volume from candles where period_minutes = 1 order by 1, 2"
    )
    ticker, start, volume = rows[len(rows) // 2]
    query, words = FAULTS[fault]
    assert (await execute(database_url, query, ticker, start)).endswith(" 1")
    async with Simulator(world) as simulator:
        report = await audited(simulator.url, database_url, 6)
    assert not report.passed
    assert (report.minutes, report.equal) == (len(rows), len(rows) - 1)
    ((found_ticker, found),) = report.differences()
    field = "candle" if fault == "deleted" else fault
    assert (found_ticker, found.start_us, found.field) == (ticker, int(start.timestamp()) * 1_000_000, field)
    assert f"  {ticker} {start:%Y-%m-%d %H:%M}: {words}" in report.as_text()
    (listed,) = as_json(report)["differences"]
    assert (listed["ticker"], listed["minute"], listed["field"]) == (ticker, start.isoformat(), field)
    if fault == "deleted":
        assert (listed["ours"], listed["theirs"]) == (None, str(volume))


async def test_an_added_candle_is_listed_also_outside_trading_hours(database_url: str) -> None:
    world = _short_world(archived=False)
    await filled(world, database_url)
    minutes = await traded_minutes(database_url)
    ticker, close_time = (await fetch(database_url, "select ticker, close_time from markets order by 1"))[0]
    outside, inside = close_time + timedelta(hours=3), _NOON + timedelta(minutes=1)
    for start in (outside, inside):
        await execute(
            database_url,
            "insert into candles values ($1, 1, $2, $3, 0.5, 0.5, 0.5, 0.5, 7, 0.5, 1)",
            *(ticker, start, start + timedelta(minutes=1)),
        )
    async with Simulator(world) as simulator:
        report = await audited(simulator.url, database_url, 6)
    assert (report.minutes, report.equal) == (minutes + 2, minutes)
    assert [(t, d.start_us, d.field, d.ours, d.theirs) for t, d in report.differences()] == [
        (ticker, int(start.timestamp()) * 1_000_000, "candle", 700, None) for start in sorted((outside, inside))
    ]
    assert f"{ticker} {inside:%Y-%m-%d %H:%M}: 7.00 contracts here, no trade there" in report.as_text()


async def test_the_text_shows_twenty_differences_and_the_total(database_url: str) -> None:
    world = _short_world(archived=False)
    await filled(world, database_url)
    minutes = await traded_minutes(database_url)
    await execute(database_url, "update candles set open = 0.99")
    async with Simulator(world) as simulator:
        report = await audited(simulator.url, database_url, 6)
    assert (minutes, report.equal) == (24, 0)
    lines = report.as_text().splitlines()
    assert lines[1] == "differences (24, the first 20):"
    assert len(lines) == 22
    assert len(as_json(report)["differences"]) == 24


async def test_the_cutoff_moves_while_the_audit_runs(database_url: str) -> None:
    world = varied_world(cutoff=datetime(2024, 10, 21, tzinfo=UTC), giant=1_500)
    await filled(world, database_url)
    asked = Counter[str]()

    def move(route: str, _: str | None) -> None:
        asked[route] += 1
        if route == "candlesticks" and asked[route] > 5:
            world.cutoff = min(world.cutoff + timedelta(hours=12), datetime(2024, 10, 28, tzinfo=UTC))

    async with Simulator(world) as simulator:
        simulator.on_request = move
        report = await audited(simulator.url, database_url, 100)
    assert report.passed
    assert report.equal == await traded_minutes(database_url)
    assert {market.tier.value for market in report.audited} == {"live", "historical"}
    assert asked["candlesticks"] == len(report.audited)
    assert 1 < asked["historical_candlesticks"] < len(report.audited)


async def test_a_settlement_time_that_points_to_the_wrong_tier(database_url: str) -> None:
    world = _short_world(archived=False)
    await filled(world, database_url)
    await execute(database_url, "update markets set settled_at = null, close_time = close_time - interval '1 year'")
    async with Simulator(world) as simulator:
        world.cutoff = datetime(2025, 1, 1, tzinfo=UTC)
        report = await audited(simulator.url, database_url, 6)
    assert report.passed
    assert {market.tier.value for market in report.audited} == {"live"}


async def test_a_life_longer_than_one_request_may_span(database_url: str) -> None:
    world = _short_world(archived=True, open_time="2025-06-20T14:00:00Z")
    await filled(world, database_url)
    async with Simulator(world) as simulator:
        report = await audited(simulator.url, database_url, 1)
    assert report.passed
    assert report.minutes == 12
    assert report.requests == 4


async def test_a_market_whose_candles_cannot_be_had_is_listed_with_the_reason(database_url: str) -> None:
    world = _short_world(archived=False)
    await filled(world, database_url)
    unknown, known = sorted(world.market_tickers())[:2]
    less = RowsWorld(
        series=world.series_rows(),
        markets=[world.market(known)],
        trades={known: world.trades(known)},
    )
    async with Simulator(less) as simulator:
        report = await audited(simulator.url, database_url, 6)
    assert [market.ticker for market in report.audited] == [known]
    ((ticker, reason),) = report.not_audited
    assert ticker == unknown
    assert "neither tier" in reason
    assert report.equal == report.minutes == 12
    assert not report.passed
    assert f"not audited (1):\n  {unknown}: {reason}" in report.as_text()
    assert report.as_dict()["not_audited"] == [{"ticker": unknown, "reason": reason}]


async def test_an_exchange_that_stays_away(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalshi_ingest.exchange.availability._ALIVE_SECONDS", 0.0)
    world = _short_world(archived=False)
    await filled(world, database_url)
    with pytest.raises(OutOfReach, match="the exchange is out of reach"):
        await audited("http://127.0.0.1:9/trade-api/v2", database_url, 6, retry=IMPATIENT)

    simulator = Simulator(world)
    url = await simulator.start()

    async def leave(route: str, _: str | None) -> None:
        if route == "candlesticks":
            await simulator.stop()

    simulator.on_request = leave
    with pytest.raises(OutOfReach, match="the exchange is out of reach"):
        await audited(url, database_url, 6, retry=IMPATIENT)


async def test_passing_faults_are_ridden_out(database_url: str) -> None:
    world = varied_world(giant=1_500)
    await filled(world, database_url)
    async with Simulator(world, faults=Faults(error_rate=0.2, slow_body_seconds=0.01)) as simulator:
        report = await audited(simulator.url, database_url, 24, retry=DOGGED)
        assert simulator.stats.faults.total() > 0
    assert report.equal == report.minutes > 500
    assert report.not_audited == []


async def test_the_sample(database_url: str) -> None:
    """Both tiers and every city as soon as there is room, the same for the same seed, another for another."""
    world = SyntheticWorld(
        WorldConfig(
            start=date(2025, 10, 20),
            end=date(2025, 10, 25),
            now=datetime(2025, 12, 1, tzinfo=UTC),
            cutoff=datetime(2025, 10, 24, tzinfo=UTC),
            trades_per_market=6,
            oddities=False,
        )
    )
    await filled(world, database_url, tuple(Wanted(series, None) for series in CITIES))
    scope = Scope(CITIES)
    traded = [t for t in world.market_tickers() if world.trade_count(t)]
    async with Simulator(world) as simulator:

        async def sampled(markets: int, seed: int = 0, within: Scope = scope) -> list[str]:
            report = await audited(simulator.url, database_url, markets, seed=seed, scope=within)
            assert report.passed
            return [market.ticker for market in report.audited]

        def strata(tickers: list[str]) -> tuple[Counter[str], Counter[bool]]:
            late = world.cutoff.timestamp() * 1_000_000
            series = Counter(plain(world, ticker).series_ticker for ticker in tickers)
            return series, Counter((plain(world, ticker).settled or 0) < late for ticker in tickers)

        for seed in range(4):
            pair, six, twelve = [await sampled(number, seed) for number in (2, 6, 12)]
            assert set(pair) < set(six) < set(twelve)
            assert strata(pair)[1] == {True: 1, False: 1}
            assert strata(six) == (dict.fromkeys(CITIES, 1), {True: 3, False: 3})
            assert strata(twelve) == (dict.fromkeys(CITIES, 2), {True: 6, False: 6})
        assert await sampled(6) == await sampled(6)
        assert len({tuple(await sampled(6, seed)) for seed in range(4)}) == 4
        assert len({tuple(await sampled(2, seed, Scope(CITIES[:1]))) for seed in range(4)}) == 4
        assert await sampled(10_000) == sorted(traded)

        days = Scope(CITIES[:2], date(2025, 10, 21), date(2025, 10, 22))
        assert await sampled(10_000, within=days) == sorted(
            ticker
            for ticker in traded
            if plain(world, ticker).series_ticker in CITIES[:2] and ticker.split("-")[1] in ("25OCT21", "25OCT22")
        )


async def test_only_complete_markets_of_cities_that_are_not_retired(database_url: str) -> None:
    world = _short_world(archived=False)
    await filled(world, database_url)
    await execute(
        database_url,
        "update checkpoints set state = 'open', verdict = null, completed_at = null where ticker = "
        "(select min(ticker) from checkpoints where trades_stored > 0)",
    )
    async with Simulator(world) as simulator:
        report = await audited(simulator.url, database_url, 6)
        assert (report.eligible, len(report.audited)) == (1, 1)
        for tickers in (("KXHIGHNY",), ("KXHIGHMIA",), ()):
            nothing = await audited(simulator.url, database_url, 6, scope=Scope(tickers))
            assert not nothing.passed
            assert "no complete market with trades" in nothing.as_text()


async def test_a_retired_city_is_not_asked_for(database_url: str) -> None:
    world = SyntheticWorld(
        WorldConfig(
            start=date(2025, 7, 1),
            end=date(2025, 7, 1),
            now=datetime(2025, 7, 20, tzinfo=UTC),
            cities=("KXHIGHNY", "KXHIGHCHI"),
            trades_per_market=6,
            oddities=False,
        )
    )
    await filled(world, database_url, (Wanted("KXHIGHNY", "nyc"), Wanted("KXHIGHCHI", "chicago")))
    async with Simulator(world) as simulator:
        report = await audited(simulator.url, database_url, 100, scope=Scope(("KXHIGHCHI", "KXHIGHNY")))
        assert {market.series_ticker for market in report.audited} == {"KXHIGHCHI"}
        assert report.passed


_NOON = datetime(2025, 7, 1, 12, tzinfo=UTC)


def _short_world(archived: bool, **changes: Any) -> RowsWorld:
    """Two markets with twelve traded minutes each, every other minute from noon on; the rest has none."""
    tickers = sorted(world_of({}).market_tickers())[:2]
    trades = {
        ticker: [
            trade_row(
                ticker, _NOON + timedelta(minutes=2 * minute, seconds=second), 1_000 * at + 10 * minute + second, price
            )
            for minute in range(12)
            for second, price in enumerate((40 + minute, 43 + minute, 41 + minute))
        ]
        for at, ticker in enumerate(tickers)
    }
    world = world_of(trades, **changes)
    world.cutoff = datetime(2025, 7, 10, tzinfo=UTC) if archived else datetime(2025, 6, 1, tzinfo=UTC)
    return world
