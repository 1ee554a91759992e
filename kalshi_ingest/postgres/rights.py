"""Which rights of the database's user are missing, all of them in one error, before any work begins."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.postgres.relations import WEATHER, Relation

WRITING = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""Rights on each table that is written to; on all others it is the first."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a command does with the tables of the markets and with those of the weather."""

    weather: bool = False
    """Reads the weather's tables too."""
    writes_markets: bool = False
    writes_weather: bool = False

    @property
    def writes(self) -> bool:
        """Whether it is a writer's command."""
        return self.writes_markets or self.writes_weather


LOOK = Need()
JUDGE = Need(weather=True)
FETCH = Need(writes_markets=True)
OBSERVE = Need(weather=True, writes_markets=True, writes_weather=True)
"""Fetches weather, or loads an archive with weather in it; every run leaves a line in a table of the markets."""

# By the catalogs and not by a name's resolution, which itself needs the right to use the schema.
_MISSING = """
with held as (
    select relation.oid, space.nspname as schema_name, relname, relkind
    from pg_class relation join pg_namespace space on space.oid = relnamespace
    where (space.nspname, relname) in (select * from unnest($1::text[], $2::text[]))
)
select 1 as place, nspname::text as schema_name, '' as name, 'USAGE' as privilege from pg_namespace
where nspname = any($1::text[]) and not has_schema_privilege(oid, 'USAGE')
union all
select 2, schema_name::text, relname::text, privilege
from held cross join lateral unnest(
    case when schema_name = any($3::text[]) and relkind in ('r', 'p') and relname <> 'schema_migrations'
         then $4::text[] else ($4::text[])[:1] end) as privilege
where not has_table_privilege(held.oid, privilege)
union all
select 0, '', '', 'TEMPORARY' where $5 and not has_database_privilege(current_database(), 'TEMPORARY')
order by 1, 2, 3, 4
"""

_TO_MIGRATE = """
select quote_ident(current_user) as me, quote_ident(current_database()) as database,
    not has_database_privilege(current_database(), 'CREATE')
        and exists (select from unnest($2::text[]) as wanted (name)
                    where not exists (select from pg_namespace where nspname = wanted.name)) as lacks_create,
    array(select quote_ident(nspname) from pg_namespace where nspname = $1
          and not (has_schema_privilege(oid, 'USAGE') and has_schema_privilege(oid, 'CREATE'))) as schemas,
    array(select distinct quote_ident(pg_get_userbyid(relowner))
          from pg_class relation join pg_namespace space on space.oid = relnamespace
          where (space.nspname, relname) in (select * from unnest($3::text[], $4::text[]))
            and not pg_has_role(relowner, 'USAGE')) as owners
"""

_WHO = "select current_user as me, current_database() as database"


async def require(connection: asyncpg.Connection, need: Need, relations: Iterable[Relation]) -> None:
    """Raise `DatabaseUnusable` with every right that the user lacks; tables that are not there count for nothing."""
    chosen = [each for each in relations if need.weather or each.schema != WEATHER]
    schemas = sorted({each.schema for each in chosen})
    written = [each for each in schemas if (need.writes_weather if each == WEATHER else need.writes_markets)]
    names = [each.schema for each in chosen], [each.name for each in chosen]
    rows = await connection.fetch(_MISSING, *names, written, list(WRITING), need.writes)
    if not rows:
        return
    who = (await connection.fetch(_WHO))[0]
    lacking = _worded(rows, who["database"])
    kind = "writer" if need.writes else "reader"
    raise DatabaseUnusable(
        f"{_lacks(lacking)}; `kalshi-ingest database grants --{kind} {who['me']}` prints what the database's owner "
        "has to run"
    )


async def require_to_migrate(
    connection: asyncpg.Connection, schema: str, made: Sequence[str], relations: Sequence[Relation]
) -> None:
    """The same for making and changing tables in `schema`, with the schemas that are made on the way."""
    names = [each.schema for each in relations], [each.name for each in relations]
    row = (await connection.fetch(_TO_MIGRATE, schema, list(made), *names))[0]
    me, database = row["me"], row["database"]
    lacking, grants = [], []
    if row["lacks_create"]:
        lacking.append(f"CREATE on the database {database}")
        grants.append(f"GRANT CREATE ON DATABASE {database} TO {me}")
    for name in row["schemas"]:
        lacking.append(f"USAGE, CREATE on the schema {name}")
        grants.append(f"GRANT USAGE, CREATE ON SCHEMA {name} TO {me}")
    for owner in row["owners"]:
        lacking.append(f"the ownership of tables that belong to {owner}")
        grants.append(f"GRANT {owner} TO {me}")
    if lacking:
        raise DatabaseUnusable(
            f"{_lacks(lacking)}; let the database's owner run {'; '.join(grants)} "
            f"(all that there is to grant: `kalshi-ingest database grants --owner {me}`)"
        )


def _lacks(lacking: Sequence[str]) -> str:
    number = "a right" if len(lacking) == 1 else f"{len(lacking)} rights"
    return f"the database user lacks {number}: {'; '.join(lacking)}"


def _worded(rows: Sequence[asyncpg.Record], database: str) -> list[str]:
    """Tables with the same rights missing in one piece."""
    said: list[str] = []
    by_table: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if not row["schema_name"]:
            said.append(f"{row['privilege']} on the database {database}")
        elif not row["name"]:
            said.append(f"{row['privilege']} on the schema {row['schema_name']}")
        else:
            by_table[f"{row['schema_name']}.{row['name']}"].append(row["privilege"])
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for table, privileges in by_table.items():
        alike[tuple(each for each in WRITING if each in privileges)].append(table)
    return said + [f"{', '.join(privileges)} on {', '.join(tables)}" for privileges, tables in alike.items()]
