"""`status`: what is held, in progress and left; past runs; and taking back what a run asked for."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from kalshi_ingest.cli.common import database_url, interruptible, say
from kalshi_ingest.cli.options import DATABASE, FLAT, LOGS, command, option
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE
from kalshi_ingest.ingest.resources import migrate_schema, open_database
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.settings import Settings
from kalshi_ingest.status import run_history
from kalshi_ingest.status.held import status as read_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of `status`."""

    json: Annotated[bool, option("as JSON")] = False
    runs: Annotated[bool, option("the newest runs instead, a line each")] = False
    run: Annotated[
        str | None, option("all details of one run; the first characters of its id are enough", metavar="ID")
    ] = None
    forget: Annotated[
        str | None,
        option(
            "take back what this run asked for, so that coverage does not expect its dates; what is held stays",
            metavar="ID",
        ),
    ] = None


_DEFAULT = Asked()


@command(*DATABASE, *LOGS)
def status(settings: Settings, *, asked: Annotated[Asked, FLAT] = _DEFAULT) -> int:
    """`status`: always 0; it shows, it does not judge. With `--forget` it takes back what a run asked for."""
    if asked.forget is not None and (asked.run or asked.runs or asked.json):
        raise Unusable("--forget stands alone: leave out --run, --runs and --json")

    async def read(url: str) -> int:
        if settings.database_url is None:  # the embedded database is the program's own, so it needs no asking
            await migrate_schema(url)
        database = await open_database(url)
        try:
            say(await _told(database, asked))
        finally:
            await database.close()
        return COMPLETE

    with database_url(settings) as url:
        return asyncio.run(interruptible(read(url)))


async def _told(database: Database, asked: Asked) -> str:
    if asked.forget is not None:
        return await run_history.forget_run(database, asked.forget, utc_now())
    if asked.run is not None:
        told = await run_history.one_run(database, asked.run)
        return run_history.as_json(told) if asked.json else run_history.run_text(told)
    if asked.runs:
        runs = await run_history.newest_runs(database)
        return run_history.as_json(runs) if asked.json else run_history.runs_text(runs)
    found = await read_status(database)
    return found.as_json() if asked.json else found.as_text()
