"""When a daily-high market is created, opens, closes and settles.

The rules changed over the years; they follow the closing times and dates the exchange's listings show
(event dates are local climate days, all results are UTC).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from kalshi_simulator.climate import City
from kalshi_simulator.wire import HOUR, MINUTE, day_start, to_micros

RENAMED = date(2024, 10, 24)
"""First event date whose tickers begin with KXHIGH instead of HIGH."""
TIME_PREFIXED_IDS = date(2025, 6, 1)
"""First event date whose trade ids begin with the time instead of being random."""
SETTLEMENT_VALUES = date(2025, 3, 5)
"""First event date whose settled markets carry a settlement value."""
WEATHER_COMPANY = date(2026, 8, 14)
"""First event date settled by The Weather Company; closing moved to standard-time midnight with it."""
_STANDARD_TIME_CLOSE = date(2026, 3, 18)
_CHICAGO_OWN_CLOCK = date(2025, 2, 20)
_EASTERN = ZoneInfo("America/New_York")


def eastern_ten(day: date) -> int:
    """10 AM New York time on `day`: 14:00Z in summer, 15:00Z in winter."""
    return to_micros(datetime.combine(day, time(10), tzinfo=_EASTERN))


def opens(day: date) -> int:
    """Trading starts at 10 AM Eastern on the day before the event date."""
    return eastern_ten(day - timedelta(days=1))


def closes(city: City, day: date) -> int:
    """End of trading by era: 23:59 civil time, then 23:59 standard time, then standard-time midnight.

    Chicago closed by the Eastern clock until 2025-02-19.
    """
    standard_midnight = day_start(day + timedelta(days=1)) - city.standard_offset * HOUR
    if day >= WEATHER_COMPANY:
        return standard_midnight
    if day >= _STANDARD_TIME_CLOSE:
        return standard_midnight - MINUTE
    zone = _EASTERN if city.series == "KXHIGHCHI" and day < _CHICAGO_OWN_CLOCK else city.zone
    return to_micros(datetime.combine(day, time(23, 59), tzinfo=zone))


def expected_expiration(day: date) -> int:
    """When the exchange expects the result: 10 AM Eastern of the next day, 19:00Z in the newest era."""
    following = day + timedelta(days=1)
    return day_start(following) + 19 * HOUR if day >= WEATHER_COMPANY else eastern_ten(following)


def latest_expiration(day: date) -> int:
    """The last day for a result, one week after the event date."""
    return eastern_ten(day + timedelta(days=7))


def settlement_timer(day: date) -> int:
    """Seconds between determination and payment."""
    return 300 if day >= WEATHER_COMPANY else 3600
