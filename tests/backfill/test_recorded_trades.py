"""Real recorded trades, put into today's form and served over HTTP, arrive in the tables one by one and exactly."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

from kalshi_ingest.domain.model import Trade, to_datetime
from kalshi_ingest.domain.tickers import parse_market_ticker
from kalshi_ingest.exchange.parse_trades import TradeParser
from kalshi_ingest.ingest.progress import Wanted
from kalshi_simulator import RowsWorld, Simulator
from tests.support import recorded
from tests.support.backfills import Run, assert_holds_all, fetch, small_world
from tests.support.candles import candles_of


def _golden_world() -> RowsWorld:
    trades: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in recorded.golden_trades():
        trades[row["ticker"]].append(recorded.modern_trade(row))
    bodies = list(recorded.golden_events())
    return RowsWorld(
        series=small_world().series_rows(),
        events=[body["event"] for body in bodies],
        markets=[recorded.modern_market(row) for body in bodies for row in body["markets"]],
        trades=trades,
    )


def recorded_world() -> tuple[RowsWorld, list[Wanted]]:
    """Every recorded day of every city; days without a recorded event body get their markets from the tickers."""
    bodies = {(series, day): body for series, day, body in recorded.events()}
    frame = recorded.modern_market(next(iter(bodies.values()))["markets"][0])
    events: list[dict[str, Any]] = []
    markets: list[dict[str, Any]] = []
    tapes: dict[str, list[dict[str, Any]]] = {}
    for series, day, rows in recorded.trades():
        tapes |= {ticker: [recorded.modern_trade(row) for row in tape] for ticker, tape in rows.items()}
        body = bodies.get((series, day))
        if body is not None:
            events.append(body["event"] | {"series_ticker": series})
            markets += [recorded.modern_market(row) for row in body["markets"]]
            continue
        for ticker in rows:
            volume = sum((Decimal(row["count_fp"]) for row in tapes[ticker]), Decimal(0))
            event_ticker = parse_market_ticker(ticker).event_ticker
            own = {"ticker": ticker, "event_ticker": event_ticker, "volume_fp": f"{volume:.2f}"}
            markets.append(frame | own)
            events.append({**events[0], "event_ticker": event_ticker, "series_ticker": series})
    names = sorted({event["series_ticker"] for event in events})
    template = small_world().series_rows()[0]
    events = list({event["event_ticker"]: event for event in events}.values())
    world = RowsWorld(
        series=[template | {"ticker": name} for name in names], events=events, markets=markets, trades=tapes
    )
    return world, [Wanted(name, None) for name in names]


@recorded.needs_recorded
async def test_every_recorded_trade(database_url: str) -> None:
    world, wanted = recorded_world()
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, database_url, wanted)()
    assert [each.failed for each in job.progress.values()] == [{}] * len(wanted)
    recorded_trades = sum(len(tape) for _, _, rows in recorded.trades() for tape in rows.values())
    assert sum(each.stats.trades for each in job.progress.values()) == recorded_trades > 45_000
    await assert_holds_all(database_url, world)


def _candle_rows(ticker: str, trades: list[Trade]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for minutes in (1, 5):
        for candle in candles_of(reversed(trades), minutes):
            start = to_datetime(candle.start_us)
            prices = (candle.open_key, candle.high, candle.low, candle.close_key, candle.notional // candle.volume)
            first, high, low, last, mean = (Decimal(abs(price)).scaleb(-6) for price in prices)
            volume = Decimal(candle.volume).scaleb(-2)
            end = start + timedelta(minutes=minutes)
            rows.append((ticker, minutes, start, end, first, high, low, last, volume, mean, candle.trades))
    return rows


@recorded.needs_recorded
async def test_every_golden_trade_and_its_candles(database_url: str) -> None:
    world = _golden_world()
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, database_url)()
    progress = job.progress["KXHIGHCHI"]
    assert progress.failed == {}
    assert progress.verdicts == {"exact": len(world.market_tickers())}
    assert progress.stats.trades == sum(world.trade_count(ticker) for ticker in world.market_tickers()) > 1_000
    await assert_holds_all(database_url, world)

    parser = TradeParser()
    wanted = [
        row
        for ticker in world.market_tickers()
        for row in _candle_rows(ticker, parser.page(world.trades(ticker), ticker))
    ]
    held = [tuple(row) for row in await fetch(database_url, "select * from candles")]
    assert sorted(held) == sorted(wanted)
