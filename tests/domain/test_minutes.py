"""Minutes: 288 slots a climate day, filled by the rule, and nothing wrong let in."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from kalshi_ingest.domain.calendar import climate_day_utc, event_dates
from kalshi_ingest.domain.cities import CITIES, City, find_city
from kalshi_ingest.domain.minutes import (
    IEM_ONE_MINUTE,
    IEM_REPORTS,
    VISUAL_CROSSING,
    DayMinutes,
    Observation,
    minutes_of,
    relative_humidity,
)

CHICAGO = find_city("chicago")
DAY = date(2025, 7, 1)
LATER = datetime(2025, 12, 1, tzinfo=UTC)
START = int(climate_day_utc(CHICAGO, DAY)[0].timestamp())
SLOT = 300


def observation(second: int, temp: int = 70_00, station: str = "KMDW", source: str = VISUAL_CROSSING) -> Observation:
    return Observation(second, temp, station, source)


def slots(places: Iterable[int], temp: int = 70_00, **changes: str) -> list[Observation]:
    """One observation at the start of each of these slots."""
    return [observation(START + place * SLOT, temp, **changes) for place in places]


def made(observations: list[Observation], city: City = CHICAGO, day: date = DAY, at: datetime = LATER) -> DayMinutes:
    return minutes_of(city, day, [(VISUAL_CROSSING, sorted(observations))], at)


def counts(minutes: DayMinutes) -> tuple[int, int, int]:
    """Slots observed, filled and missing."""
    return minutes.slots_observed, len(minutes.filled), minutes.slots_missing


def test_a_full_day_is_observed() -> None:
    minutes = made(slots(range(-12, 300)))
    assert counts(minutes) == (288, 0, 0)
    assert [each.second for each in minutes.observed] == [START + place * SLOT for place in range(288)]


def test_an_empty_slot_holds_the_previous_observation() -> None:
    minutes = made(slots(range(10), 61_00) + slots(range(12, 288), 75_00))
    assert counts(minutes) == (286, 2, 0)
    assert minutes.filled == slots([10, 11], 61_00)


def test_a_slot_is_filled_for_sixty_minutes_only() -> None:
    """From 00:45 the slots up to 01:45 are filled: the age counts to the slot's start, sixty minutes included."""
    minutes = made(slots(range(10)) + slots(range(100, 288)))
    assert [each.second for each in minutes.filled] == [START + place * SLOT for place in range(10, 22)]
    assert minutes.slots_missing == 100 - 22


def test_the_first_slots_are_filled_from_the_day_before() -> None:
    before = observation(START - 35 * 60, 64_00)
    minutes = made([before, *slots(range(8, 288))])
    assert minutes.filled == slots(range(6), 64_00)
    assert minutes.slots_missing == 2
    assert before not in minutes.observed
    assert made([observation(START - 60 * 60, 64_00), *slots(range(2, 288))]).filled == slots([0], 64_00)
    assert counts(made([observation(START - 61 * 60), *slots(range(2, 288))])) == (286, 0, 2)


def test_observations_off_the_slot_keep_their_time() -> None:
    """At :53 the slot from :50 on is observed, and the next empty one takes its values."""
    off = observation(START + 53 * 60, 66_00)
    minutes = made([off])
    assert minutes.observed == [off]
    assert minutes.filled[0] == off._replace(second=START + 55 * 60)
    assert [each.second - START for each in minutes.filled] == [minute * 60 for minute in range(55, 114, 5)]


def test_an_outage_of_three_days_is_missing_not_filled() -> None:
    first, last = date(2025, 7, 2), date(2025, 7, 4)
    observations = slots(range(288)) + slots(range(4 * 288, 5 * 288))
    days = {day: made(observations, day=day) for day in event_dates(DAY, date(2025, 7, 5))}
    assert counts(days[DAY]) == (288, 0, 0)
    assert counts(days[first]) == (0, 12, 276)  # 00:00 to 00:55, from 23:55
    assert {counts(days[day]) for day in event_dates(first + timedelta(days=1), last)} == {(0, 0, 288)}
    assert counts(days[date(2025, 7, 5)]) == (288, 0, 0)


