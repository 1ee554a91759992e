"""Minute observations into `wx.minute_obs`: whole climate days, each with the claim that it is complete or not."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import date, datetime

import asyncpg

from kalshi_ingest.domain.calendar import climate_day_utc
from kalshi_ingest.domain.minutes import DayMinutes, Observation, is_hourly
from kalshi_ingest.postgres.pgcopy_rows import BOOLEANS, NULL, Numerics, copy_in, moment, row_start, text
from kalshi_ingest.postgres.upsert import upsert

_COLUMNS = (
    "loc_id",
    "ts_utc",
    "temp_f",
    "dew_f",
    "humidity",
    "windspeed_mph",
    "windgust_mph",
    "winddir_deg",
    "pressure_mb",
    "precip_in",
    "preciptype",
    "cloudcover",
    "ffilled",
    "stations",
    "source",
)

_CLEAR = "delete from wx.minute_obs where loc_id = $1 and ts_utc >= $2 and ts_utc < $3"

# What was stored of the day before stays, and so do its counts.
_FAIL = """
insert into wx.minute_day (loc_id, date_local, source, state, error, fetched_at)
select $1, day, $3, 'failed', $4, $5 from unnest($2::date[]) as day
on conflict (loc_id, date_local) do update set (state, error, fetched_at) = ('failed', excluded.error,
    excluded.fetched_at)
where minute_day.state <> 'complete'
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One station's climate day; a row of `wx.minute_day`."""

    loc_id: str
    date_local: date
    source: str
    state: str
    """open, complete or failed."""
    slots_observed: int
    slots_filled: int
    slots_missing: int
    rows_rejected: int
    error: str | None
    fetched_at: datetime

    @property
    def hourly(self) -> bool:
        return is_hourly(self.source, self.slots_observed)


_OF_DAY = tuple(each.name for each in fields(Claim))
_CLAIMS = f"""
select {", ".join(_OF_DAY)} from wx.minute_day where loc_id = any($1::text[]) and date_local between $2 and $3
"""  # noqa: S608
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(_OF_DAY, 1))
_CLAIM = upsert("wx.minute_day", _OF_DAY, _OF_DAY[:2], f"values ({_PLACES})")


async def claims(
    connection: asyncpg.Connection, loc_ids: Sequence[str], start: date, end: date
) -> dict[tuple[str, date], Claim]:
    """The claims of these stations from `start` to `end`, both included."""
    rows = await connection.fetch(_CLAIMS, list(loc_ids), start, end)
    return {(row["loc_id"], row["date_local"]): Claim(**dict(row)) for row in rows}


async def write_days(
    connection: asyncpg.Connection, days: Sequence[tuple[DayMinutes, str]], fetched_at: datetime, *, again: bool
) -> int:
    """Store days, each with its state; returns how many are kept as they were.

    A day replaces what its 24 hours held. A day with more slots missing than the one stored, or as many and fewer
    observed, is not stored unless `again`; the claim then keeps its counts and takes the new state.
    """
    if not days:
        return 0
    dates = [minutes.day for minutes, _ in days]
    loc_ids = sorted({minutes.city.station.loc_id for minutes, _ in days})
    stored = await claims(connection, loc_ids, min(dates), max(dates))
    written: list[DayMinutes] = []
    claimed: list[Claim] = []
    for minutes, state in days:
        held = stored.get((minutes.city.station.loc_id, minutes.day))
        if again or held is None or not _is_worse(minutes, held):
            written.append(minutes)
            held = _claim(minutes, fetched_at)
        claimed.append(replace(held, state=state, error=None, fetched_at=fetched_at))
    await _clear(connection, written)
    encoder = _Encoder()
    rows = [row for minutes in written for row in encoder.day(minutes)]
    if rows:
        await copy_in(connection, "minute_obs", _COLUMNS, rows, schema="wx")
    await connection.executemany(_CLAIM, [astuple(claim) for claim in claimed])
    return len(days) - len(written)


async def fail_days(
    connection: asyncpg.Connection, loc_id: str, days: Sequence[date], source: str, error: str, failed_at: datetime
) -> None:
    """Claim that these days could not be fetched, except those proved complete before."""
    await connection.execute(_FAIL, loc_id, list(days), source, error, failed_at)


def _is_worse(minutes: DayMinutes, held: Claim) -> bool:
    return (minutes.slots_missing, -minutes.slots_observed) > (held.slots_missing, -held.slots_observed)


def _claim(minutes: DayMinutes, fetched_at: datetime) -> Claim:
    return Claim(
        minutes.city.station.loc_id,
        minutes.day,
        minutes.source,
        "open",
        minutes.slots_observed,
        len(minutes.filled),
        minutes.slots_missing,
        sum(minutes.rejected.values()),
        None,
        fetched_at,
    )


async def _clear(connection: asyncpg.Connection, days: Sequence[DayMinutes]) -> None:
    """Delete what the days' hours hold, days that follow one another at once."""
    windows: list[tuple[str, datetime, datetime]] = []
    for minutes in sorted(days, key=lambda each: (each.city.station.loc_id, each.day)):
        start, end = climate_day_utc(minutes.city, minutes.day)
        loc_id = minutes.city.station.loc_id
        if windows and windows[-1][0] == loc_id and windows[-1][2] == start:
            start = windows.pop()[1]
        windows.append((loc_id, start, end))
    await connection.executemany(_CLEAR, windows)


class _Encoder:
    """Encodes rows of `_COLUMNS`; remembers the values it has seen."""

    def __init__(self) -> None:
        self._tenths, self._hundredths, self._thousandths = Numerics(1), Numerics(2), Numerics(3)

    def day(self, minutes: DayMinutes) -> list[bytes]:
        start = row_start(len(_COLUMNS), minutes.city.station.loc_id)
        rows = [start + self._row(each, BOOLEANS[False]) for each in minutes.observed]
        return rows + [start + self._row(each, BOOLEANS[True]) for each in minutes.filled]

    def _row(self, observation: Observation, filled: bytes) -> bytes:
        second, temp, stations, source, dew, humidity, wind, gust, direction, pressure, precip, kind, cloud = (
            observation
        )
        tenths, hundredths = self._tenths, self._hundredths
        return b"".join(
            (
                moment(second),
                hundredths[temp],
                hundredths[dew],
                hundredths[humidity],
                hundredths[wind],
                hundredths[gust],
                tenths[direction],
                hundredths[pressure],
                self._thousandths[precip],
                NULL if kind is None else text(kind),
                tenths[cloud],
                filled,
                text(stations),
                text(source),
            )
        )
