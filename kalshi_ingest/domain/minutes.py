"""Minute weather: which observations are believed, and the 288 five-minute slots of a climate day made from them.

Values are whole numbers: temperatures, humidity, wind and pressure in hundredths of their unit, directions and cloud
cover in tenths, precipitation in thousandths of an inch. None is what was not observed, never 0.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from kalshi_ingest.domain.calendar import SLOT, SLOTS_A_DAY, climate_day_utc
from kalshi_ingest.domain.cities import City

VISUAL_CROSSING, IEM_ONE_MINUTE, IEM_REPORTS = "VC", "IEM_1MIN", "IEM_ASOS"
"""Where an observation is from, as `wx.minute_obs.source` spells it."""

OLDEST_FILL = timedelta(minutes=60)
"""A slot is filled with the previous observation up to this age, counted from the observation to the slot's start."""

LATE = timedelta(hours=48)
"""A day is fetched again until so long after its end: readings arrive a day late, corrections later."""

HOURLY_LATE = timedelta(days=14)
"""The same for a day that is hourly: one-minute readings that lack two days after it came up to two weeks late."""

_FEWEST_SLOTS = SLOTS_A_DAY // 2

FILLED_TOO_OFTEN = 2.0
"""Per cent of a city's expected slots: where this many or more are copies, the observations are too few to trust."""

COLDEST, WARMEST = -50_00, 150_00
"""Hundredths of °F; what lies outside is refused."""

_SENTINEL = -77_90
"""What Visual Crossing writes now and then instead of a temperature, hundredths of °F."""
_JUMP = 50_00
"""Hundredths of °F. No air warms or cools by more within five minutes."""
_SLOT_SECONDS = int(SLOT.total_seconds())
_FILL_SECONDS = int(OLDEST_FILL.total_seconds())

_second = attrgetter("second")


class Observation(NamedTuple):
    """What one station observed at one moment, or what a slot was filled with."""

    second: int
    """Seconds since 1970-01-01 UTC."""
    temp: int
    """Air temperature, hundredths of °F; a report without it is not an observation."""
    stations: str
    """The station that the source names for this row; several are joined with commas."""
    source: str
    dew: int | None = None
    humidity: int | None = None
    wind: int | None = None
    """Hundredths of miles per hour, as `gust`."""
    gust: int | None = None
    direction: int | None = None
    pressure: int | None = None
    precip: int | None = None
    preciptype: str | None = None
    cloud: int | None = None


@dataclass(frozen=True, slots=True)
class DayMinutes:
    """One climate day of one station. Slots observed, filled and missing add up to 288."""

    city: City
    day: date
    source: str
    """The source of most of its observations; of a day without any, the one that was asked first."""
    observed: Sequence[Observation]
    """Every observation that is believed, at its own time; a slot can hold more than one."""
    filled: Sequence[Observation]
    """Copies of the previous observation, at the start of the slots that they fill."""
    slots_observed: int
    rejected: Mapping[str, int]
    """Rows of this day that were refused, by reason: station, sentinel, range, jump, future."""

    @property
    def hourly(self) -> bool:
        """Whether it consists of hourly reports."""
        return is_hourly(self.source, self.slots_observed)

    @property
    def slots_missing(self) -> int:
        """Slots with neither."""
        return SLOTS_A_DAY - self.slots_observed - len(self.filled)


def is_hourly(source: str, slots_observed: int) -> bool:
    """Whether a day, of whose observations most are from `source`, consists of hourly reports.

    METARs come once an hour, and some in between; five-minute reports would fill nearly all of the slots.
    """
    return source == IEM_REPORTS and slots_observed < _FEWEST_SLOTS


def is_late(city: City, day: date, moment: datetime, *, hourly: bool = False) -> bool:
    """Whether at `moment` the sources have everything of the climate day that they will ever have.

    `hourly`: what they have consists of hourly reports.
    """
    return moment >= climate_day_utc(city, day)[1] + (HOURLY_LATE if hourly else LATE)