@pytest.mark.parametrize("city", CITIES, ids=lambda city: city.key)
def test_days_of_clock_changes_have_288_slots_too(city: City) -> None:
    for year in (2024, 2025, 2026):
        for day in event_dates(date(year, 3, 7), date(year, 3, 15)) + event_dates(
            date(year, 10, 31), date(year, 11, 8)
        ):
            start = int(climate_day_utc(city, day)[0].timestamp())
            every = [observation(start + n * SLOT, station=city.station.loc_id) for n in range(-300, 600)]
            at = datetime(2027, 1, 1, tzinfo=UTC)
            minutes = made(every, city, day, at)
            assert counts(minutes) == (288, 0, 0)
            assert minutes.observed[0].second == start


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"temp": -77_90}, "sentinel"),
        ({"temp": -50_01}, "range"),
        ({"temp": 150_01}, "range"),
        ({"stations": "KORD"}, "station"),
        ({"stations": "KMDW,KORD"}, "station"),
        ({"stations": ""}, "station"),
        ({"temp": 120_01}, "jump"),
        ({"temp": 19_99}, "jump"),
    ],
)
def test_a_wrong_row_is_refused_and_its_slot_filled(wrong: Mapping[str, Any], reason: str) -> None:
    rows = slots(range(288))
    rows[100] = rows[100]._replace(**wrong)
    minutes = made(rows)
    assert counts(minutes) == (287, 1, 0)
    assert minutes.rejected == {reason: 1}
    assert minutes.filled == slots([100])


def test_a_change_of_fifty_degrees_is_let_in() -> None:
    minutes = made(slots(range(100), 70_00) + slots(range(100, 288), 20_00))
    assert counts(minutes) == (288, 0, 0)


@pytest.mark.parametrize("place", [0, 287])
def test_a_jump_at_either_end_of_the_day_is_refused(place: int) -> None:
    rows = slots(range(288))
    rows[place] = rows[place]._replace(temp=130_00)
    minutes = made(rows)
    assert minutes.rejected == {"jump": 1}
    assert minutes.slots_observed == 287


def test_a_wrong_row_after_a_gap_does_not_displace_the_right_ones() -> None:
    rows = slots(range(100)) + slots([120], 130_00) + slots(range(121, 288))
    minutes = made(rows)
    assert minutes.rejected == {"jump": 1}
    assert [each for each in minutes.observed if each.temp != 70_00] == []


def test_a_row_from_the_day_before_is_counted_there() -> None:
    rows = slots(range(-1, 288))
    rows[0] = rows[0]._replace(temp=-77_90)
    assert made(rows).rejected == {}
    assert made(rows, day=date(2025, 6, 30)).rejected == {"sentinel": 1}


def test_the_same_moment_counts_once() -> None:
    minutes = made(slots(range(288)) + slots([5, 5, 9], 70_00))
    assert counts(minutes) == (288, 0, 0)
    assert len(minutes.observed) == 288


def test_forecasts_are_refused_and_nothing_is_filled_ahead() -> None:
    at = datetime.fromtimestamp(START + 100 * SLOT, UTC)
    minutes = made(slots(range(98)) + slots([150]), at=at)
    assert counts(minutes) == (98, 2, 188)
    assert minutes.rejected == {"future": 1}


def test_the_second_source_only_fills_what_the_first_lacks() -> None:
    first = slots([*range(100), *range(110, 288)], 70_00, source=IEM_ONE_MINUTE)
    first[50] = first[50]._replace(temp=-77_90)
    second = [*slots(range(288), 7160, source=IEM_REPORTS), observation(START + 103 * SLOT + 180, source=IEM_REPORTS)]
    minutes = minutes_of(CHICAGO, DAY, [(IEM_ONE_MINUTE, first), (IEM_REPORTS, sorted(second))], LATER)
    assert counts(minutes) == (288, 0, 0)
    assert minutes.source == IEM_ONE_MINUTE
    reports = [each.second for each in minutes.observed if each.source == IEM_REPORTS]
    wanted = [START + place * SLOT for place in (50, *range(100, 110))]
    assert reports == sorted([*wanted, START + 103 * SLOT + 180])


def test_a_day_does_not_depend_on_how_much_was_asked_for() -> None:
    rows = slots(place for place in range(-600, 900) if place % 7 and not 280 < place < 300)
    small = [row for row in rows if START - 3600 <= row.second < START + 288 * SLOT]
    assert made(rows) == made(small)


def test_humidity_follows_from_temperature_and_dew_point() -> None:
    """Against the National Weather Service's calculator: 77 °F and 59 °F give 54 per cent."""
    assert relative_humidity(77_00, 59_00) == pytest.approx(54_00, abs=50)
    assert relative_humidity(50_00, 50_00) == 100_00
    assert relative_humidity(50_00, 51_00) == 100_00
