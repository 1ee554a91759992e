"""The texts of the simulated monthly form: they say what the rows say, come again and again, and sometimes late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest

from kalshi_ingest.domain.nws.cf6_report import Cf6Report, parse_cf6
from kalshi_simulator.weather.stations import STATIONS
from tests.simulator.support import small_world
from tests.simulator.weather_support import Asking, weather

OFTEN = {"late_peak": 1.0, "cf6_m": 0.05, "cf6_off": 0.1, "correction": 0.2, "cf6_older_product": 0.2}


async def forms(asking: Asking, station: str, start: str, end: str) -> list[Cf6Report]:
    url = asking.urls.iem + "/cgi-bin/afos/retrieve.py"
    query = {"pil": STATIONS[station].form_pil, "sdate": start, "edate": end, "limit": 9999, "fmt": "text"}
    body = await asking.text(url, **query, order="asc")
    return [parse_cf6(text.strip("\001\n")) for text in body.split("\003") if text.strip()]


@pytest.mark.parametrize("stations", [("KLAX",), pytest.param(tuple(STATIONS), marks=pytest.mark.long)])
async def test_every_row_says_what_its_text_says(stations: Sequence[str]) -> None:
    """The row of each day names the form that it was taken from."""
    for icao in stations:
        async with weather(small_world(now=datetime(2025, 12, 20, tzinfo=UTC)), rates=OFTEN) as asking:
            rows = await asking.cf6(icao, 2025)
            texts = {form.product_id: form for form in await forms(asking, icao, "2025-01-01", "2025-12-31")}
        assert len(rows) in (352, 353)  # at Los Angeles the afternoon form is 40 minutes away
        for day, row in rows.items():
            stated = {f"{each.day}": each.maximum_f for each in texts[row["product"]].days}
            assert stated[day] == (None if row["high"] == "M" else row["high"]), row
        assert any(row["high"] == "M" for row in rows.values())


async def test_a_form_is_issued_twice_a_day_with_all_days_of_its_month() -> None:
    async with weather(small_world(now=datetime(2025, 11, 3, tzinfo=UTC)), plain=True) as asking:
        found = await forms(asking, "KMDW", "2025-10-31T00:00Z", "2025-11-02T12:00Z")
        newest = await asking.text(asking.urls.iem + f"/api/1/nwstext/{found[-1].product_id}")
        listed = await asking.json(asking.urls.iem + "/api/1/nws/afos/list.json", pil="CF6MDW", date="2025-11-01")
    assert [(each.product_id[:12], len(each.days)) for each in found] == [
        ("202510311112", 30),
        ("202510312240", 31),
        ("202511011112", 31),
        ("202511012240", 1),
        ("202511021112", 1),
    ]
    assert parse_cf6(newest) == found[-1]
    assert [each["product_id"] for each in listed["data"]] == [each.product_id for each in found[2:4]]


async def test_an_older_form_comes_again_late() -> None:
    """The text archive goes by issue time, so the copy stands before what it came after."""
    world = small_world(now=datetime(2025, 11, 4, 12, tzinfo=UTC))
    planted = {("KMDW", date(2025, 11, 3)): ("cf6_older_product", "late_peak")}
    async with weather(world, plain=True, planted=planted) as asking:
        before = await forms(asking, "KMDW", "2025-11-03T12:00Z", "2025-11-05")
        world.now = datetime(2025, 11, 4, 16, tzinfo=UTC)
        after = await forms(asking, "KMDW", "2025-11-03T12:00Z", "2025-11-05")
    partial, full = before
    assert after == [partial, partial, full]
    known, official = partial.days[-1].maximum_f, full.days[-1].maximum_f
    assert known is not None
    assert official is not None
    assert known < official


async def test_the_month_is_a_name_or_a_number_and_a_trace_is_t() -> None:
    async with weather(small_world(now=datetime(2025, 12, 20, tzinfo=UTC))) as asking:
        url = asking.urls.iem + "/cgi-bin/afos/retrieve.py"
        by_name = await asking.text(url, pil="CF6MDW", limit=1)
        by_number = await asking.text(url, pil="CF6LAX", limit=1)
    assert "MONTH:     DECEMBER\n" in by_name
    assert "MONTH:     12\n" in by_number
    assert any(line[26:31] == "    T" for line in (by_name + by_number).splitlines())
