"""`status`, `migrate` and `database`: looking at the database and after it."""

import argparse
import asyncio

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.commands.common import database_url, interruptible, say
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE
from kalshi_ingest.jobs import history
from kalshi_ingest.jobs.session import migrated, with_database
from kalshi_ingest.jobs.shell import psql
from kalshi_ingest.jobs.status import status as read_status
from kalshi_ingest.settings import Settings
from kalshi_ingest.store import embedded
from kalshi_ingest.store.address import with_search_path
from kalshi_ingest.store.database import Database
from kalshi_ingest.store.grants import Roles, grants
from kalshi_ingest.store.migrate import migrations_dir
from kalshi_ingest.store.migrate import read as read_migrations
from kalshi_ingest.store.relations import made_by


def status(arguments: argparse.Namespace, settings: Settings) -> int:
    """`status`: always 0; it tells, it does not judge. With `--forget` it takes back what a run asked for."""
    if arguments.forget is not None and (arguments.run or arguments.runs or arguments.json):
        raise Unusable("--forget stands alone: leave out --run, --runs and --json")

    async def read(url: str) -> int:
        if settings.database_url is None:  # the embedded database is the program's own, so it needs no asking
            await migrated(url)
        database = await with_database(url)
        try:
            say(await _told(database, arguments))
        finally:
            await database.close()
        return COMPLETE

    with database_url(settings) as url:
        return asyncio.run(interruptible(read(url)))


async def _told(database: Database, arguments: argparse.Namespace) -> str:
    if arguments.forget is not None:
        return await history.forget_run(database, arguments.forget, utc_now())
    if arguments.run is not None:
        told = await history.one_run(database, arguments.run)
        return history.as_json(told) if arguments.json else history.run_text(told)
    if arguments.runs:
        runs = await history.newest_runs(database)
        return history.as_json(runs) if arguments.json else history.runs_text(runs)
    found = await read_status(database)
    return found.as_json() if arguments.json else found.as_text()


def migrate(_: argparse.Namespace, settings: Settings) -> int:
    """`migrate`: apply what is missing."""

    async def apply(url: str) -> int:
        applied = await migrated(url)
        say("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
        return COMPLETE

    with database_url(settings) as url:
        return asyncio.run(interruptible(apply(url)))


def database(arguments: argparse.Namespace, settings: Settings) -> int:
    """`database url`, `database psql`, `database stop`, `database grants`."""
    if arguments.what == "grants":
        migrations = read_migrations(migrations_dir())
        made = made_by((each.sql for each in migrations), settings.database_schema)
        say(grants(Roles(arguments.owner, arguments.writer, arguments.reader), settings.database_schema, made))
        return COMPLETE
    if arguments.what == "stop":
        if settings.database_url is not None:
            raise Unusable("KALSHI_INGEST_DATABASE_URL names a database of yours: stop it the way you started it")
        say("stopped" if embedded.stop(settings.data_dir) else "it was not running")
        return COMPLETE
    # Whoever asks for the address wants to use it, so the embedded server stays up until `database stop`.
    with database_url(settings, keep=arguments.what == "url") as url:
        if arguments.what == "url":
            say(with_search_path(url))
            return COMPLETE
        return psql(with_search_path(url), arguments.passed_on)
