"""Candlesticks of both tiers, with the caps on requested periods."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from kalshi_simulator.candle_rows import historical_candle, live_candle
from kalshi_simulator.candles import Candle, build_candles, latest_before
from kalshi_simulator.exchange import Call, Exchange
from kalshi_simulator.refusals import bad_request, market_not_archived, not_found
from kalshi_simulator.wire import dump
from kalshi_simulator.world import MarketEntry, Tier

_INTERVALS = (1, 60, 1440)
_MAX_PERIODS = 5_000
_MAX_TICKERS = 100
_MAX_BATCH = 10_000
_CLOSED = ("closed", "determined", "disputed", "amended", "finalized")


@dataclass(frozen=True, slots=True)
class _Window:
    """Wanted period ends, both inclusive, Unix seconds; `interval` in seconds."""

    start: int
    end: int
    interval: int

    @property
    def periods(self) -> float:
        """Counted from the time range, whether or not anything traded."""
        return (self.end - self.start) / self.interval


def get_candles(exchange: Exchange, call: Call) -> bytes:
    """`GET /series/{series}/markets/{ticker}/candlesticks`: the live form; archived markets are 404."""
    window = _read_window(call)
    _check_periods(window)
    entry = exchange.world.entry(call.path["ticker"])
    if entry is None or entry.series_ticker != call.path["series"] or not exchange.serves(entry, Tier.LIVE):
        raise not_found()
    candles = _wanted(exchange, entry, window, before=call.flag("include_latest_before_start") or False)
    return dump({"candlesticks": [live_candle(candle) for candle in candles], "ticker": entry.ticker})


def get_historical_candles(exchange: Exchange, call: Call) -> bytes:
    """`GET /historical/markets/{ticker}/candlesticks`: bare names, explicit nulls; live markets are 404."""
    window = _read_window(call)
    _check_periods(window)
    entry = exchange.world.entry(call.path["ticker"])
    if entry is None or not exchange.serves(entry, Tier.HISTORICAL):
        raise market_not_archived()
    candles = _wanted(exchange, entry, window, before=False)
    return dump({"candlesticks": [historical_candle(candle) for candle in candles], "ticker": entry.ticker})


def get_batch_candles(exchange: Exchange, call: Call) -> bytes:
    """`GET /markets/candlesticks`: unknown tickers are left out, idle ones have an empty list."""
    window = _read_window(call)
    tickers = call.listed("market_tickers")
    if not tickers:
        raise bad_request("missing required parameter market_tickers")
    if len(tickers) > _MAX_TICKERS:
        raise bad_request(f"max markets: {_MAX_TICKERS}")
    asked = round(len(tickers) * window.periods)
    if asked > _MAX_BATCH:
        raise bad_request(f"requested candlesticks across all markets: {asked}, max candlesticks: {_MAX_BATCH}")
    before = call.flag("include_latest_before_start") or False
    rows = []
    for ticker in dict.fromkeys(tickers):
        entry = exchange.world.entry(ticker)
        if entry is not None and exchange.serves(entry, Tier.LIVE):
            candles = _wanted(exchange, entry, window, before=before)
            rows.append({"candlesticks": [live_candle(candle) for candle in candles], "market_ticker": ticker})
    return dump({"markets": rows})


def _read_window(call: Call) -> _Window:
    minutes = call.needed_integer("period_interval")
    if minutes not in _INTERVALS:
        raise bad_request(f"invalid period_interval: {minutes}")
    start, end = call.needed_integer("start_ts"), call.needed_integer("end_ts")
    if end < start:
        raise bad_request("end_ts must not be before start_ts")
    return _Window(start, end, 60 * minutes)


def _check_periods(window: _Window) -> None:
    if window.periods > _MAX_PERIODS:
        raise bad_request(
            f"requested time range with candlesticks: {window.periods:.6f}, max candlesticks: {_MAX_PERIODS}"
        )


def _wanted(exchange: Exchange, entry: MarketEntry, window: _Window, *, before: bool) -> list[Candle]:
    tape = exchange.world.tape(entry.ticker)
    trades = [] if tape is None else orjson.loads(b"[" + tape.rows(0, len(tape)) + b"]")
    closed = entry.closes if entry.status in _CLOSED else None
    candles = build_candles(entry.ticker, trades, window.interval, closed)
    inside = [candle for candle in candles if window.start <= candle.end <= window.end]
    earlier = latest_before(candles, window.start, window.interval) if before else None
    if earlier is not None and (not inside or inside[0].end > earlier.end):
        inside.insert(0, earlier)
    return inside
