"""Observations are appended once, and what follows from them is made anew in the same transaction."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg

from kalshi_ingest.domain.settlement import Observation, Reported, Source
from kalshi_ingest.weather.settlement import queries
from kalshi_ingest.weather.settlement.queries import PollOutcome

DAY = date(2025, 5, 7)
END = datetime(2025, 5, 8, 6, tzinfo=UTC)
NOW = datetime(2025, 5, 9, tzinfo=UTC)


def report(tmax: int, hours: int = 1, source: Source = Source.CLI, now: datetime = NOW) -> Reported:
    issued = END + timedelta(hours=hours)
    product = f"{issued:%Y%m%d%H%M}-KLOT-CDUS43-CLIMDW"
    sha = None if source is Source.CLI else "ab"
    full = issued >= END
    return Reported(Observation("KMDW", DAY, source, product, sha, issued, now, full, Decimal(tmax)), '"text"')


def polled(source: Source = Source.CLI, error: str | None = None, now: datetime = NOW) -> PollOutcome:
    return PollOutcome("KMDW", source, now, {DAY: error, DAY + timedelta(days=1): error})


async def keep(url: str, *reports: Reported, now: datetime = NOW) -> asyncpg.Record:
    """The settled row after these reports arrived together."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await queries.store(connection, reports, polled(now=now), now)
        (row,) = await connection.fetch("select * from wx.settlement")
        return row
    finally:
        await connection.close()


async def test_the_same_again_changes_nothing(database_url: str) -> None:
    first = await keep(database_url, report(71))
    later = NOW + timedelta(days=1)
    again = await keep(database_url, report(71, now=later), now=later)
    assert first == again
    assert (first["tmax_final_f"], first["updated_at"]) == (71, NOW)
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("select retrieved_at, raw from wx.settlement_obs")
        assert [tuple(row) for row in rows] == [(NOW, '"text"')]
        polls = await queries.polls(connection, ["KMDW"], DAY, DAY + timedelta(days=1))
    finally:
        await connection.close()
    assert {(day, poll.state, poll.polled_at) for (_, day, _), poll in polls.items()} == {
        (DAY, "answered", later),
        (DAY + timedelta(days=1), "nothing", later),
    }


async def test_every_order_of_arrival_gives_the_same_row(database_url: str) -> None:
    held = []
    reports = [report(80, -8), report(90), report(85, 3), report(89, 4, Source.IEM_CF6)]
    for order in (reports, reports[::-1]):
        rows = [await keep(database_url, each) for each in order]
        held.append(dict(rows[-1]))
        connection = await asyncpg.connect(database_url)
        await connection.execute("truncate wx.settlement, wx.settlement_obs")
        await connection.close()
    assert held[0] == held[1]
    assert (held[0]["tmax_final_f"], held[0]["tmax_cli_f"], held[0]["conflict"]) == (90, 85, "warning")


async def test_a_report_that_could_not_be_read_and_is_not_sent_again_casts_no_more_doubt(database_url: str) -> None:
    unread = replace(report(90).observation, tmax_f=None, flag="it cannot be read")
    before = await keep(database_url, Reported(unread, '"text"'), report(85, 3))
    after = await keep(database_url)
    assert (before["tmax_final_f"], before["tmax_cli_first_f"]) == (85, None)
    assert (after["tmax_final_f"], after["tmax_cli_first_f"], after["note"]) == (85, 85, None)


async def test_two_writers_do_not_settle_from_halves(database_url: str) -> None:
    """The second waits for the first one's commit and then sees both reports."""
    one, two = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        first = one.transaction()
        await first.start()
        await queries.store(one, [report(85, 3)], polled(), NOW)

        async def second() -> None:
            async with two.transaction():
                await queries.store(two, [report(90)], polled(), NOW)

        waiting = asyncio.create_task(second())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        await first.commit()
        await waiting
        rows = await one.fetch("select tmax_final_f, tmax_cli_f from wx.settlement")
    finally:
        await one.close()
        await two.close()
    assert [tuple(row) for row in rows] == [(90, 85)]


async def test_a_failed_poll_says_why_and_only_a_final_ends_the_preliminary(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await queries.store(connection, [], polled(Source.GHCND, "NCEI is out of reach"), NOW)
            await queries.store(connection, [report(80, -8)], polled(), NOW)
        rows = await connection.fetch("select distinct state, error from wx.settlement_poll where source = 'GHCND'")
        assert [tuple(row) for row in rows] == [("failed", "NCEI is out of reach")]
        before = await queries.settlements(connection, ["KMDW"], DAY, DAY)
        assert [each.is_preliminary for each in before.values()] == [True]
        async with connection.transaction():
            await queries.store(connection, [report(81)], polled(), NOW)
        held = await queries.settlements(connection, ["KMDW"], DAY, DAY)
        assert [each.is_preliminary for each in held.values()] == [False]
    finally:
        await connection.close()
    assert held["KMDW", DAY].source is Source.CLI
