"""The ingestion log: one row per run and series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import UUID

import asyncpg
import orjson

_BEGIN = """
insert into ingestion_log (run_id, command, series_ticker, status, started_at, min_event_date, max_event_date, asked_by)
select $1, $2, series_ticker, 'running', $4, $5, $6, $7 from unnest($3::text[]) as series_ticker
on conflict do nothing
"""

# Called with the series' lock held: a row that still says "running" belongs to a process that is gone. Weather has
# locks of its own for each of its commands, and may run beside a backfill of the same series.
_BURY = """
update ingestion_log set status = 'interrupted', error_message = 'the process ended without recording a result'
where status = 'running' and series_ticker = any($1::text[]) and run_id <> $2
    and coalesce(substring(command from '^weather \\w+'), '') = coalesce(substring($3 from '^weather \\w+'), '')
"""

IS_EXPECTED = "(command not like 'weather %' and forgotten_at is null and markets_listed is distinct from 0)"
"""SQL: whether the event dates of a run should be held. Not those of a run for which the exchange listed other dates
only, or that a person withdrew; those of one that failed before it could know are expected."""
EXPECTED = f"ingestion_log where {IS_EXPECTED}"

_UPDATE = """
update ingestion_log set status = $3, markets_listed = $13, markets_fetched = $4, trades_fetched = $5, candles_1m = $6,
    candles_5m = $7, requests = $8, retries = $9, error_message = $10, finished_at = $11, details = $12::jsonb,
    duration_seconds = extract(epoch from $11::timestamptz - started_at)
where run_id = $1 and series_ticker = $2
"""

_DETAILS = 100


@dataclass(frozen=True, slots=True)
class SeriesCount:
    markets: int = 0
    trades: int = 0
    candles_1m: int = 0
    candles_5m: int = 0
    requests: int = 0
    retries: int = 0
    listed: int | None = None
    """As the column `markets_listed` says."""

    def since(self, before: "SeriesCount") -> "SeriesCount":
        """The counts after `before`."""
        return replace(
            self,
            trades=self.trades - before.trades,
            candles_1m=self.candles_1m - before.candles_1m,
            candles_5m=self.candles_5m - before.candles_5m,
            requests=self.requests - before.requests,
            retries=self.retries - before.retries,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation of a command."""

    run_id: UUID
    command: str
    asked_by: str
    """user@host and the version of the program."""
    started_at: datetime
    min_event_date: date | None
    """First event date asked for; None for a command that asks for all that is there."""
    max_event_date: date | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of one series ended."""

    status: str
    """success, partial, failed or interrupted."""
    error: str | None = None
    """The first reason, for a reader of the table."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """What failed → why."""
    warnings: Sequence[str] = ()

    def details(self) -> str | None:
        """The value of the column `details`."""
        if not self.failed and not self.warnings:
            return None
        kept = {
            "failed": dict(list(self.failed.items())[:_DETAILS]),
            "failed_count": len(self.failed),
            "warnings": list(self.warnings[:_DETAILS]),
            "warnings_count": len(self.warnings),
        }
        return orjson.dumps(kept).decode()


_RUNNING = Outcome("running")


async def begin(connection: asyncpg.Connection, run: Run, series_tickers: Sequence[str]) -> None:
    """Log the start for each series, and correct what a killed run of them left behind. Twice is harmless."""
    await connection.execute(_BURY, list(series_tickers), run.run_id, run.command)
    await connection.execute(
        _BEGIN,
        run.run_id,
        run.command,
        list(series_tickers),
        run.started_at,
        run.min_event_date,
        run.max_event_date,
        run.asked_by,
    )


async def update(
    connection: asyncpg.Connection,
    run: Run,
    counts: Mapping[str, SeriesCount],
    outcome: Mapping[str, Outcome],
    finished_at: datetime | None,
) -> None:
    """Write the counts of each series, and the outcome of those that ended."""
    for series_ticker, count in counts.items():
        ended = outcome.get(series_ticker, _RUNNING)
        await connection.execute(
            _UPDATE,
            run.run_id,
            series_ticker,
            ended.status,
            count.markets,
            count.trades,
            count.candles_1m,
            count.candles_5m,
            count.requests,
            count.retries,
            ended.error,
            finished_at,
            ended.details(),
            count.listed,
        )
