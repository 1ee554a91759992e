"""What the exchange listed is kept apart from the rows, and only once the lists were read to their ends."""

from datetime import date
from typing import Any

import pytest

from kalshi_ingest.domain.tickers import parse_event_ticker
from kalshi_ingest.errors import OutOfReach
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.listing_rows import ListingCounts
from kalshi_simulator import Faults, Simulator
from tests.support.backfills import IMPATIENT, Run, fetch, small_world, world_of

DAY = date(2025, 7, 1)
_LISTINGS = "select event_date, events, markets from listings order by event_date"


async def test_each_day_asked_for_is_counted_those_without_an_event_too(database_url: str) -> None:
    async with Simulator(small_world()) as simulator:
        await Run(simulator.url, database_url, dates=Dates(date(2025, 6, 30), date(2025, 7, 2)))()
    found = [tuple(row) for row in await fetch(database_url, _LISTINGS)]
    assert found == [(date(2025, 6, 30), 0, 0), (DAY, 1, 6), (date(2025, 7, 2), 0, 0)]


async def test_a_second_run_leaves_equal_counts_alone(database_url: str) -> None:
    query = "select event_date, run_id, listed_at from listings"
    async with Simulator(small_world()) as simulator:
        await Run(simulator.url, database_url, dates=Dates(DAY, DAY))()
        before = await fetch(database_url, query)
        await Run(simulator.url, database_url, dates=Dates(DAY, DAY))()
    assert await fetch(database_url, query) == before


async def test_a_list_that_broke_off_counts_nothing(database_url: str) -> None:
    async with Simulator(small_world(), faults=Faults(error_rate=1.0)) as simulator:
        with pytest.raises(OutOfReach):
            await Run(simulator.url, database_url, dates=Dates(DAY, DAY), retry=IMPATIENT)()
    assert await fetch(database_url, _LISTINGS) == []


async def test_a_volume_of_zero_proves_a_market_once_it_settled_and_not_before(database_url: str) -> None:
    trading = {"status": "active", "result": "", "settlement_ts": None, "expiration_value": ""}
    for changes, expected in ((trading, "open"), ({}, "complete")):
        async with Simulator(world_of({}, **changes)) as simulator:
            await Run(simulator.url, database_url)()
            assert bool(simulator.stats.trade_pages) == (expected == "open")
        assert [row[0] for row in await fetch(database_url, "select state from checkpoints")] == [expected] * 6


def test_no_event_is_told_only_of_days_that_are_over_and_not_before_the_first_one() -> None:
    listed = ListingCounts("KXHIGHLAX")
    asked = (date(2025, 1, 4), date(2025, 1, 9))
    assert listed.counts(*asked, today=date(2025, 1, 7)) == {}, "lists without a row prove nothing"
    listed.note(parse_event_ticker("KXHIGHNY-25MAR01"))
    assert listed.counts(*asked, today=date(2025, 1, 7)) == {}, "nor does another series' event"
    listed.note(parse_event_ticker("HIGHLAX-25MAR01"))
    counts = listed.counts(*asked, today=date(2025, 1, 7))
    assert sorted(counts) == [date(2025, 1, 5), date(2025, 1, 6)]


def test_of_another_series_only_what_is_listed_is_counted() -> None:
    listed = ListingCounts("KXRAIN")
    listed.events.add("KXRAIN-25JAN05")
    listed.market("KXRAIN-25JAN05")
    listed.market("KXRAIN-25JAN05")
    found: dict[date, Any] = dict(listed.counts(date(2025, 1, 1), date(2025, 1, 31), today=date(2025, 2, 1)))
    assert found == {date(2025, 1, 5): (1, 2)}