def minutes_of(
    city: City, day: date, sources: Iterable[tuple[str, Sequence[Observation]]], asked_at: datetime
) -> DayMinutes:
    """The climate day made from the sources' observations, the preferred source first.

    Each sequence is in order of time and holds what the source has from `OLDEST_FILL` before the day to its end; what
    lies outside does not count, so the outcome does not depend on how much was asked for at once. A slot takes its
    observations from the first source that has one there. Nothing is filled from `asked_at` on, and rows from after
    it, which can only be forecasts, are refused.
    """
    begins, ends = (int(moment.timestamp()) for moment in climate_day_utc(city, day))
    until = int(asked_at.timestamp())
    rejected: Counter[str] = Counter()
    slots: dict[int, list[Observation]] = {}
    asked: list[str] = []
    for name, observations in sources:
        asked.append(name)
        near = observations[
            bisect_left(observations, begins - _FILL_SECONDS, key=_second) : bisect_left(
                observations, ends, key=_second
            )
        ]
        taken: dict[int, list[Observation]] = {}
        for each in _believed(near, city.station.loc_id, until, begins, rejected):
            if (place := (each.second - begins) // _SLOT_SECONDS) not in slots:
                taken.setdefault(place, []).append(each)
        slots |= taken
    filled = _filled(slots, begins, until)
    observed = [each for place in sorted(slots) if place >= 0 for each in slots[place]]
    most = Counter(each.source for each in observed).most_common(1)
    return DayMinutes(
        city,
        day,
        most[0][0] if most else asked[0],
        observed,
        filled,
        sum(place >= 0 for place in slots),
        dict(rejected),
    )


def _filled(slots: Mapping[int, Sequence[Observation]], begins: int, until: int) -> list[Observation]:
    """Copies for the day's empty slots, each from the last observation before it."""
    filled = []
    last = slots[max(before)][-1] if (before := [place for place in slots if place < 0]) else None
    for place in range(SLOTS_A_DAY):
        if place in slots:
            last = slots[place][-1]
            continue
        second = begins + place * _SLOT_SECONDS
        if last is not None and second - last.second <= _FILL_SECONDS and second < until:
            filled.append(last._replace(second=second))
    return filled


def _believed(
    observations: Sequence[Observation], loc_id: str, until: int, begins: int, rejected: Counter[str]
) -> list[Observation]:
    """The observations without the refused; those refused from `begins` on are counted in `rejected`."""
    kept: list[Observation] = []
    for each in observations:
        reason = _fault(each, loc_id, until)
        if reason is None:
            if not kept or kept[-1].second != each.second:
                kept.append(each)
        elif each.second >= begins:
            rejected[reason] += 1
    temperatures = [each.temp for each in kept]
    if kept and max(temperatures) - min(temperatures) > _JUMP:
        return _without_jumps(kept, begins, rejected)
    return kept


def _fault(observation: Observation, loc_id: str, until: int) -> str | None:
    if observation.stations != loc_id:
        return "station"
    if not COLDEST <= observation.temp <= WARMEST:
        return "sentinel" if observation.temp == _SENTINEL else "range"
    return "future" if observation.second > until else None


def _without_jumps(observations: Sequence[Observation], begins: int, rejected: Counter[str]) -> list[Observation]:
    kept: list[Observation] = []
    for place, each in enumerate(observations):
        near = kept and each.second - kept[-1].second <= _SLOT_SECONDS
        # Without one just before, the two just after it decide: a single wrong row differs from both.
        wrong = _jumps(kept[-1], each) if near else _stands_alone(observations[place : place + 3])
        if not wrong:
            kept.append(each)
        elif each.second >= begins:
            rejected["jump"] += 1
    return kept


def _stands_alone(three: Sequence[Observation]) -> bool:
    close = all(after.second - before.second <= _SLOT_SECONDS for before, after in pairwise(three))
    return len(three) == 3 and close and _jumps(three[0], three[1]) and not _jumps(three[1], three[2])


def _jumps(one: Observation, other: Observation) -> bool:
    return abs(one.temp - other.temp) > _JUMP


@lru_cache(maxsize=65_536)
def relative_humidity(temp: int, dew: int) -> int:
    """Per cent, in hundredths, of air temperature and dew point in hundredths of °F; at most 100.

    The Magnus formula with the constants of Alduchov and Eskridge (1996): saturation vapour pressure goes with
    exp(17.625 t / (243.04 + t)), t in °C. Whole degrees Fahrenheit leave an error of about two per cent.
    """

    def pressure(hundredths: int) -> float:
        celsius = (hundredths / 100 - 32) / 1.8
        return math.exp(17.625 * celsius / (243.04 + celsius))

    return min(100_00, round(100_00 * pressure(dew) / pressure(temp)))
