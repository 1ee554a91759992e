"""What is held, in progress and left: read for `status`."""

from dataclasses import dataclass
from datetime import date, datetime

import asyncpg

from kalshi_ingest.store.database import LOCK_CLASS, lock_key

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

_LAST_RUNS = """
select distinct on (series_ticker) series_ticker, command, status, started_at, finished_at, markets_fetched,
       trades_fetched, requests, retries, error_message
from ingestion_log order by series_ticker, started_at desc
"""

_LOCKS = """
select objid::bigint as key from pg_locks
where locktype = 'advisory' and classid = $1 and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database())
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
        """Markets whose trades are not proved complete."""
        return self.markets - self.complete


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a series. `status` is the truth now: a run that holds no lock is not running."""

    series_ticker: str
    command: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    markets_fetched: int
    trades_fetched: int
    requests: int
    retries: int
    error_message: str | None


async def holdings(connection: asyncpg.Connection) -> list[Holding]:
    """One row per series, by label."""
    return [Holding(**dict(row)) for row in await connection.fetch(_HOLDINGS)]


async def failures(connection: asyncpg.Connection, most: int) -> list[tuple[str, str]]:
    """(ticker, reason) of markets that failed, the newest first."""
    return [(row["ticker"], row["error"]) for row in await connection.fetch(_FAILURES, most)]


async def last_runs(connection: asyncpg.Connection) -> dict[str, LastRun]:
    """The newest run of each series. A process that was killed cannot say so itself: its lock is gone."""
    held = {row["key"] for row in await connection.fetch(_LOCKS, LOCK_CLASS)}
    runs: dict[str, LastRun] = {}
    for row in await connection.fetch(_LAST_RUNS):
        fields = dict(row)
        if fields["status"] == "running" and lock_key(fields["series_ticker"]) % 2**32 not in held:
            fields["status"] = "interrupted"
            fields["error_message"] = "the process ended without a word; run the command again to resume"
        runs[fields["series_ticker"]] = LastRun(**fields)
    return runs
