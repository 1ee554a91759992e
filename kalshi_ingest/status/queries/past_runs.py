"""The ingestion log read back: what each run was asked for and how it ended. True also of runs that were killed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import asyncpg
import orjson

from kalshi_ingest.postgres.ingestion_log import IS_EXPECTED
from kalshi_ingest.postgres.locks import LOCK_CLASS, lock_key

_RUNS = f"""
select run_id::text, series_ticker, coalesce(series.city, series_ticker) as label, command, asked_by, status,
       started_at, finished_at, duration_seconds::double precision as seconds, min_event_date, max_event_date,
       markets_fetched, markets_listed, trades_fetched, candles_1m, candles_5m, requests, retries, error_message,
       details, forgotten_at, {IS_EXPECTED} as is_expected
from ingestion_log left join series using (series_ticker)
"""  # noqa: S608
_LATEST = """
where command not like 'weather %' and (series_ticker, started_at) in (
    select series_ticker, max(started_at) from ingestion_log where command not like 'weather %' group by series_ticker)
order by series_ticker
"""
_NEWEST = """
where run_id in (select run_id from ingestion_log group by run_id order by max(started_at) desc, run_id limit $1)
order by started_at desc, run_id, series_ticker
"""
_NAMED = "where run_id::text like $1 || '%' order by started_at desc, run_id, series_ticker"

_FORGET = "update ingestion_log set forgotten_at = $2 where run_id::text = $1 and forgotten_at is null"

_LOCKS = """
select objid::bigint as key from pg_locks
where locktype = 'advisory' and classid = $1 and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class SeriesRun:
    """What one run did for one series. `status` is the truth now: a run that holds no lock is not running."""

    run_id: str
    series_ticker: str
    label: str
    command: str
    asked_by: str | None
    status: str
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None
    min_event_date: date | None
    max_event_date: date | None
    markets_fetched: int
    markets_listed: int | None
    """Markets that the exchange lists for the asked dates; None as long as the lists do not prove it."""
    trades_fetched: int
    candles_1m: int
    candles_5m: int
    requests: int
    retries: int
    error_message: str | None
    details: Mapping[str, Any] | None
    """What failed and what was accepted with a warning; see the column's comment."""
    forgotten_at: datetime | None
    """When `status --forget` took it back; None: it was not."""
    is_expected: bool
    """Whether coverage expects the event dates that it asked for."""

    @property
    def of_weather(self) -> bool:
        """Whether it fetched weather, which has coverage of its own."""
        return self.command.startswith("weather ")


async def latest_of_each(connection: asyncpg.Connection) -> dict[str, SeriesRun]:
    """The newest run of each series' markets, by series ticker; weather has runs of its own."""
    rows = await connection.fetch(_RUNS + _LATEST)
    return {run.series_ticker: run for run in await _read(connection, rows)}


async def newest(connection: asyncpg.Connection, most: int) -> list[SeriesRun]:
    return await _read(connection, await connection.fetch(_RUNS + _NEWEST, most))


async def named(connection: asyncpg.Connection, prefix: str) -> list[SeriesRun]:
    return await _read(connection, await connection.fetch(_RUNS + _NAMED, prefix))


async def forget(connection: asyncpg.Connection, run_id: str, now: datetime) -> None:
    """Mark a run as taken back; the row stays, and so does everything that the run stored."""
    await connection.execute(_FORGET, run_id, now)


async def _read(connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> list[SeriesRun]:
    """A process that was killed cannot say so itself: its lock is gone."""
    held = {row["key"] for row in await connection.fetch(_LOCKS, LOCK_CLASS)}
    runs: list[SeriesRun] = []
    for row in rows:
        fields = dict(row)
        fields["details"] = None if row["details"] is None else orjson.loads(row["details"])
        if row["status"] == "running" and lock_key(_lock_name(row)) % 2**32 not in held:
            fields["status"] = "interrupted"
            fields["error_message"] = "the process ended without recording a result; run the command again to resume"
        runs.append(SeriesRun(**fields))
    return runs


def _lock_name(row: asyncpg.Record) -> str:
    """What a run holds a lock on: a series, or what kind of weather it fetches for one."""
    words = row["command"].split()
    return " ".join([*words[:2], row["series_ticker"]]) if words[0] == "weather" else row["series_ticker"]
