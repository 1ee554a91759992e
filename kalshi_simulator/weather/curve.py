"""The temperature of every minute: a smooth curve through the minima and maxima of the climate days.

Half a cosine leads from each minimum to the maximum and on to the next day's minimum, so nothing jumps at
midnight. What would exceed the day's own maximum (warm air left from the day before) is cut there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache

from kalshi_simulator.weather.days import Day, Days
from kalshi_simulator.weather.stations import Station

MINUTES = 1440


class Curve:
    """Temperatures by station and climate day."""

    def __init__(self, days: Days) -> None:
        self._days = days
        self.minutes = lru_cache(maxsize=64)(self._minutes)

    def _minutes(self, station: Station, day: date) -> Sequence[float]:
        """1,440 temperatures in °F, from midnight to midnight of standard time."""
        before, today, after = (self._days.of(station, day + timedelta(days=step)) for step in (-1, 0, 1))
        found = [
            *_leg(before.peak, today.low, before.high_minute - MINUTES, today.low_minute),
            *_leg(today.low, today.peak, today.low_minute, today.high_minute),
            *_leg(today.peak, after.low, today.high_minute, MINUTES + after.low_minute),
        ]
        return [min(degrees, today.peak) for degrees in found]

    def highest_until(self, today: Day, minute: int) -> int:
        """The maximum, whole °F, of a climate day's minutes before `minute`, as a partial report states it."""
        if minute > today.high_minute:
            return today.high
        so_far = max(self.minutes(today.station, today.day)[:minute])
        return min(today.high - 1, round(so_far))


def _leg(start: float, end: float, begins: int, ends: int) -> list[float]:
    """The part of one rise or fall that lies within the day."""
    middle, half, pace = (start + end) / 2, (start - end) / 2, math.pi / (ends - begins)
    return [middle + half * math.cos(pace * (minute - begins)) for minute in range(max(begins, 0), min(ends, MINUTES))]
