from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kalshi_ingest.domain.cities import CITIES, active_city, city_of_series, find_city
from kalshi_ingest.errors import Unusable


def test_keys_are_the_users_vocabulary() -> None:
    assert [city.key for city in CITIES] == ["chicago", "miami", "austin", "la", "denver", "philadelphia", "nyc"]
    assert [city.key for city in CITIES if city.retired] == ["nyc"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("chicago", "chicago"),
        ("Chicago", "chicago"),
        ("KXHIGHCHI", "chicago"),
        ("highchi", "chicago"),
        ("los_angeles", "la"),
        ("Los Angeles", "la"),
        ("L.A.", "la"),
        ("lax", "la"),
        ("KXHIGHLAX", "la"),
        ("phl", "philadelphia"),
        ("kxhighphil", "philadelphia"),
        ("new_york", "nyc"),
        ("New York City", "nyc"),
        ("HIGHNY", "nyc"),
        ("KAUS", "austin"),
        (" denver ", "denver"),
    ],
)
def test_common_spellings(text: str, key: str) -> None:
    assert find_city(text).key == key


@pytest.mark.parametrize("text", ["", "boston", "KXHIGHPHL", "ord", "chicago!", "-"])
def test_anything_else_lists_the_choices(text: str) -> None:
    with pytest.raises(Unusable, match=r"chicago, miami, austin, la, denver, philadelphia, nyc \(retired\)"):
        find_city(text)


def test_no_spelling_is_shared() -> None:
    for city in CITIES:
        assert find_city(city.key) is city
        assert find_city(city.name) is city
        assert find_city(city.series_ticker) is city


def test_the_retired_city_is_found_but_not_active() -> None:
    assert active_city("austin").key == "austin"
    with pytest.raises(Unusable, match=r"New York \(nyc\) is retired here: nothing new .* stays queryable"):
        active_city("new york")
    with pytest.raises(Unusable, match="Choose from"):
        active_city("boston")


def test_city_of_series() -> None:
    assert city_of_series("KXHIGHPHIL") is find_city("philadelphia")
    assert city_of_series("HIGHMIA") is find_city("miami")
    assert city_of_series("KXHIGHNY") is find_city("nyc")
    assert city_of_series("KXLOWTCHI") is None
    assert city_of_series("") is None


def test_the_fixed_offset_is_the_civil_zone_in_winter() -> None:
    winter = datetime(2025, 1, 15, tzinfo=UTC)
    for city in CITIES:
        offset = winter.astimezone(ZoneInfo(city.time_zone)).utcoffset()
        assert offset == timedelta(hours=city.standard_offset_hours)


@pytest.mark.parametrize(
    ("key", "loc_id", "cli_pil", "ghcnd_id"),
    [
        ("chicago", "KMDW", "CLIMDW", "USW00014819"),  # Midway, not O'Hare
        ("miami", "KMIA", "CLIMIA", "USW00012839"),
        ("austin", "KAUS", "CLIAUS", "USW00013904"),  # Bergstrom, not Camp Mabry
        ("la", "KLAX", "CLILAX", "USW00023174"),
        ("denver", "KDEN", "CLIDEN", "USW00003017"),
        ("philadelphia", "KPHL", "CLIPHL", "USW00013739"),
        ("nyc", "KNYC", "CLINYC", "USW00094728"),
    ],
)
def test_the_station_that_settles(key: str, loc_id: str, cli_pil: str, ghcnd_id: str) -> None:
    station = find_city(key).station
    assert (station.loc_id, station.cli_pil, station.ghcnd_id) == (loc_id, cli_pil, ghcnd_id)
    assert station.iem_id == loc_id.removeprefix("K")
    assert station.visual_crossing_id == f"stn:{loc_id}"
    assert find_city(loc_id).key == key
