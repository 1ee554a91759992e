"""`database url`, `database psql`, `database stop`, `database grants`."""

from typing import Annotated

from cyclopts import Parameter

from kalshi_ingest.cli.common import database_url, say
from kalshi_ingest.cli.options import COMMON, DATABASE, LOGS, command, option
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE
from kalshi_ingest.postgres.address import with_search_path
from kalshi_ingest.postgres.embedded import server
from kalshi_ingest.postgres.grants import Roles
from kalshi_ingest.postgres.grants import grants as sql_of
from kalshi_ingest.postgres.migrate import migrations_dir
from kalshi_ingest.postgres.migrate import read as read_migrations
from kalshi_ingest.postgres.psql import psql as run_psql
from kalshi_ingest.postgres.relations import made_by
from kalshi_ingest.settings import Settings


@command(*DATABASE, *LOGS)
def url(settings: Settings) -> int:
    """`database url`: the address is printed to be used, so the embedded server stays up until `stop`."""
    with database_url(settings, keep=True) as address:
        say(with_search_path(address))
    return COMPLETE


@command(*DATABASE, *LOGS, without=COMMON)  # psql has a -q and a -v of its own
def psql(settings: Settings, *words: Annotated[str, Parameter(help="for psql", allow_leading_hyphen=True)]) -> int:
    """`database psql`: psql's own exit code. The address is hidden from other users of the machine."""
    with database_url(settings) as address:
        return run_psql(with_search_path(address), words)


@command(*DATABASE, *LOGS)
def stop(settings: Settings) -> int:
    """`database stop`: the embedded server."""
    if settings.database_url is not None:
        raise Unusable("KALSHI_INGEST_DATABASE_URL names a database of yours: stop it the way you started it")
    say("stopped" if server.stop(settings.data_dir) else "it was not running")
    return COMPLETE


@command(*DATABASE, *LOGS)
def grants(
    settings: Settings,
    *,
    owner: Annotated[str, option("the role that migrates", metavar="ROLE")] = "kalshi_owner",
    writer: Annotated[str, option("the role that fetches", metavar="ROLE")] = "kalshi_writer",
    reader: Annotated[str, option("the role that only reads", metavar="ROLE")] = "kalshi_reader",
) -> int:
    """`database grants`: prints the SQL that makes the three roles and gives each its rights."""
    migrations = read_migrations(migrations_dir())
    made = made_by((each.sql for each in migrations), settings.database_schema)
    say(sql_of(Roles(owner, writer, reader), settings.database_schema, made))
    return COMPLETE
