"""Official maxima: reports are appended, and what follows from them is derived in the same transaction."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime

import asyncpg

from kalshi_ingest.domain.cross_check import PaidMarket, SettledEvent
from kalshi_ingest.domain.settlement import Observation, Reported, Settlement, Source, settle
from kalshi_ingest.postgres.locks import lock_key
from kalshi_ingest.postgres.upsert import differs, upsert

_LOCK_CLASS = 0x5758534F
"""First key of the advisory locks ("WXSO"); the second is `lock_key` of the station."""

_LOCK = "select pg_advisory_xact_lock($1, $2)"

# The id of a text identifies it. Of two texts with one id the last one counts.
_APPEND = """
insert into wx.settlement_obs as held
    (loc_id, date_local, source, product_id, payload_sha256, issued_at, retrieved_at, is_full_day, tmax_f, flag, raw)
select * from unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
    $8::boolean[], $9::numeric[], $10::text[], $11::jsonb[])
on conflict (loc_id, date_local, source, product_id, payload_sha256) do update set
    issued_at = excluded.issued_at, retrieved_at = excluded.retrieved_at, is_full_day = excluded.is_full_day,
    tmax_f = excluded.tmax_f, flag = excluded.flag, raw = excluded.raw
where held.payload_sha256 is null and held.raw is distinct from excluded.raw
"""

# Rows for reports that could not be read: the next answer holds them again, perhaps readable now.
_FORGET_UNREAD = """
delete from wx.settlement_obs
where loc_id = $1 and source = $2 and date_local = any($3::date[])
    and source = 'CLI' and is_full_day and tmax_f is null and flag is not null
returning date_local
"""

_OBSERVATIONS = """
select loc_id, date_local, source, product_id, payload_sha256, issued_at, retrieved_at, is_full_day, tmax_f, flag
from wx.settlement_obs where loc_id = $1 and date_local = any($2::date[])
"""

_VALUES = tuple(each.name for each in fields(Settlement))
_COLUMNS = ("loc_id", "date_local", *_VALUES, "updated_at")
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(_COLUMNS, 1))
_SETTLED = f"{upsert('wx.settlement', _COLUMNS, _COLUMNS[:2], f'values ({_PLACES})')} where {differs(_VALUES)}"

_POLLED = """
insert into wx.settlement_poll (loc_id, date_local, source, state, error, polled_at)
select $1, date_local, $2, state, error, $5
from unnest($3::date[], $4::text[], $6::text[]) as polled (date_local, state, error)
on conflict (loc_id, date_local, source) do update set
    state = excluded.state, error = excluded.error, polled_at = excluded.polled_at
"""

_POLLS = """
select loc_id, date_local, source, state, polled_at from wx.settlement_poll
where loc_id = any($1::text[]) and date_local between $2 and $3
"""

_DAYS = f"""
select loc_id, date_local, {", ".join(_VALUES)} from wx.settlement
where loc_id = any($1::text[]) and date_local between $2 and $3 order by loc_id, date_local
"""  # noqa: S608

_EVENTS = """
select series_ticker, event_ticker, event_date, ticker, strike_type, floor_strike, cap_strike, expiration_value,
    settlement_authority, result
from markets where series_ticker = any($1::text[]) and event_date between $2 and $3
order by event_date, event_ticker collate "C", ticker collate "C"
"""

_FIRST_EVENT = "select min(event_date) from events where series_ticker = any($1::text[])"


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """The outcome of requesting some days of one station from one source."""

    loc_id: str
    source: Source
    at: datetime
    errors: dict[date, str | None]
    """Each requested day → why the request failed; None: it was answered."""


@dataclass(frozen=True, slots=True)
class Poll:
    state: str
    """answered, nothing or failed."""
    polled_at: datetime


async def store(
    connection: asyncpg.Connection, reported: Sequence[Reported], polled: PollOutcome, now: datetime
) -> None:
    """Append what one station's source reported, derive the settlements of its days, and record the poll.

    To be called in a transaction. The station is locked to its end, so that two runs do not settle a day from
    different halves of what is known.
    """
    await connection.execute(_LOCK, _LOCK_CLASS, lock_key(polled.loc_id))
    answered = [day for day, error in polled.errors.items() if error is None]
    forgotten = await connection.fetch(_FORGET_UNREAD, polled.loc_id, polled.source, answered)
    once = {_key(each.observation): each for each in reported}  # an answer may hold a report twice
    columns = list(zip(*((*astuple(each.observation), each.raw) for each in once.values()), strict=True))
    if columns:
        await connection.execute(_APPEND, *columns)
    days = {each.observation.date_local for each in reported}
    unread = {row["date_local"] for row in forgotten}
    await _settle(connection, polled.loc_id, sorted(days | unread), now)
    asked = sorted(polled.errors)
    errors = [polled.errors[day] for day in asked]
    states = [
        "failed" if error else "answered" if day in days else "nothing"
        for day, error in zip(asked, errors, strict=True)
    ]
    await connection.execute(_POLLED, polled.loc_id, polled.source, asked, states, polled.at, errors)


def _key(report: Observation) -> tuple[object, ...]:
    return report.loc_id, report.date_local, report.source, report.product_id, report.payload_sha256


async def _settle(connection: asyncpg.Connection, loc_id: str, days: Sequence[date], now: datetime) -> None:
    reports: defaultdict[date, list[Observation]] = defaultdict(list)
    for row in await connection.fetch(_OBSERVATIONS, loc_id, days):
        reports[row["date_local"]].append(Observation(**{**dict(row), "source": Source(row["source"])}))
    rows = [(loc_id, day, *astuple(settle(reports[day])), now) for day in days]
    await connection.executemany(_SETTLED, rows)


async def polls(
    connection: asyncpg.Connection, loc_ids: Sequence[str], first: date, last: date
) -> dict[tuple[str, date, Source], Poll]:
    rows = await connection.fetch(_POLLS, list(loc_ids), first, last)
    return {
        (row["loc_id"], row["date_local"], Source(row["source"])): Poll(row["state"], row["polled_at"]) for row in rows
    }


async def settlements(
    connection: asyncpg.Connection, loc_ids: Sequence[str], first: date, last: date
) -> dict[tuple[str, date], Settlement]:
    return {
        (row["loc_id"], row["date_local"]): Settlement(
            **{name: row[name] for name in _VALUES}
            | {"source": None if row["source"] is None else Source(row["source"])}
        )
        for row in await connection.fetch(_DAYS, list(loc_ids), first, last)
    }


async def settled_events(
    connection: asyncpg.Connection, series_tickers: Sequence[str], first: date, last: date
) -> list[SettledEvent]:
    """Events of these series whose markets all have a result, by date and ticker."""
    events: defaultdict[tuple[str, str, date], list[asyncpg.Record]] = defaultdict(list)
    for row in await connection.fetch(_EVENTS, list(series_tickers), first, last):
        events[row["series_ticker"], row["event_ticker"], row["event_date"]].append(row)
    return [
        SettledEvent(*key, tuple(_paid(market) for market in markets if market["result"] == "yes"))
        for key, markets in events.items()
        if all(market["result"] for market in markets)
    ]


def _paid(row: asyncpg.Record) -> PaidMarket:
    return PaidMarket(
        row["ticker"],
        row["strike_type"],
        row["floor_strike"],
        row["cap_strike"],
        row["expiration_value"],
        row["settlement_authority"],
    )


async def first_event_date(connection: asyncpg.Connection, series_tickers: Sequence[str]) -> date | None:
    """The earliest event date held of these series."""
    found: date | None = await connection.fetchval(_FIRST_EVENT, list(series_tickers))
    return found
