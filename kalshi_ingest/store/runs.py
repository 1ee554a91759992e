"""The ingestion log: one row per run and series, so that a run's story can be told afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg

_BEGIN = """
insert into ingestion_log (run_id, command, series_ticker, status, started_at, min_event_date, max_event_date)
select $1, $2, series_ticker, 'running', $4, $5, $6 from unnest($3::text[]) as series_ticker
on conflict do nothing
"""

# Called with the series' lock held: a row that still says "running" belongs to a process that is gone.
_BURY = """
update ingestion_log set status = 'interrupted', error_message = 'the process ended without a word'
where status = 'running' and series_ticker = any($1::text[]) and run_id <> $2
"""

_UPDATE = """
update ingestion_log set status = $3, markets_fetched = $4, trades_fetched = $5, candles_1m = $6, candles_5m = $7,
    requests = $8, retries = $9, error_message = $10, finished_at = $11,
    duration_seconds = extract(epoch from $11::timestamptz - started_at)
where run_id = $1 and series_ticker = $2
"""


@dataclass(slots=True)
class SeriesCount:
    """What a run did for one series so far."""

    markets: int = 0
    trades: int = 0
    candles_1m: int = 0
    candles_5m: int = 0
    requests: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation of a command."""

    run_id: UUID
    command: str
    started_at: datetime
    min_event_date: date
    max_event_date: date


async def begin(connection: asyncpg.Connection, run: Run, series_tickers: Sequence[str]) -> None:
    """Log the start for each series, and correct what a killed run of them left behind. Twice is harmless."""
    await connection.execute(_BURY, list(series_tickers), run.run_id)
    await connection.execute(
        _BEGIN,
        run.run_id,
        run.command,
        list(series_tickers),
        run.started_at,
        run.min_event_date,
        run.max_event_date,
    )


async def update(
    connection: asyncpg.Connection,
    run: Run,
    counts: Mapping[str, SeriesCount],
    outcome: Mapping[str, tuple[str, str | None]],
    finished_at: datetime | None,
) -> None:
    """Write the counts of each series; `outcome` gives (status, error message) of those that ended."""
    for series_ticker, count in counts.items():
        status, error = outcome.get(series_ticker, ("running", None))
        await connection.execute(
            _UPDATE,
            run.run_id,
            series_ticker,
            status,
            count.markets,
            count.trades,
            count.candles_1m,
            count.candles_5m,
            count.requests,
            count.retries,
            error,
            finished_at,
        )
