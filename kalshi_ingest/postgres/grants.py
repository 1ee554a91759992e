"""The SQL that makes three roles for a database: one that owns the tables, one that writes and one that only reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from kalshi_ingest.postgres.relations import WEATHER, Relation
from kalshi_ingest.postgres.rights import WRITING

_MAINTAIN_SINCE = 170_000
"""`server_version_num` since which refreshing a materialized view is a right and not the owner's alone."""


@dataclass(frozen=True, slots=True)
class Roles:
    owner: str = "kalshi_owner"
    writer: str = "kalshi_writer"
    reader: str = "kalshi_reader"


def grants(roles: Roles, schema: str, relations: Sequence[Relation]) -> str:
    """All of it, for psql or any other client; running it again changes nothing.

    It has to be run in the database itself, by a superuser or by its owner with the right to create roles.
    """
    owner, writer, reader = (_identifier(name) for name in (roles.owner, roles.writer, roles.reader))
    place, write = _identifier(schema), ", ".join(WRITING).lower()
    return f"""\
-- Roles for kalshi-ingest. Run this in its database, as a superuser or as the database's owner with the right to create
-- roles, before the first `kalshi-ingest migrate` or after; running it again changes nothing. No role gets a password
-- here: set one with \\password, or let pg_hba.conf or the service say how they log in.
--   {roles.owner}: `migrate`, and `weather grid` where the server is older than PostgreSQL 17
--   {roles.writer}: `backfill`, `follow`, `load`, `weather`, `coverage --fix`
--   {roles.reader}: `status`, `coverage`, `export`, and everyone's own queries
do $roles$
declare
    wanted text;
begin
    foreach wanted in array array[{_literal(roles.owner)}, {_literal(roles.writer)}, {_literal(roles.reader)}] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format('create role %I login', wanted);
        end if;
    end loop;
    -- A role that is not a superuser grants rights in the owner's name, so it has to be a member of the owner.
    if not pg_has_role({_literal(roles.owner)}, 'usage') then
        execute format('grant %I to current_user', {_literal(roles.owner)});
    end if;
    execute format('grant connect, create on database %I to %I', current_database(), {_literal(roles.owner)});
    execute format('grant connect, temporary on database %I to %I', current_database(), {_literal(roles.writer)});
    execute format('grant connect on database %I to %I', current_database(), {_literal(roles.reader)});
    if not exists (select from pg_namespace where nspname = {_literal(schema)}) then
        execute format('create schema %I authorization %I', {_literal(schema)}, {_literal(roles.owner)});
    end if;
end
$roles$;
grant usage, create on schema {place} to {owner};
grant usage on schema {place} to {writer}, {reader};

-- What the owner creates from now on. These hold for all that this role creates in the database, so it should be for
-- kalshi-ingest alone.
alter default privileges for role {owner} grant usage on schemas to {writer}, {reader};
alter default privileges for role {owner} grant {write} on tables to {writer};
alter default privileges for role {owner} grant select on tables to {reader};
do $maintain$
begin
    if current_setting('server_version_num')::integer >= {_MAINTAIN_SINCE} then -- refreshing the weather grid
        execute format('alter default privileges for role %I grant maintain on tables to %I',
                       {_literal(roles.owner)}, {_literal(roles.writer)});
    end if;
end
$maintain$;

-- What is there already. It keeps its owner: where that is another role, name it with --owner.
do $held$
declare
    held record;
begin
    if exists (select from pg_namespace where nspname = '{WEATHER}') then
        execute format('grant usage on schema {WEATHER} to %I, %I', {_literal(roles.writer)}, {_literal(roles.reader)});
    end if;
    for held in
        select relation.oid::regclass as name from pg_class relation join pg_namespace space on space.oid = relnamespace
        where (space.nspname, relname) in (
{_rows(relations)})
    loop
        execute format('grant {write} on %s to %I', held.name, {_literal(roles.writer)});
        execute format('grant select on %s to %I', held.name, {_literal(roles.reader)});
        if current_setting('server_version_num')::integer >= {_MAINTAIN_SINCE} then
            execute format('grant maintain on %s to %I', held.name, {_literal(roles.writer)});
        end if;
    end loop;
end
$held$;"""  # noqa: S608


def _rows(relations: Sequence[Relation]) -> str:
    return ",\n".join(f"            ({_literal(each.schema)}, {_literal(each.name)})" for each in relations)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
