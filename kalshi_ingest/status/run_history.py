"""`status --runs` and `status --run`: the story of past runs, from the ingestion log."""

import dataclasses
import itertools
from collections.abc import Sequence
from datetime import date, datetime

import orjson

from kalshi_ingest.coverage.queries import evidence
from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.database import Connection, Database
from kalshi_ingest.status.queries import past_runs
from kalshi_ingest.status.queries.past_runs import SeriesRun
from kalshi_ingest.text_table import table

NEWEST = 20
_HEADER = ("series", "status", "markets", "trades", "1m", "5m", "requests", "retries", "seconds")


async def newest_runs(database: Database) -> list[SeriesRun]:
    """The newest runs, with all their series."""
    return await database.run(past_runs.newest, NEWEST)


async def one_run(database: Database, prefix: str) -> list[SeriesRun]:
    """The run whose id begins with `prefix`. Raises `Unusable` when there is none, or more than one."""
    return _only(await database.run(past_runs.named, prefix), prefix)


async def forget_run(database: Database, prefix: str, now: datetime) -> str:
    """Take back what a run asked for, and say what that changes in the dates that coverage expects.

    Raises `Unusable` unless exactly one run is meant, while it is at work, and for a run of the weather.
    """

    async def work(connection: Connection) -> str:
        run = _only(await past_runs.named(connection, prefix), prefix)
        first = run[0]
        if first.of_weather:
            raise Unusable(f"run {first.run_id[:8]} fetched weather: coverage expects no event date because of it")
        if any(each.status == "running" for each in run):
            raise Unusable(f"run {first.run_id[:8]} is still at work: stop it before it is forgotten")
        before = await evidence.expected_dates(connection)
        await past_runs.forget(connection, first.run_id, now)
        return _forgotten(run, before, await evidence.expected_dates(connection))

    return await database.run(work)


def _only(found: list[SeriesRun], prefix: str) -> list[SeriesRun]:
    """The rows of the one run that is meant."""
    ids = {run.run_id for run in found if prefix and run.run_id.startswith(prefix)}
    if not ids:
        raise Unusable(f"no run's id begins with {prefix!r}: `kalshi-ingest status --runs` lists them")
    if len(ids) > 1:
        raise Unusable(f"{len(ids)} runs have an id that begins with {prefix!r}: give more of it")
    return found


def _forgotten(run: Sequence[SeriesRun], before: tuple[date, date] | None, after: tuple[date, date] | None) -> str:
    first = run[0]
    labels = ", ".join(each.label for each in run)
    lines = [
        f"Run {first.run_id[:8]} is forgotten: {first.command}",
        "  Everything that it stored stays, and `status --runs` still shows it.",
    ]
    if first.min_event_date is not None and first.max_event_date is not None:
        lines.insert(1, f"  It asked for event dates {first.min_event_date} to {first.max_event_date} of {labels}.")
    if first.forgotten_at is not None:
        when = _minute(first.forgotten_at)
        lines[0] = f"Run {first.run_id[:8]} was forgotten already, on {when} UTC: {first.command}"
    if after is None:
        told = "`coverage` expects no event date any more because of what was asked for or is held."
    else:
        told = f"`coverage` expects event dates {after[0]} to {after[1]}"
        told += ", as before: other runs asked for them, or they are held." if after == before else "."
    return "\n".join([*lines, told])


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
        counts = (len(members), sum(run.trades_fetched for run in members), sum(run.requests for run in members))
        rows.append((run_id[:8], _minute(members[0].started_at), _status(members), *counts, members[0].command))
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
    if first.forgotten_at is not None:
        when = _minute(first.forgotten_at)
        lines.append(f"forgotten  {when} UTC: coverage does not expect these dates because of it")
    rows = [
        (
            *(run.label, run.status, run.markets_fetched, run.trades_fetched, run.candles_1m, run.candles_5m),
            *(run.requests, run.retries, "-" if run.seconds is None else f"{run.seconds:.1f}"),
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
    """One word when all series agree, else the counts; and whether the run was taken back."""
    words = [run.status for run in members]
    told = words[:1] if len(set(words)) == 1 else [f"{words.count(word)} {word}" for word in sorted(set(words))]
    return ", ".join([*told, "forgotten"] if members[0].forgotten_at else told)


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
