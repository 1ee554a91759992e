from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.domain.calendar import SLOT, SLOTS_A_DAY, climate_day_of, climate_day_utc, event_dates
from kalshi_ingest.domain.cities import CITIES, City, find_city
from kalshi_ingest.errors import Unusable

DAYS = st.dates(date(2021, 1, 1), date(2030, 12, 31))


def test_event_dates_include_both_ends() -> None:
    assert event_dates(date(2024, 2, 28), date(2024, 3, 1)) == [
        date(2024, 2, 28),
        date(2024, 2, 29),
        date(2024, 3, 1),
    ]
    assert event_dates(date(2025, 5, 5), date(2025, 5, 5)) == [date(2025, 5, 5)]


def test_reversed_dates_are_refused() -> None:
    with pytest.raises(Unusable, match="2025-05-06 lies after the end date 2025-05-05"):
        event_dates(date(2025, 5, 6), date(2025, 5, 5))


@pytest.mark.parametrize(
    ("city", "hour"),
    [("miami", 5), ("philadelphia", 5), ("nyc", 5), ("chicago", 6), ("austin", 6), ("denver", 7), ("la", 8)],
)
@pytest.mark.parametrize("day", [date(2025, 1, 1), date(2025, 3, 9), date(2025, 7, 4), date(2025, 11, 2)])
def test_the_climate_day_is_standard_time_all_year(city: str, hour: int, day: date) -> None:
    start, end = climate_day_utc(find_city(city), day)
    assert start == datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    assert end - start == timedelta(hours=24)


@given(DAYS, st.sampled_from(CITIES))
def test_climate_days_follow_one_another_without_a_gap(day: date, city: City) -> None:
    assert climate_day_utc(city, day)[1] == climate_day_utc(city, day + timedelta(days=1))[0]


@given(DAYS, st.integers(0, 400))
def test_event_dates_are_consecutive(start: date, more: int) -> None:
    dates = event_dates(start, start + timedelta(days=more))
    assert dates[0] == start
    assert len(dates) == len(set(dates)) == more + 1
    assert dates == sorted(dates)


@pytest.mark.parametrize("city", CITIES, ids=lambda city: city.key)
def test_every_day_has_24_hours_and_288_slots(city: City) -> None:
    """2024 to 2026, with all six clock changes; no moment is in two days or in none."""
    days = event_dates(date(2024, 1, 1), date(2026, 12, 31))
    assert len(days) == 1096
    windows = [climate_day_utc(city, day) for day in days]
    assert {end - start for start, end in windows} == {timedelta(hours=24)} == {SLOTS_A_DAY * SLOT}
    assert all(one[1] == other[0] for one, other in pairwise(windows))
    for day, (start, end) in zip(days, windows, strict=True):
        assert climate_day_of(city, start) == climate_day_of(city, end - timedelta(microseconds=1)) == day


@pytest.mark.parametrize("day", [date(2025, 3, 9), date(2025, 11, 2)])
def test_the_day_of_a_clock_change_begins_in_standard_time(day: date) -> None:
    """In March that is midnight on the clock, in November, still summer at that hour, it is one."""
    denver = find_city("denver")
    first = climate_day_utc(denver, day)[0].astimezone(ZoneInfo(denver.time_zone))
    assert (first.hour, first.minute) == ((0, 0) if day.month == 3 else (1, 0))
