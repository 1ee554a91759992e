"""Three roles by the SQL that `database grants` prints, on a real server, and what is said when rights are missing."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.ingest.resources import migrate_schema, open_database
from kalshi_ingest.postgres.rights import FETCH, JUDGE, OBSERVE, Need
from tests.cli.test_cli import one_line, run
from tests.support import postgres, tour
from tests.support.backfills import fetch


class Roles:
    """A database with an administrator who is no superuser, and the addresses of the three roles."""

    def __init__(self, url: str) -> None:
        self.name = urlsplit(url).path[1:]
        self.all = {kind: f"{kind}_{self.name}" for kind in ("owner", "writer", "reader")}
        self.admin = f"admin_{self.name}"
        self._url = url
        self.words = [word for kind, role in self.all.items() for word in (f"--{kind}", role)]

    def url(self, kind: str) -> str:
        """As one of the three, or as the administrator."""
        return postgres.with_database(self._url, self.name, self.all.get(kind, self.admin))


@pytest.fixture
async def roles(empty_database_url: str) -> AsyncIterator[Roles]:
    made = Roles(empty_database_url)
    await postgres.execute(
        empty_database_url,
        f"create role {made.admin} login createrole; alter database {made.name} owner to {made.admin};"
        f"revoke all on database {made.name} from public",
    )
    yield made
    for role in (*made.all.values(), made.admin):
        for row in await fetch(empty_database_url, "select 1 from pg_roles where rolname = $1", role):
            assert row
            await postgres.execute(
                empty_database_url, f"reassign owned by {role} to postgres; drop owned by {role}; drop role {role}"
            )


async def _granted(roles: Roles, **settings: str) -> None:
    """What is printed, run by the administrator: twice, since the second time changes nothing."""
    printed = await tour.succeeds("database", "grants", *roles.words, settings=settings)
    for _ in range(2):
        await postgres.execute(roles.url("admin"), printed.out)


async def test_each_role_can_do_its_work_and_no_more(roles: Roles, tmp_path: Path) -> None:
    """In a schema of its own, which takes the rights of `public` and one more."""
    schema = "kalshi"
    archive = tmp_path / "archive"
    async with tour.exchange() as (_, settings):
        settings["DATABASE_SCHEMA"] = schema
        await _granted(roles, DATABASE_SCHEMA=schema)
        await tour.succeeds("migrate", settings=settings | {"DATABASE_URL": roles.url("owner")})
        writer = settings | {"DATABASE_URL": roles.url("writer")}
        await tour.succeeds(*tour.BACKFILL, settings=writer)
        await tour.succeeds("weather", "settlement", *tour.CHICAGO, *tour.DATES, settings=writer)
        await tour.succeeds("weather", "grid", settings=writer)
        reader = settings | {"DATABASE_URL": roles.url("reader")}
        for words in (("status",), (*tour.COVERAGE, "--candles", "2"), ("export", "--output", str(archive))):
            await tour.succeeds(*words, settings=reader)
        await tour.succeeds("load", "--input", str(archive), settings=writer)
        refused = await run(*tour.BACKFILL, **reader)
        assert refused.code == 2
        assert "INSERT, UPDATE, DELETE on" in refused.err
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await postgres.execute(roles.url("writer"), f"create table {schema}.mine (number integer)")


async def test_tables_that_are_there_already(roles: Roles) -> None:
    await migrate_schema(roles.url("admin"))
    roles.all["owner"] = roles.admin
    roles.words[1] = roles.admin
    await _granted(roles)
    for kind, need in (("writer", OBSERVE), ("reader", JUDGE)):
        await (await open_database(roles.url(kind), need)).close()


@pytest.mark.parametrize(
    ("need", "missing"),
    [
        (FETCH, ("TEMPORARY on the database", "SELECT, INSERT, UPDATE, DELETE on public.candles", "--writer")),
        (JUDGE, ("USAGE on the schema wx", "SELECT on public.candles", "wx.settlement", "--reader")),
    ],
    ids=["writer", "reader"],
)
async def test_all_that_is_missing_is_said_at_once(roles: Roles, need: Need, missing: tuple[str, ...]) -> None:
    await migrate_schema(roles.url("admin"))
    await postgres.execute(
        roles.url("admin"),
        f"create role {roles.all['writer']} login; grant connect on database {roles.name} to {roles.all['writer']}",
    )
    with pytest.raises(DatabaseUnusable) as told:
        await open_database(roles.url("writer"), need)
    for each in missing:
        assert each in str(told.value)


async def test_all_that_a_migration_lacks_is_said_at_once(roles: Roles) -> None:
    owner = roles.all["owner"]
    await postgres.execute(
        roles.url("admin"), f"create role {owner} login; grant connect on database {roles.name} to {owner}"
    )
    result = await run("migrate", DATABASE_URL=roles.url("owner"))
    one_line(result, code=2, saying="lacks 2 rights: CREATE on the database")
    assert f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}" in result.err
    own = await run("migrate", DATABASE_URL=roles.url("owner"), DATABASE_SCHEMA="kalshi")
    one_line(own, code=2, saying="lacks a right: CREATE on the database")
