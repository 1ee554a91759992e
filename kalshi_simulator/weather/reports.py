"""When daily climate reports are issued, and which maximum each of them states.

A day has a partial report at about 17:00 of standard time, at times one at 06:30 before it, the full-day
report next morning and now and then a correction one to six hours later (NWS directive 10-1004 and the
recorded reports). Oddities leave the full day out, blank it, or send the partial again a day late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal

from kalshi_simulator.weather.config import Oddities
from kalshi_simulator.weather.curve import Curve
from kalshi_simulator.weather.days import Day, Days
from kalshi_simulator.weather.stations import Station

FIRST_DAY = date(2020, 1, 1)
"""The simulated archive of reports begins here."""
_PARTIAL_MINUTE = 17 * 60
_MORNING_MINUTE = 390 - 30


@dataclass(frozen=True, slots=True)
class Report:
    """One issuance. `issued` is UTC, to the minute."""

    of: Day
    kind: Literal["partial", "final", "correction"]
    issued: datetime
    high: int | None
    """Maximum, whole °F; None is written M or MM."""
    as_of: int | None = None
    """Minute of standard time up to which a partial report counts."""

    @property
    def product(self) -> str:
        """IEM's id: UTC issue time, office, WMO heading, AFOS id."""
        station = self.of.station
        return f"{self.issued:%Y%m%d%H%M}-{station.office}-{station.wmo}-{station.pil}"

    @property
    def full_day(self) -> bool:
        """Whether it is about the whole climate day."""
        return self.kind != "partial"


class Reports:
    """Every issuance about every station-day."""

    def __init__(self, days: Days, curve: Curve, oddities: Oddities) -> None:
        self._days = days
        self._curve = curve
        self._oddities = oddities
        self.about = lru_cache(maxsize=32_768)(self._about)

    def newest(self, station: Station, day: date, now: datetime) -> Report | None:
        """What IEM keeps: the issuance with the latest issue time, whatever it is."""
        return next((report for report in reversed(self.about(station, day)) if report.issued <= now), None)

    def issued_between(self, station: Station, start: datetime, end: datetime) -> Iterator[Report]:
        """Issuances with `start` ≤ issue time ≤ `end`, oldest first."""
        day = max(station.climate_day(start) - timedelta(days=2), FIRST_DAY)
        found: list[Report] = []
        while day <= station.climate_day(end):
            found += self.about(station, day)
            day += timedelta(days=1)
        found.sort(key=lambda report: report.issued)
        return (report for report in found if start <= report.issued <= end)

    def _about(self, station: Station, day: date) -> tuple[Report, ...]:
        if day < FIRST_DAY:
            return ()
        found: list[Report] = []
        today = self._days.of(station, day)
        partial_wanted = not self._has("cli_missing", today) or self._draw("no report at all", today) < 0.5
        if self._has("morning_partial", today):
            found.append(self._partial(today, _MORNING_MINUTE, _MORNING_MINUTE + 31))
        if partial_wanted:
            found.append(self._partial(today, _PARTIAL_MINUTE, _PARTIAL_MINUTE + 4 + int(30 * self._draw("p", today))))
        if not self._has("cli_missing", today):
            found += self._full_day(today)
        if self._has("partial_after_final", today):
            stray = self._partial(today, _PARTIAL_MINUTE, _PARTIAL_MINUTE + 1440)
            found.append(stray)
        return tuple(found)

    def _full_day(self, today: Day) -> list[Report]:
        """The full-day report and its correction."""
        station = today.station
        local = datetime.combine(today.day + timedelta(days=1), station.final_time, tzinfo=station.city.zone)
        issued = local.astimezone(UTC) + timedelta(minutes=int(6 * self._draw("final time", today)))
        if self._has("cli_m", today):
            return [Report(today, "final", issued, None)]
        first = Report(today, "final", issued, today.high)
        size = self._oddities.correction(station.icao, today.day)
        if size is None:
            return [first]
        later = issued + timedelta(minutes=60 + int(300 * self._draw("correction time", today)))
        return [first, Report(today, "correction", later, today.high + size)]

    def _partial(self, today: Day, as_of: int, minute: int) -> Report:
        issued = today.station.day_start(today.day) + timedelta(minutes=minute)
        return Report(today, "partial", issued, self._curve.highest_until(today, as_of), as_of)

    def _has(self, kind: str, today: Day) -> bool:
        if kind == "morning_partial" and today.station.says_today:
            return False
        return self._oddities.has(kind, today.station.icao, today.day)

    def _draw(self, name: str, today: Day) -> float:
        return self._oddities.draw(name, today.station.icao, today.day)
