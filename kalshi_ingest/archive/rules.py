"""The rules for the rows of each file of a city: the tables' own constraints, and what connects the files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ingest.archive import checks
from kalshi_ingest.archive.checks import Column, Rule
from kalshi_ingest.domain.checkpoint import State, Verdict
from kalshi_ingest.domain.tickers import parse_event_ticker
from kalshi_ingest.parquet.schema import ArchiveTable

_MINUTE_US = 60_000_000
_STATUSES = ("unopened", "open", "paused", "closed", "settled")
_COMPLETE = pa.scalar(State.COMPLETE.value)
_KEPT = pa.array([True])


@dataclass(slots=True)
class Known:
    """What the files read so far contain."""

    city: str | None
    """None for a series that does not belong to a city."""
    series: Sequence[str] = ()
    markets: Sequence[str] = field(default_factory=list)


def rules_of(table: ArchiveTable, known: Known) -> list[Rule]:
    """The rules for one file; `known` has to be filled from the files before it in `TABLES`."""
    times = [checks.moment(name) for name, kind, _ in table.columns if pa.types.is_timestamp(kind)]
    return times + _RULES[table.name](table, known)


def _series(_: ArchiveTable, known: Known) -> list[Rule]:
    named = checks.one_of("series_ticker", known.series, "not one of the city's series in manifest.json")
    sources = checks.json_value("settlement_sources", list, "not a JSON list")
    return [named, _city(known), sources, checks.json_object("raw")]


def _events(_: ArchiveTable, known: Known) -> list[Rule]:
    return [_own_series(known), _city(known), _date("event_ticker"), checks.json_object("raw")]


def _markets(_: ArchiveTable, known: Known) -> list[Rule]:
    return [
        _own_series(known),
        _city(known),
        _date("event_ticker"),
        checks.one_of("strike_source", ("wire", "subtitle", "neighbours")),
        checks.one_of("status", _STATUSES),
        *map(checks.price, ("settlement_value", "last_price")),
        *map(checks.not_negative, ("volume", "open_interest")),
        checks.json_object("raw"),
    ]


def _trades(_: ArchiveTable, known: Known) -> list[Rule]:
    return [
        _own_market(known),
        checks.uuid("trade_id"),
        checks.price("yes_price"),
        checks.above_zero("count"),
        checks.one_of("taker_side", ("yes", "no")),
    ]


def _candles(table: ArchiveTable, known: Known) -> list[Rule]:
    minutes = table.period_minutes or 1
    return [
        _own_market(known),
        checks.equals("period_minutes", minutes, f"not {minutes}"),
        *checks.period(minutes * _MINUTE_US),
        *map(checks.price, ("low", "high")),
        *map(checks.inside_range, ("open", "close", "vwap")),
        *map(checks.above_zero, ("volume", "num_trades")),
    ]


def _checkpoints(_: ArchiveTable, known: Known) -> list[Rule]:
    return [
        _own_series(known),
        checks.one_of("state", tuple(State)),
        checks.one_of("tier", ("live", "historical")),
        checks.one_of("verdict", tuple(Verdict)),
        checks.uuid("run_id"),
        checks.uuid("oldest_trade_id"),
        *map(checks.not_negative, ("pages", "trades_stored", "contracts_stored", "exchange_volume")),
        _as_state("verdict", lambda rows, state: pc.equal(pc.equal(state, _COMPLETE), pc.is_valid(rows["verdict"]))),
        _as_state(
            "error",
            lambda rows, state: pc.equal(pc.equal(state, pa.scalar(State.FAILED.value)), pc.is_valid(rows["error"])),
        ),
        _as_state(
            "settled_first", lambda rows, state: pc.or_(pc.not_equal(state, _COMPLETE), _any(rows["settled_first"]))
        ),
    ]


def _listings(_: ArchiveTable, known: Known) -> list[Rule]:
    return [_own_series(known), checks.uuid("run_id"), *map(checks.not_negative, ("events", "markets"))]


_RULES: dict[str, Callable[[ArchiveTable, Known], list[Rule]]] = {
    "series": _series,
    "events": _events,
    "markets": _markets,
    "trades": _trades,
    "candles_1m": _candles,
    "candles_5m": _candles,
    "checkpoints": _checkpoints,
    "listings": _listings,
}


def _own_series(known: Known) -> Rule:
    return checks.one_of("series_ticker", known.series, "not in series.parquet")


def _own_market(known: Known) -> Rule:
    rule = checks.one_of("ticker", known.markets, "not in markets.parquet")
    markets = frozenset(known.markets)

    def kept(rows: pa.RecordBatch) -> Column:
        # Few different ones at a time, while the whole rule looks at all of the city's markets each time.
        if markets.issuperset(_any(rows["ticker"]).unique().to_pylist()):
            return _KEPT
        return rule.kept(rows)

    return Rule(rule.column, kept, rule.meaning)


def _city(known: Known) -> Rule:
    if known.city is None:
        return Rule("city", lambda rows: pc.is_null(rows["city"]), "unexpected: this series does not belong to a city")
    expected = known.city

    def kept(rows: pa.RecordBatch) -> Column:
        same: Column = pc.equal(_any(rows["city"]), pa.scalar(expected))
        return pc.fill_null(same, False)

    return Rule("city", kept, f"not {expected}, whose folder this is")


def _date(ticker_column: str) -> Rule:
    """The event date is the one in the event's ticker."""

    def kept(rows: pa.RecordBatch) -> Column:
        pairs = zip(rows[ticker_column].to_pylist(), rows["event_date"].to_pylist(), strict=True)
        return pa.array(
            [checks.holds(lambda pair: parse_event_ticker(pair[0]).event_date == pair[1], pair) for pair in pairs],
            pa.bool_(),
        )

    return Rule("event_date", kept, f"not the date in {ticker_column}")


def _as_state(column: str, kept: Callable[[pa.RecordBatch, Column], Column]) -> Rule:
    return Rule(column, lambda rows: kept(rows, rows["state"]), "not what a checkpoint of this state says")


def _any(column: Any) -> Column:
    return column
