"""What an audit reads: a seeded sample of complete markets, and the one-minute candles of one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import asyncpg

from kalshi_ingest.domain.audit import MinuteCandle
from kalshi_ingest.domain.model import to_microseconds
from kalshi_ingest.domain.plausible import market_moments
from kalshi_ingest.domain.tickers import event_date_of
from kalshi_ingest.postgres.checkpoints import PROVED
from kalshi_ingest.postgres.citus import Forms, form

# The order is that of a hash of seed and ticker, which no database's collation touches. Rounds go over the series:
# in each, every series gives one market, from the historical and the live tier in turn, and neighbouring series
# begin with different tiers. So a sample as large as there are series meets every series and, where they have
# both, both tiers; one twice as large meets both tiers of every series.
_SAMPLED = f"""
with eligible as (
    select ticker, known.series_ticker, open_time, close_time,
           coalesce(settled_at < $5, close_time < $5, false) as archived,
           sha256(convert_to($2 || known.series_ticker, 'UTF8')) as series_place,
           sha256(convert_to($2 || ticker, 'UTF8')) as place
    from checkpoints known join markets using (ticker)
    where known.{PROVED} and known.trades_stored > 0 and known.series_ticker = any($1::text[])
      and ($3::date is null or known.event_date >= $3) and ($4::date is null or known.event_date <= $4)
), strata as (
    select *, dense_rank() over (order by series_place) as turn,
           row_number() over (partition by series_ticker, archived order by place) as depth
    from eligible
), rounds as (
    select *, row_number() over (partition by series_ticker order by depth, archived = (turn % 2 = 0)) as round
    from strata
), sampled as (
    select *, count(*) over () as eligible from rounds order by round, turn limit $6
)
"""  # noqa: S608
_SAMPLE = Forms(
    one_node=f"""
{_SAMPLED}
select ticker, series_ticker, archived, eligible,
       least(open_time, (select min(period_start) from candles where ticker = sampled.ticker and period_minutes = 1)),
       greatest(close_time, (select max(period_end) from candles where ticker = sampled.ticker and period_minutes = 1))
from sampled order by round, turn
""",  # noqa: S608
    spread=f"""
{_SAMPLED}, spans as materialized (
    select ticker, min(period_start) as first, max(period_end) as last
    from candles where period_minutes = 1 and ticker in (select ticker from sampled) group by ticker
)
select ticker, series_ticker, archived, eligible, least(open_time, first), greatest(close_time, last)
from sampled left join spans using (ticker) order by round, turn
""",  # noqa: S608
)

_CANDLES = """
select period_start, (open * 1000000)::bigint, (high * 1000000)::bigint, (low * 1000000)::bigint,
       (close * 1000000)::bigint, (vwap * 1000000)::bigint, (volume * 100)::bigint
from candles where ticker = $1 and period_minutes = 1 order by period_start
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which markets an audit is about: these series, event dates `first` to `last`; None for a date: no bound."""

    series_tickers: Sequence[str]
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Sampled:
    ticker: str
    series_ticker: str
    archived: bool
    """Whether the historical tier should hold it: it settled before the cutoff."""
    start: datetime
    """When trading began, or the first stored candle if that is earlier; no earlier than it can have been."""
    end: datetime
    """When trading ended, or the end of the last stored candle if that is later; no later than it can have been."""


async def sample(
    connection: asyncpg.Connection, scope: Scope, markets: int, seed: int, cutoff: datetime | None
) -> tuple[list[Sampled], int]:
    """Up to `markets` complete markets in scope with trades, and how many such there are.

    The same seed gives the same markets as long as these and the cutoff stay. Without a `cutoff` all count as live.
    """
    rows = await connection.fetch(
        await form(connection, _SAMPLE),
        list(scope.series_tickers),
        f"{seed}:",
        scope.first,
        scope.last,
        cutoff,
        markets,
    )
    return [_sampled(*row) for row in rows], rows[0][3] if rows else 0


def _sampled(ticker: str, series_ticker: str, archived: bool, _: int, start: datetime, end: datetime) -> Sampled:
    day = event_date_of(ticker)
    if day is not None:  # a moment that cannot be would ask for the candles of a thousand years
        first, last = market_moments(day)
        start, end = max(start, first), min(end, last)
    return Sampled(ticker, series_ticker, archived, start, end)


async def minute_candles(connection: asyncpg.Connection, ticker: str) -> list[MinuteCandle]:
    """The stored one-minute candles of a market, oldest first."""
    return [MinuteCandle(to_microseconds(row[0]), *row[1:]) for row in await connection.fetch(_CANDLES, ticker)]
