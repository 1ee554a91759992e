"""The weather is the weather that the markets settled on."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from kalshi_simulator import RowsWorld
from kalshi_simulator.weather.stations import BY_SERIES
from kalshi_simulator.weather.truth import event_day, settled_on
from kalshi_simulator.world import World
from tests.simulator.support import Row, small_world
from tests.simulator.weather_support import weather
from tests.support import recorded


def holds(market: Row, degrees: int) -> bool:
    """Whether a bin holds a temperature: between inclusive, less and greater strict."""
    if market["strike_type"] == "between":
        return bool(market["floor_strike"] <= degrees <= market["cap_strike"])
    return bool(degrees < market["cap_strike"] if market["strike_type"] == "less" else degrees > market["floor_strike"])


async def first_finals(world: World) -> dict[tuple[str, date], int | None]:
    found: dict[tuple[str, date], int | None] = {}
    async with weather(world) as asking:
        for station in set(BY_SERIES.values()):
            for report in await asking.issued(station.pil, "2025-10-15", "2025-11-20"):
                if not report.partial:
                    found.setdefault((station.series, report.day), report.high)
    return found


@pytest.mark.parametrize("as_rows", [False, True])
async def test_the_winning_bin_holds_the_first_final_on_every_settled_event(as_rows: bool) -> None:
    made = small_world(now=datetime(2025, 11, 20, tzinfo=UTC), oddities=False)
    world: World = made
    if as_rows:
        events = [event.row() | {"series_ticker": event.series_ticker} for event in made.events(None)]
        world = RowsWorld(events=events, markets=[made.market(ticker) for ticker in made.market_tickers()])
    finals = await first_finals(world)
    compared = 0
    for event in made.events(None):
        day = event_day(event.ticker)
        winner = next((m.row() for m in event.markets if m.row()["result"] == "yes"), None)
        if day is None or winner is None:
            continue
        final = finals.get((event.series_ticker, day))
        if final is not None:
            assert holds(winner, final), (event.ticker, final, winner)
            assert winner["expiration_value"] == f"{final}.00"
            compared += 1
    assert compared > 150


async def test_every_odd_world_has_a_correction_that_moves_a_high_out_of_the_bin_that_paid() -> None:
    world = small_world(now=datetime(2025, 11, 20, tzinfo=UTC), oddities=False)
    winners = {
        (event.series_ticker, event_day(event.ticker)): market.row()
        for event in world.events(None)
        for market in event.markets
        if market.row()["result"] == "yes"
    }
    moved = 0
    async with weather(world, rates={"correction": 0}) as asking:
        for station in {BY_SERIES[series] for series in world.config.cities}:
            for report in await asking.issued(station.pil, "2025-10-20", "2025-11-17"):
                if report.corrected and report.high is not None and (station.series, report.day) in winners:
                    moved += not holds(winners[station.series, report.day], report.high)
    assert moved >= 1


def test_what_settled_an_event_is_read_from_the_value_or_the_bin() -> None:
    bins: list[Row] = [
        {"ticker": "E-T60", "strike_type": "less", "cap_strike": 60},
        {"ticker": "E-B60.5", "strike_type": "between", "floor_strike": 60, "cap_strike": 61},
        {"ticker": "E-T61", "strike_type": "greater", "floor_strike": 61},
    ]

    def paid(place: int, **more: object) -> int | None:
        rows = [row | {"result": "yes" if row is bins[place] else "no"} for row in bins]
        rows[place] |= more
        return settled_on(rows)

    assert [paid(place) for place in range(3)] == [59, 60, 62]
    assert paid(1, expiration_value="61.00") == 61
    assert paid(1, expiration_value="60. Although an earlier report differed") == 60
    for row in bins:
        for name in ("strike_type", "floor_strike", "cap_strike"):
            row.pop(name, None)
    assert [paid(place) for place in range(3)] == [59, 60, 62]
    assert settled_on([row | {"result": ""} for row in bins]) is None
    assert settled_on([row | {"result": "scalar"} for row in bins]) is None


@recorded.needs_recorded
async def test_recorded_events_settle_on_a_temperature_in_the_bin_that_paid() -> None:
    bodies = [body for _, _, body in recorded.events()]
    world = RowsWorld(
        events=[body["event"] for body in bodies],
        markets=[recorded.modern_market(row) for body in bodies for row in body["markets"]],
    )
    finals: dict[tuple[str, date], int] = {}
    async with weather(world, plain=True) as asking:
        truth = asking.simulator.weather.weather.truth
        for station, days in truth.days.items():
            finals |= {(station.series, day): truth.high(station, day) for day in days}
    compared = 0
    for event in world.events(None):
        day, station_of = event_day(event.ticker), BY_SERIES[event.series_ticker]
        for market in event.markets:
            row = market.row()
            if day is not None and row["result"] == "yes" and "strike_type" in row:
                assert holds(row, finals[station_of.series, day]), row
                compared += 1
    assert compared > 30
