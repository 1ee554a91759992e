"""What is held, in progress and left: read for `status`."""

from dataclasses import dataclass
from datetime import date, datetime

import asyncpg

_HOLDINGS = """
select series.series_ticker, coalesce(series.city, series.series_ticker) as label,
       count(listed.ticker) as markets,
       min(listed.event_date) as first_date, max(listed.event_date) as last_date,
       count(*) filter (where known.verdict = 'exact') as exact,
       count(*) filter (where known.verdict = 'short') as short,
       count(*) filter (where known.verdict = 'over') as over,
       count(*) filter (where known.verdict = 'unknown') as unknown,
       count(*) filter (where known.state = 'open') as open,
       count(*) filter (where known.state = 'walking') as walking,
       count(*) filter (where known.state = 'failed') as failed,
       count(listed.ticker) filter (where known.ticker is null) as never_fetched,
       coalesce(sum(known.trades_stored), 0)::bigint as trades,
       max(known.updated_at) as updated_at
from series
left join (
    select ticker, series_ticker, event_date from markets
    union -- a market whose row could not be read is known by its failed checkpoint only
    select ticker, series_ticker, event_date from checkpoints where state = 'failed'
) as listed using (series_ticker)
left join checkpoints known using (ticker)
group by series.series_ticker, series.city
order by label
"""

_FAILURES = """
select ticker, error from checkpoints where state = 'failed' order by updated_at desc, ticker limit $1
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """One series: its markets by what is proved about their trades."""

    series_ticker: str
    label: str
    markets: int
    first_date: date | None
    last_date: date | None
    exact: int
    short: int
    over: int
    unknown: int
    open: int
    walking: int
    failed: int
    never_fetched: int
    trades: int
    updated_at: datetime | None

    @property
    def complete(self) -> int:
        """Markets proved complete, whatever their verdict."""
        return self.exact + self.short + self.over + self.unknown

    @property
    def left(self) -> int:
        return self.markets - self.complete


async def holdings(connection: asyncpg.Connection) -> list[Holding]:
    return [Holding(**dict(row)) for row in await connection.fetch(_HOLDINGS)]


async def failures(connection: asyncpg.Connection, most: int) -> list[tuple[str, str]]:
    """(ticker, reason) of markets that failed, the newest first."""
    return [(row["ticker"], row["error"]) for row in await connection.fetch(_FAILURES, most)]
