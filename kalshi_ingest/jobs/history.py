"""`status --runs` and `status --run`: the story of past runs, from the ingestion log."""

import dataclasses
import itertools
from collections.abc import Sequence
from datetime import datetime

import asyncpg
import orjson

from kalshi_ingest.errors import Unusable
from kalshi_ingest.jobs.tables import table
from kalshi_ingest.store import history
from kalshi_ingest.store.database import Database
from kalshi_ingest.store.history import SeriesRun

NEWEST = 20
_HEADER = ("series", "status", "markets", "trades", "1m", "5m", "requests", "retries", "seconds")


async def newest_runs(database: Database) -> list[SeriesRun]:
    """The newest runs, with all their series."""

    async def work(connection: asyncpg.Connection, _: bool) -> list[SeriesRun]:
        return await history.newest(connection, NEWEST)

    return await database.run(work)


async def one_run(database: Database, prefix: str) -> list[SeriesRun]:
    """The run whose id begins with `prefix`. Raises `Unusable` when there is none, or more than one."""

    async def work(connection: asyncpg.Connection, _: bool) -> list[SeriesRun]:
        return await history.named(connection, prefix)

    found = await database.run(work)
    ids = {run.run_id for run in found}
    if not ids:
        raise Unusable(f"no run's id begins with {prefix!r}: `kalshi-ingest status --runs` lists them")
    if len(ids) > 1:
        raise Unusable(f"{len(ids)} runs have an id that begins with {prefix!r}: give more of it")
    return found


def as_json(runs: Sequence[SeriesRun]) -> str:
    """One JSON array, an object per run and series."""
    return orjson.dumps([dataclasses.asdict(run) for run in runs], option=orjson.OPT_INDENT_2).decode()


def runs_text(runs: Sequence[SeriesRun]) -> str:
    """A line per run, the newest first."""
    if not runs:
        return "No run is on record."
    rows = []
    for run_id, group in itertools.groupby(runs, key=lambda run: run.run_id):
        members = list(group)
        rows.append(
            (
                run_id[:8],
                _minute(members[0].started_at),
                _status(members),
                len(members),
                sum(run.trades_fetched for run in members),
                sum(run.requests for run in members),
                members[0].command,
            )
        )
    header = ("run", "started (UTC)", "status", "series", "trades", "requests", "command")
    return table(header, rows) + "\n\nOne of them in full: kalshi-ingest status --run ID"


def run_text(runs: Sequence[SeriesRun]) -> str:
    """One run in full: who asked for what, how long, how many, what failed and why."""
    first = runs[0]
    lines = [
        f"run {first.run_id}",
        f"command    {first.command}",
        f"asked by   {first.asked_by or 'not recorded'}",
        f"started    {_minute(first.started_at)} UTC",
    ]
    if first.min_event_date is not None and first.max_event_date is not None:
        lines.append(f"dates      {first.min_event_date} to {first.max_event_date}")
    rows = [
        (
            run.label,
            run.status,
            run.markets_fetched,
            run.trades_fetched,
            run.candles_1m,
            run.candles_5m,
            run.requests,
            run.retries,
            "-" if run.seconds is None else f"{run.seconds:.1f}",
        )
        for run in runs
    ]
    lines += ["", table(_HEADER, rows)]
    for run in runs:
        lines += _troubles(run)
    return "\n".join(lines)


def _troubles(run: SeriesRun) -> list[str]:
    lines = [] if run.error_message is None else [f"\n{run.label}: {run.error_message}"]
    for title in ("failed", "warnings"):
        told = (run.details or {}).get(title) or {}
        if told:
            total = (run.details or {}).get(f"{title}_count", len(told))
            shown = [f"{what}: {why}" for what, why in told.items()] if isinstance(told, dict) else list(told)
            lines.append(f"\n{run.label}, {title}:")
            lines += [f"  {line}" for line in shown]
            lines += [f"  and {total - len(shown):,} more"] if total > len(shown) else []
    return lines


def _status(members: Sequence[SeriesRun]) -> str:
    """One word when all series agree, else the counts."""
    words = [run.status for run in members]
    if len(set(words)) == 1:
        return words[0]
    return ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
