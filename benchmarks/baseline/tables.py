"""Every table of every schema as sorted text, and what defines the tables."""

from collections.abc import Collection, Mapping
from typing import Any

import asyncpg
import orjson

from benchmarks.baseline.masks import MASK, NULL_OR_NOT, masked_json

_RELATIONS = """
select nspname || '.' || relname as name,
       array_agg(array[attname, format_type(atttypid, null)] order by attnum) as columns
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
where relkind in ('r', 'p', 'v', 'm') and nspname not like 'pg\\_%' and nspname <> 'information_schema'
group by 1 order by 1
"""

_DEFINED = """
select nspname || '.' || relname || '.' || attname || ' ' || format_type(atttypid, atttypmod)
       || case when attnotnull then ' not null' else '' end || coalesce(' default ' || pg_get_expr(adbin, adrelid), '')
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
left join pg_attrdef on adrelid = attrelid and adnum = attnum
where relkind in ('r', 'p', 'v', 'm') and nspname not like 'pg\\_%' and nspname <> 'information_schema'
union all
select conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(pg_constraint.oid)
from pg_constraint join pg_namespace on pg_namespace.oid = connamespace where nspname not like 'pg\\_%'
union all select indexdef from pg_indexes where schemaname not like 'pg\\_%'
union all select schemaname || '.' || viewname || ' ' || definition from pg_views
where schemaname not like 'pg\\_%' and schemaname <> 'information_schema'
union all select schemaname || '.' || matviewname || ' ' || definition from pg_matviews order by 1
"""

_COMMENTS = """
select coalesce(objoid::regclass::text, '') || coalesce('.' || attname, '') || ': ' || description
from pg_description join pg_class on pg_class.oid = objoid and classoid = 'pg_class'::regclass
join pg_namespace on pg_namespace.oid = relnamespace
left join pg_attribute on attrelid = objoid and attnum = objsubid and attnum > 0
where nspname not like 'pg\\_%' and nspname <> 'information_schema' order by 1
"""

_CONSTANTS = {
    "timestamp with time zone": "'2026-01-01Z'",
    "uuid": "'00000000-0000-0000-0000-000000000000'",
    "numeric": "0",
    "text": "'-'",
}


async def tables(
    url: str, columns: Collection[str], fields: Mapping[str, str], once: Collection[str] = ()
) -> dict[str, str]:
    """Relation → one line with its columns and one for each row, sorted; masked are these columns and JSON fields.

    `once`: the relations of which equal rows count once.
    """
    connection = await _connected(url)
    try:
        relations = await connection.fetch(_RELATIONS)
        found = {each["name"]: await _rows(connection, each, columns, fields) for each in relations}
        return {name: _lines(dict.fromkeys(rows) if name in once else rows) for name, rows in found.items()}
    finally:
        await connection.close()


async def definitions(url: str) -> tuple[str, str]:
    """What defines the relations, and the comments on them."""
    connection = await _connected(url)
    try:
        defined, comments = [await connection.fetch(query) for query in (_DEFINED, _COMMENTS)]
        return _lines(row[0] for row in defined), _lines(row[0] for row in comments)
    finally:
        await connection.close()


async def settle(url: str, columns: Collection[str]) -> None:
    """Give what differs by nature one and the same value, so that files made of it can be compared by their bytes."""
    connection = await _connected(url)
    try:
        await connection.execute("truncate ingestion_log, commit_fences")
        for each in await connection.fetch(_RELATIONS.replace("'r', 'p', 'v', 'm'", "'r'")):
            constants = [
                f"{name} = {_CONSTANTS[kind]}"
                for name, kind in each["columns"]
                if name in columns and kind in _CONSTANTS
            ]
            if constants:
                await connection.execute(f"update {each['name']} set {', '.join(constants)}")
    finally:
        await connection.close()


async def _connected(url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    await connection.execute("set search_path = public")
    return connection


async def _rows(
    connection: asyncpg.Connection, relation: Any, columns: Collection[str], fields: Mapping[str, str]
) -> list[str]:
    chosen = ", ".join(_chosen(name, columns) for name, _ in relation["columns"])
    json = [place for place, (_, kind) in enumerate(relation["columns"]) if kind == "jsonb"]
    lines = []
    for row in await connection.fetch(f"select {chosen} from {relation['name']}"):
        values = list(row)
        for place in json:
            if values[place] not in (None, MASK):
                value = masked_json(orjson.loads(values[place]), fields, {})
                values[place] = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        lines.append("\t".join("NULL" if value is None else value.replace("\n", "\\n") for value in values))
    head = "\t".join(name for name, _ in relation["columns"])
    return [head, *sorted(lines)]


def _chosen(name: str, masked: Collection[str]) -> str:
    if name not in masked:
        return f"{name}::text"
    return f"'{MASK}'" if name in NULL_OR_NOT else f"case when {name} is null then null else '{MASK}' end"


def _lines(lines: Any) -> str:
    return "".join(f"{line}\n" for line in lines)
