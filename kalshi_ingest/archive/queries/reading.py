"""Rows out of the tables as PostgreSQL's own CSV, in key order and in bounded memory, for the archive."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date

import asyncpg

from kalshi_ingest.errors import IngestError
from kalshi_ingest.postgres.citus import Forms, form

Take = Callable[[bytes], Awaitable[None]]
"""Gets whole CSV rows, some megabytes at a time: no header, NULL is an empty field, an empty text is ""."""

_CHUNK = 2 * 1024 * 1024
_ROWS_PER_QUERY = 100_000
_ROWS_PER_TICKER = 200
"""Added per ticker to what its checkpoint counts: a query costs something for each, and a count may be missing."""

_TEXT = frozenset({"series_ticker", "event_ticker", "ticker"})
"""Key columns that are text, which every reader of the files sorts by code point."""

# The session's own settings would show in the CSV; the sort of one query's rows belongs in memory.
# A reader may pause for as long as an object storage takes: the server must not take it for dead.
_SETTINGS = """
set local datestyle = 'ISO'; set local timezone = 'UTC'; set local work_mem = '32MB'; set local tcp_user_timeout = 0
"""

_SERIES = """
select series_ticker, city, title from series order by series_ticker collate "C"
"""

_TICKERS = """
select ticker, min(event_date) as event_date, max(rows) as rows
from (
    select ticker, event_date, 0 as rows from markets where series_ticker = any($1::text[])
    union all -- a market whose row was lost is still known by its checkpoint
    select ticker, event_date, trades_stored from checkpoints where series_ticker = any($1::text[])
) as known
group by ticker
"""

_COMMENTS = """
select attname, col_description(attrelid, attnum) as comment from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of a table to read, and in which order."""

    table: str
    columns: Sequence[str]
    key: Sequence[str]
    """The order within an event date, or of all rows."""
    by_date: bool = False
    """Put the event date in front, as the first column and as the first thing to sort by."""
    period_minutes: int | None = None
    """Only candles of this length."""


@dataclass(frozen=True, slots=True)
class StoredSeries:
    series_ticker: str
    city: str | None
    title: str


@dataclass(frozen=True, slots=True)
class StoredMarket:
    """A market of a series, as its own row or its checkpoint names it."""

    ticker: str
    event_date: date
    rows: int
    """Trades that its checkpoint counts: a hint of how much there is to read."""


@asynccontextmanager
async def snapshot(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Everything read inside sees the tables as they were at one instant."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_SETTINGS)
        yield


async def held_series(connection: asyncpg.Connection) -> list[StoredSeries]:
    return [StoredSeries(**dict(row)) for row in await connection.fetch(_SERIES)]


async def held_tickers(connection: asyncpg.Connection, series_tickers: Sequence[str]) -> list[StoredMarket]:
    return [StoredMarket(**dict(row)) for row in await connection.fetch(_TICKERS, list(series_tickers))]


async def comments(connection: asyncpg.Connection, table: str) -> dict[str, str]:
    """Column → its description in the schema; columns without one are left out."""
    rows = await connection.fetch(_COMMENTS, table)
    return {row["attname"]: row["comment"] for row in rows if row["comment"] is not None}


async def copy_of_series(connection: asyncpg.Connection, rows: Rows, series_tickers: Sequence[str], take: Take) -> None:
    """The rows of a table that names the series itself."""
    await _copy(connection, of_series(rows), (list(series_tickers),), take)


def of_series(rows: Rows) -> str:
    """The query of `copy_of_series`: $1 the series."""
    order = [f'{name} collate "C"' if name in _TEXT else name for name in rows.key]
    dated = ["event_date"] if rows.by_date else []
    return (
        f"select {_listed([*dated, *rows.columns])} from {rows.table} "  # noqa: S608
        f"where series_ticker = any($1::text[]) order by {', '.join(dated + order)}"
    )


async def copy_of_tickers(
    connection: asyncpg.Connection, rows: Rows, tickers: Sequence[StoredMarket], take: Take
) -> None:
    """The rows of trades or candles, some tickers at a time: the key's index serves each, so nothing big is sorted."""
    place = (lambda held: (held.event_date, held.ticker)) if rows.by_date else (lambda held: (date.min, held.ticker))
    length = () if rows.period_minutes is None else (rows.period_minutes,)
    query = await form(connection, of_tickers(rows))
    for some in _portions(sorted(tickers, key=place)):
        values = ([held.ticker for held in some], [held.event_date for held in some], *length)
        await _copy(connection, query, values, take)


def of_tickers(rows: Rows) -> Forms:
    """The query of `copy_of_tickers`: $1 the tickers in order, $2 their event dates, $3 the length of candles."""
    period = "" if rows.period_minutes is None else "and period_minutes = $3 "
    within = ", ".join(name for name in rows.key if name != "ticker")
    dated = "wanted.event_date, " if rows.by_date else ""
    selected = f"select {dated}{_listed(rows.columns, 'found.')}"
    wanted = "unnest($1::text[], $2::date[]) with ordinality as wanted(ticker, event_date, place)"
    ordered = f"order by wanted.place, {within}"
    return Forms(
        # "offset 0" keeps the planner from joining the whole table where its statistics are old
        one_node=f"{selected} from {wanted} "  # noqa: S608
        f"cross join lateral (select * from {rows.table} where {rows.table}.ticker = wanted.ticker {period}offset 0) "
        f"as found {ordered}",
        spread=f"with found as materialized "  # noqa: S608
        f"(select * from {rows.table} where ticker = any($1::text[]) {period}) "
        f"{selected} from {wanted} join found on found.ticker = wanted.ticker {ordered}",
    )


async def _copy(connection: asyncpg.Connection, query: str, values: Sequence[object], take: Take) -> None:
    """One COPY; the server sends whole rows, so a chunk never ends inside one.

    An error of `take` is raised when the COPY has ended: breaking it off would end the snapshot, and the driver may
    wait for ever.
    """
    held: list[bytes] = []
    size = 0
    failure: IngestError | None = None

    async def gather(data: bytes) -> None:
        nonlocal failure
        if failure is None:
            try:
                await keep(data)
            except IngestError as error:
                failure = error

    async def keep(data: bytes) -> None:
        nonlocal size
        held.append(data)
        size += len(data)
        if size >= _CHUNK:
            chunk, size = b"".join(held), 0
            held.clear()
            await take(chunk)

    await connection.copy_from_query(query, *values, output=gather, format="csv")
    if failure is not None:
        raise failure
    if held:
        await take(b"".join(held))


def _portions(tickers: Sequence[StoredMarket]) -> Iterator[list[StoredMarket]]:
    some: list[StoredMarket] = []
    rows = 0
    for held in tickers:
        some.append(held)
        rows += held.rows + _ROWS_PER_TICKER
        if rows >= _ROWS_PER_QUERY:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _listed(names: Sequence[str], table: str = "") -> str:
    return ", ".join(f'{table}"{name}"' for name in names)
