"""Every way in which a filled database can lose something is found, named, and mended by `coverage --fix`."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import pytest

from kalshi_ingest.coverage.fix_plan import fix_plan
from kalshi_ingest.coverage.job import examine, forget_distrusted
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.findings import Level, Report
from kalshi_ingest.postgres.database import Database
from kalshi_simulator import RowsWorld, Simulator
from kalshi_simulator.synthetic import SyntheticWorld
from tests.support.backfills import Run, small_world
from tests.support.dumps import PROOF, digests
from tests.support.filled import FilledDatabases
from tests.support.postgres import execute

SCOPE = Scope(datetime(2025, 7, 20, tzinfo=UTC), series=["KXHIGHCHI"])
DAYS = {"start": date(2025, 7, 1), "end": date(2025, 7, 3)}

BUSIEST = "(select ticker from checkpoints order by trades_stored desc, ticker limit 1)"
WINNER = "(select ticker from markets where result = 'yes' order by ticker limit 1)"
LOSER = "(select ticker from markets where result = 'no' order by ticker limit 1)"
ONE_CANDLE = f"""
    ticker = {BUSIEST} and period_minutes = 1
    and period_start = (select max(period_start) from candles where ticker = {BUSIEST} and period_minutes = 1)"""

OPERATIONS = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text(encoding="utf-8")

NEWEST = f"""
    ticker = {BUSIEST} and trade_id = (select trade_id from trades where ticker = {BUSIEST}
                                       order by created_time desc, trade_id desc limit 1)"""

MOMENTS = {"infinity": "trades_lost", "2099-01-01Z": "impossible_trades", "0001-01-01Z": "trades_lost"}
"""Of one trade, as an older version may have stored it → what is found; the outermost cannot even be counted."""

HOLES = {
    **{
        f"a trade of {when}": (f"update trades set created_time = '{when}' where {NEWEST}", kind)
        for when, kind in MOMENTS.items()
    },
    "a trade that the exchange does not have, vouched for": (
        "insert into trades select ticker, created_time, '00000000-0000-0000-0000-000000000001', yes_price, count, "
        f"taker_side, is_block_trade from trades where {NEWEST};"
        "update checkpoints set trades_stored = held.n, contracts_stored = held.c, verdict = 'over' from "
        f"(select count(*) as n, sum(count) as c from trades where ticker = {BUSIEST}) as held "
        f"where ticker = {BUSIEST}",
        "candles",
    ),
    "a trade with another price": (f"update trades set yes_price = 0.123456 where {NEWEST}", "candles"),
    **{
        f"a market whose {column} is {when}": (
            f"update markets set {column} = '{when}' where ticker = {LOSER}",
            "impossible_market",
        )
        for column, when in (("open_time", "-infinity"), ("close_time", "infinity"), ("settled_at", "2099-01-01Z"))
    },
    "a deleted trade": (
        f"delete from trades where ticker = {BUSIEST} and trade_id = "
        f"(select trade_id from trades where ticker = {BUSIEST} order by created_time limit 1)",
        "trades_lost",
    ),
    "a deleted market": (f"delete from markets where ticker = {BUSIEST}", "market_lost"),
    "a deleted market, its checkpoint and its rows": (
        f"create temporary table gone as select {BUSIEST} as ticker; delete from markets using gone "
        "where markets.ticker = gone.ticker; delete from checkpoints using gone where checkpoints.ticker = gone.ticker;"
        "delete from trades using gone where trades.ticker = gone.ticker;"
        "delete from candles using gone where candles.ticker = gone.ticker",
        "markets_missing",
    ),
    "a missing day": (
        "delete from trades where ticker like '%25JUL02%'; delete from candles where ticker like '%25JUL02%';"
        "delete from checkpoints where ticker like '%25JUL02%'; delete from markets where event_date = '2025-07-02';"
        "delete from events where event_date = '2025-07-02'",
        "day_missing",
    ),
    "a doubled candle": (
        "insert into candles select ticker, period_minutes, period_start + interval '30 seconds', "
        "period_end + interval '30 seconds', open, high, low, close, volume, vwap, num_trades "
        f"from candles where {ONE_CANDLE}",
        "candles",
    ),
    "a deleted candle": (f"delete from candles where {ONE_CANDLE}", "candles"),
    "a wrong close": (
        f"update candles set close = case when close = high then low - 0.000001 else high end where {ONE_CANDLE}",
        "candles",
    ),
    "an unsettled market": (f"update markets set status = 'closed', result = null where ticker = {LOSER}", "unsettled"),
    "two YES": (f"update markets set result = 'yes' where ticker = {LOSER}", "yes"),
    "no YES": (f"update markets set result = 'no' where ticker = {WINNER}", "yes"),
    "a checkpoint gone": (f"delete from checkpoints where ticker = {BUSIEST}", "never_fetched"),
}


def world() -> SyntheticWorld:
    return small_world(**DAYS)


@pytest.fixture
async def filled(filled_databases: FilledDatabases) -> AsyncIterator[tuple[str, Simulator]]:
    async with (
        Simulator(world()) as simulator,
        filled_databases.clone("planted", lambda url: Run(simulator.url, url)()) as url,
    ):
        yield url, simulator


async def found(url: str) -> Report:
    return await examine(url, SCOPE)


async def test_a_clean_database_has_no_hole(filled: tuple[str, Simulator]) -> None:
    report = await found(filled[0])
    assert [(finding.kind, finding.text) for finding in report.at(Level.HOLE)] == []
    assert report.complete


@pytest.mark.parametrize("what", HOLES)
async def test_a_planted_hole_is_found_named_and_mended(what: str, filled: tuple[str, Simulator]) -> None:
    url, simulator = filled
    statement, kind = HOLES[what]
    whole = await digests(url, checkpoints=PROOF)
    connection = await asyncpg.connect(url)
    try:
        named = await connection.fetchval(f"select {BUSIEST}")
        await connection.execute(statement)
    finally:
        await connection.close()
    assert await digests(url, checkpoints=PROOF) != whole

    report = await found(url)
    holes = report.at(Level.HOLE)
    assert not report.complete
    assert kind in {hole.kind for hole in holes}
    if BUSIEST in statement and "its checkpoint" not in what:
        assert {hole.ticker for hole in holes} == {named}

    database = Database(url)
    await database.open()
    await forget_distrusted(database, report)
    await database.close()
    for each in fix_plan(report).fetches:
        await Run(simulator.url, url, each.wanted, dates=each.dates)()
    mended = await found(url)
    assert [(hole.kind, hole.text) for hole in mended.at(Level.HOLE)] == []
    assert await digests(url, checkpoints=PROOF) == whole


async def test_an_accepted_verdict_is_taken_back_as_the_operations_page_says(database_url: str) -> None:
    """Every market showed one trade only while the exchange was ill."""
    whole = world()
    rows = [whole.market(ticker) for ticker in whole.market_tickers()]
    events = [event.row() for event in whole.events(None)]
    frame = RowsWorld(
        series=whole.series_rows(),
        events=events,
        markets=rows,
        trades={ticker: list(whole.trades(ticker))[:1] for ticker in whole.market_tickers()},
        cutoff=datetime(2025, 1, 1, tzinfo=UTC),
    )
    async with Simulator(frame) as ill:
        await Run(ill.url, database_url)()
    assert {each.kind for each in (await found(database_url)).at(Level.WARNING)} == {"short"}
    (statement,) = re.findall(r"^delete from checkpoints where verdict .+;$", OPERATIONS, re.MULTILINE)
    await execute(database_url, statement)
    database = Database(database_url)
    await database.open()
    await forget_distrusted(database, await found(database_url))
    await database.close()
    async with Simulator(whole) as honest:
        for each in fix_plan(await found(database_url)).fetches:
            await Run(honest.url, database_url, each.wanted, dates=each.dates)()
    mended = await found(database_url)
    assert (mended.at(Level.HOLE), mended.at(Level.WARNING)) == ([], [])
