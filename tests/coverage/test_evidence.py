"""What is held comes back as it is, and no candle can differ from its trades unseen."""

from collections.abc import AsyncIterator, Collection
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

import asyncpg
import pytest

from benchmarks.filled import fill
from kalshi_ingest.coverage.queries import evidence
from kalshi_ingest.coverage.queries.rows import RowsCheck
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.evidence import Claim, Evidence, HeldEvent, Listed, MinuteDay
from kalshi_ingest.coverage.rules.findings import Level
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.domain.calendar import climate_day_utc
from kalshi_ingest.domain.candles import fold, roll_up
from kalshi_ingest.domain.checkpoint import State, Verdict
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.domain.minutes import VISUAL_CROSSING, minutes_of
from kalshi_ingest.domain.minutes import Observation as Minute
from kalshi_ingest.domain.model import Trade
from kalshi_ingest.domain.settlement import Observation, Reported, Source
from kalshi_ingest.postgres.pgcopy_rows import CANDLE_COLUMNS, TRADE_COLUMNS, Encoder, copy_in
from kalshi_ingest.weather.minutes.queries import write_days
from kalshi_ingest.weather.settlement import queries
from kalshi_ingest.weather.settlement.queries import PollOutcome
from kalshi_simulator import Simulator
from tests.backfill.test_recorded_trades import recorded_world
from tests.support import recorded
from tests.support.backfills import Run, fetch
from tests.support.candles import candles_of
from tests.support.filled import FilledDatabases

FIRST, SECOND, THIRD = date(2025, 1, 5), date(2025, 1, 6), date(2025, 1, 7)
LATER = datetime(2025, 3, 1, tzinfo=UTC)


@pytest.fixture
async def whole_url(filled_databases: FilledDatabases) -> AsyncIterator[str]:
    """Three days of six cities, 108 markets, nothing wrong with them."""
    async with filled_databases.clone("evidence", _fill) as url:
        yield url


@pytest.fixture
async def filled(whole_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `whole_url`."""
    connection = await asyncpg.connect(whole_url)
    try:
        yield connection
    finally:
        await connection.close()


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await fill(connection, markets=108, trades=30_000)
    finally:
        await connection.close()


def faults(held: Evidence) -> dict[str, str | None]:
    return {ticker: rows.first_fault for ticker, rows in held.rows.items() if rows.first_fault is not None}


async def test_a_whole_database_comes_back_without_a_fault(whole_url: str, filled: asyncpg.Connection) -> None:
    held = await evidence.read(whole_url)
    assert faults(held) == {}
    assert held.asked == (FIRST, THIRD)
    assert held.series["KXHIGHPHIL"] == "philadelphia"
    assert len(held.series) == 6
    assert len(held.events) == 18
    assert HeldEvent("KXHIGHCHI-25JAN06", "KXHIGHCHI", SECOND) in held.events
    assert held.listed["KXHIGHCHI", SECOND] == Listed(1, 6)
    assert held.weather == {}
    assert len(held.markets) == len(held.claims) == len(held.rows) == 108
    for market in held.markets:
        rows, claim = held.rows[market.ticker], held.claims[market.ticker]
        assert market.volume == rows.contracts == rows.contracts_1m == rows.contracts_5m
        assert claim == Claim(
            market.series_ticker, market.event_date, State.COMPLETE, Verdict.EXACT, claim.pages,
            rows.trades, rows.contracts, rows.contracts, None,
        )  # fmt: skip
        told = await filled.fetchrow(
            "select count(*), min(created_time), max(created_time) from trades where ticker = $1", market.ticker
        )
        assert told is not None
        assert tuple(told) == (rows.trades, rows.first_trade, rows.last_trade)
        counted = await filled.fetch(
            "select period_minutes, count(*) from candles where ticker = $1 group by 1 order by 1", market.ticker
        )
        assert [tuple(row) for row in counted] == [(1, rows.candles_1m), (5, rows.candles_5m)]
        assert (rows.missing_candles, rows.surplus_candles, rows.wrong_candles) == (0, 0, 0)


SPOILT = {
    "open = open + 0.000001": "open",
    "high = high + 0.000001": "high",
    "low = low - 0.000001": "low",
    "close = close - 0.000001": "close",
    "volume = volume + 0.01": "volume",
    "vwap = vwap + 0.000001": "vwap",
    "num_trades = num_trades + 1": "num_trades",
    "period_end = period_end + interval '1 second'": "period_end",
    "open = high + 0.01, close = low - 0.01": "open, close",
    "vwap = 'NaN'": "vwap",
}


async def test_every_wrong_value_is_named(whole_url: str, filled: asyncpg.Connection) -> None:
    """In candles of both lengths, with one price and with several; each in a market of its own."""
    tickers = [row[0] for row in await filled.fetch("select ticker from trades group by 1 having count(*) > 100")]
    expected: dict[str, str] = {}
    for minutes in (1, 5):
        for flat in (True, False):
            for change, named in SPOILT.items():
                ticker = tickers.pop()
                start = await filled.fetchval(
                    f"update candles set {change} where ctid = (select ctid from candles where ticker = $1 "
                    "and period_minutes = $2 and (high = low) = $3 order by period_start offset 2 limit 1) "
                    "returning period_start",
                    *(ticker, minutes, flat),
                )
                expected[ticker] = f"{minutes}m {start:%Y-%m-%d %H:%M}: {named}"
    held = await evidence.read(whole_url)
    assert faults(held) == expected
    for ticker in expected:
        rows = held.rows[ticker]
        assert (rows.missing_candles, rows.surplus_candles, rows.wrong_candles) == (0, 0, 1)


async def test_rows_that_are_missing_doubled_or_misplaced_are_named(whole_url: str, filled: asyncpg.Connection) -> None:
    tickers = [row[0] for row in await filled.fetch("select ticker from trades group by 1 having count(*) > 100")]
    expected: dict[str, tuple[tuple[int, int, int], str]] = {}

    async def spoil(statement: str, counts: tuple[int, int, int], fault: str, minutes: int) -> None:
        ticker = tickers.pop()
        start = await filled.fetchval(
            "select min(period_start) from candles where ticker = $1 and period_minutes = $2", ticker, minutes
        )
        await filled.execute(statement, ticker, start, *([minutes] if "$3" in statement else []))
        expected[ticker] = counts, fault.format(start=start)

    chosen = "where ticker = $1 and period_start = $2 and period_minutes = $3"
    copied = "period_end, open, high, low, close, volume, vwap, num_trades from candles " + chosen
    for length in (1, 5):
        day = f"{length}m {{start:%Y-%m-%d %H:%M}}"
        await spoil(f"delete from candles {chosen}", (1, 0, 0), f"{day}: no candle", length)
        moved = f"update candles set period_start = period_start + interval '30 seconds' {chosen}"
        await spoil(moved, (1, 1, 0), f"{day}: no candle", length)
        doubled = f"insert into candles select ticker, $3, period_start + interval '7 seconds', {copied}"
        await spoil(doubled, (0, 1, 0), day + ":07: no period starts here", length)
        added = f"insert into candles select ticker, $3, period_start - interval '1 day', {copied}"
        ticker = tickers[-1]
        await spoil(added, (0, 1, 0), "", length)
        start = await filled.fetchval("select min(period_start) from candles where ticker = $1", ticker)
        expected[ticker] = expected[ticker][0], f"{length}m {start:%Y-%m-%d %H:%M}: a candle without trades"
    strange = f"insert into candles select ticker, 7, period_start, {copied}"
    await spoil(strange, (0, 1, 0), "7m {start:%Y-%m-%d %H:%M}: no period starts here", 5)
    held = await evidence.read(whole_url)
    found = {
        ticker: ((rows.missing_candles, rows.surplus_candles, rows.wrong_candles), rows.first_fault)
        for ticker, rows in held.rows.items()
        if rows.first_fault is not None
    }
    assert found == expected


async def test_one_deleted_trade_is_noticed(whole_url: str, filled: asyncpg.Connection) -> None:
    ticker = await filled.fetchval(
        "delete from trades where ctid = (select ctid from trades order by md5(trade_id::text) limit 1) "
        "returning ticker"
    )
    held = await evidence.read(whole_url)
    assert faults(held).keys() == {ticker}
    rows = held.rows[ticker]
    assert rows.trades == held.claims[ticker].trades - 1
    assert rows.contracts_1m == rows.contracts_5m == held.claims[ticker].contracts > rows.contracts


def tapes(seed: int) -> dict[str, list[Trade]]:
    """Random trades of a few markets with many ties, in few minutes, of prices and counts of all sizes."""
    random = Random(seed)
    made: dict[str, list[Trade]] = {}
    for number in range(60):
        times = [random.randrange(0, 600_000_000) for _ in range(random.choice((1, 3, 30)))]
        times += [minute * 60_000_000 + edge for minute in range(0, 12, 3) for edge in (0, 59_999_999)]
        prices = [random.choice((1, 10_000, 500_000, 999_999, 1_000_000, 0, 123_456)) for _ in range(3)]
        made[f"KXHIGHCHI-25JAN05-B{number}.5"] = sorted(
            Trade(
                1_736_035_200_000_000 + random.choice(times),
                random.randbytes(16),
                random.choice(prices[: 1 + number % 3]),
                random.choice((1, 100, 333, 10**7, 2 * 10**10 if number % 7 == 0 else 5)),
                random.choice((1, -1)),
                False,
            )
            for _ in range(random.choice((1, 2, 20, 200)))
        )
    return made


async def _store(connection: asyncpg.Connection, made: dict[str, list[Trade]]) -> None:
    encoder = Encoder()
    for ticker, trades in made.items():
        await copy_in(connection, "trades", TRADE_COLUMNS, encoder.trades(ticker, trades))
        ones = fold(trades)
        for minutes, candles in ((1, ones), (5, roll_up(ones, 5))):
            assert candles == candles_of(trades, minutes)
            await copy_in(connection, "candles", CANDLE_COLUMNS, encoder.candles(ticker, minutes, candles))


@pytest.mark.parametrize("seed", range(3))
async def test_the_server_makes_the_candles_of_the_domain(database_url: str, seed: int) -> None:
    """Fast comparison and slow one agree with the rule; the fast one doubts no market of ordinary counts."""
    made = tapes(seed)
    connection = await asyncpg.connect(database_url)
    try:
        await _store(connection, made)
        ordinary = [ticker for ticker, trades in made.items() if all(trade.size < 2**31 for trade in trades)]
        assert len(made) > len(ordinary) > 40
        async with connection.transaction():
            assert await RowsCheck(()).doubtful(connection, ordinary) == []
    finally:
        await connection.close()
    held = await evidence.read(database_url)
    assert held.rows.keys() == made.keys()
    assert faults(held) == {}
    for ticker, trades in made.items():
        rows = held.rows[ticker]
        assert (rows.trades, rows.contracts) == (len(trades), sum(trade.size for trade in trades))
        assert rows.first_trade == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=trades[0].created_us)
        assert rows.last_trade == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=trades[-1].created_us)


async def test_what_the_catalogue_lost_is_still_seen(whole_url: str, filled: asyncpg.Connection) -> None:
    """By its checkpoint, or by its trades and candles alone; and a market without any rows is no rows."""
    lost, unproved, drawn, quiet = "KXHIGHCHI-25JAN05", "KXHIGHMIA-25JAN06", "KXHIGHDEN-25JAN06", "KXHIGHAUS-25JAN06"
    await filled.execute("delete from markets where event_ticker = any($1::text[])", [lost, unproved, drawn])
    await filled.execute("delete from checkpoints where ticker like any($1::text[])", [unproved + "%", drawn + "%"])
    await filled.execute("delete from trades where ticker like any($1::text[])", [drawn + "%", quiet + "%"])
    await filled.execute("delete from candles where ticker like $1", quiet + "%")
    columns = "created_time, trade_id, yes_price, count, taker_side, is_block_trade"
    await filled.execute(f"insert into trades select 'WHAT', {columns} from trades limit 1")
    held = await evidence.read(whole_url)
    named = {market.ticker for market in held.markets}
    assert not any(ticker.startswith((lost, unproved, drawn)) for ticker in named)
    assert sum(ticker.startswith(lost) for ticker in held.claims) == 6
    for event in (lost, unproved, drawn):
        assert sum(ticker.startswith(event) for ticker in held.rows) == 6
    assert not any(ticker.startswith(quiet) for ticker in held.rows)
    rows = next(rows for ticker, rows in held.rows.items() if ticker.startswith(drawn))
    assert (rows.trades, rows.contracts, rows.first_trade) == (0, 0, None)
    assert rows.surplus_candles == rows.candles_1m + rows.candles_5m > 0
    assert held.rows["WHAT"].missing_candles == 2

    one = await evidence.read(whole_url, ["KXHIGHMIA"], SECOND, SECOND)
    assert {ticker[:17] for ticker in one.rows} == {unproved}
    assert len(one.rows) == 6


async def test_only_what_was_asked_for_is_read(whole_url: str, filled: asyncpg.Connection) -> None:
    held = await evidence.read(whole_url, ["KXHIGHCHI", "KXHIGHDEN"], SECOND, THIRD)
    wanted = {"KXHIGHCHI-25JAN06", "KXHIGHCHI-25JAN07", "KXHIGHDEN-25JAN06", "KXHIGHDEN-25JAN07"}
    assert {event.event_ticker for event in held.events} == wanted
    assert {market.event_ticker for market in held.markets} == wanted
    assert held.claims.keys() == held.rows.keys() == {market.ticker for market in held.markets}
    assert held.listed.keys() == {(series, day) for series in ("KXHIGHCHI", "KXHIGHDEN") for day in (SECOND, THIRD)}
    assert held.series == {"KXHIGHCHI": "chicago", "KXHIGHDEN": "denver"}
    assert held.asked == (FIRST, THIRD)
    until = await evidence.read(whole_url, end=FIRST)
    assert {market.event_date for market in until.markets} == {FIRST}
    assert len(until.rows) == 36


async def test_a_series_that_was_only_asked_for(database_url: str) -> None:
    assert await evidence.read(database_url) == Evidence({}, None, {}, [], [], {}, {}, {})
    await fetch(
        database_url,
        "insert into ingestion_log (run_id, command, series_ticker, status, started_at, min_event_date, max_event_date)"
        " select gen_random_uuid(), 'backfill', series, 'failed', now(), $1, $2"
        " from unnest(array['KXHIGHNY', 'KXRAIN']) as series",
        *(FIRST, THIRD),
    )
    held = await evidence.read(database_url)
    assert held.series == {"KXHIGHNY": "nyc", "KXRAIN": None}
    assert held.asked == (FIRST, THIRD)


def observations(loc_id: str, day: date, city: str, gone: Collection[int] = ()) -> list[Minute]:
    """One in every slot, and a second one in the first, but none in the slots that are `gone`."""
    begins = int(climate_day_utc(find_city(city), day)[0].timestamp())
    seconds = [begins + 60, *(begins + n * 300 for n in range(288) if n not in gone)]
    return [Minute(second, 50_00, loc_id, VISUAL_CROSSING) for second in sorted(seconds)]


async def keep_minutes(connection: asyncpg.Connection, city: str, day: date, gone: Collection[int] = ()) -> None:
    found = find_city(city)
    rows = observations(found.station.loc_id, day, city, gone)
    made = minutes_of(found, day, [(VISUAL_CROSSING, rows)], LATER)
    async with connection.transaction():
        await write_days(connection, [(made, "complete")], LATER, again=False)


async def keep_settlement(connection: asyncpg.Connection, loc_id: str, day: date, issued: datetime, tmax: int) -> None:
    product = f"{issued:%Y%m%d%H%M}-CLI"
    full = issued > datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=32)
    told = Observation(loc_id, day, Source.CLI, product, None, issued, LATER, full, Decimal(tmax))
    async with connection.transaction():
        await queries.store(
            connection, [Reported(told, '"text"')], PollOutcome(loc_id, Source.CLI, LATER, {day: None}), LATER
        )


async def test_weather_by_climate_day(whole_url: str, filled: asyncpg.Connection) -> None:
    """Denver's day begins at 07:00Z all year; a slot may hold several observations, and copies are none."""
    await keep_minutes(filled, "denver", FIRST)
    await keep_minutes(filled, "denver", SECOND, gone=range(100, 120))
    await keep_settlement(filled, "KDEN", FIRST, datetime(2025, 1, 6, 13, tzinfo=UTC), 40)
    await keep_settlement(filled, "KDEN", SECOND, datetime(2025, 1, 6, 23, tzinfo=UTC), 41)
    await keep_settlement(filled, "KMIA", SECOND, datetime(2025, 1, 7, 13, tzinfo=UTC), 80)
    held = await evidence.read(whole_url)
    assert held.weather.keys() == {"denver", "miami"}
    denver = held.weather["denver"]
    assert denver.minutes == {
        FIRST: MinuteDay("complete", 288, 0, 0, None, 288, 0),
        SECOND: MinuteDay("complete", 268, 12, 8, None, 268, 12),
    }
    assert {day: (each.tmax_final_f, each.is_preliminary) for day, each in denver.settlements.items()} == {
        FIRST: (40, False),
        SECOND: (41, True),
    }
    assert held.weather["miami"].minutes == {}
    paid = {event.event_date: event for event in denver.paid}
    assert paid.keys() == {FIRST, SECOND, THIRD}
    assert paid[FIRST].event_ticker == "KXHIGHDEN-25JAN05"
    assert len(paid[FIRST].paid) == 1
    part = await evidence.read(whole_url, ["KXHIGHDEN"], SECOND, SECOND)
    assert part.weather.keys() == {"denver"}
    assert part.weather["denver"].minutes.keys() == part.weather["denver"].settlements.keys() == {SECOND}
    assert [event.event_date for event in part.weather["denver"].paid] == [SECOND]
    await filled.execute("drop schema wx cascade")
    assert (await evidence.read(whole_url)).weather == {}


async def test_a_lost_minute_is_a_hole_only_where_it_empties_a_slot(whole_url: str, filled: asyncpg.Connection) -> None:
    await keep_minutes(filled, "denver", FIRST, gone=[287])
    begins = climate_day_utc(find_city("denver"), FIRST)[0]
    lose = "delete from wx.minute_obs where loc_id = 'KDEN' and ts_utc = $1"

    async def kinds() -> list[tuple[str, str]]:
        scope = Scope(LATER, FIRST, FIRST, ["KXHIGHDEN"])
        report = judge(await evidence.read(whole_url, scope.series, scope.start, scope.end), scope)
        return [(each.kind, each.text) for each in report.at(Level.HOLE)]

    assert await kinds() == []
    await filled.execute(lose, begins)
    assert await kinds() == []
    await filled.execute(lose, begins + timedelta(minutes=1))
    lost = "slots observed and 1 filled are held, its claim says 287 and 1"
    assert await kinds() == [("minutes_lost", f"286 {lost}")]
    await keep_minutes(filled, "denver", FIRST)
    assert await kinds() == []
    await filled.execute(lose, begins + timedelta(days=1, minutes=-5))
    assert await kinds() == [("minutes_lost", "287 slots observed and 0 filled are held, its claim says 288 and 0")]


async def test_what_weather_was_asked_for_is_not_what_markets_were(whole_url: str, filled: asyncpg.Connection) -> None:
    await filled.execute(
        "insert into ingestion_log (run_id, command, series_ticker, status, started_at, min_event_date, max_event_date)"
        " select gen_random_uuid(), 'weather minutes --start 2021-01-01', 'KXHIGHNY', 'success', now(), $1, $2",
        *(date(2021, 1, 1), date(2025, 6, 1)),
    )
    held = await evidence.read(whole_url)
    assert held.asked == (FIRST, THIRD)
    assert "KXHIGHNY" not in held.series


@recorded.needs_recorded
async def test_every_recorded_trade_makes_the_candles_that_are_held(database_url: str) -> None:
    world, wanted = recorded_world()
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url, wanted)()
    held = await evidence.read(database_url)
    assert faults(held) == {}
    assert sum(rows.trades for rows in held.rows.values()) > 45_000
