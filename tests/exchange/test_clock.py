"""What an answer of the exchange tells of the time, and of its own age: a cache may have made it."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

import pytest
from aiohttp import web

from kalshi_ingest.domain.model import to_datetime
from kalshi_ingest.errors import IngestError
from kalshi_ingest.exchange.caching import Copy, Made, copy_of
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.http.server_clock import ServerClock
from tests.exchange.serving import GRACE, Reply, Script, asking, serving
from tests.support import virtual_clock

THERE = datetime(2031, 5, 1, tzinfo=UTC)
CACHED = {"Cache-Control": "public, max-age=15", "x-kalshi-cache-hits": "3"}


def header(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


def asked(*headers: dict[str, str], status: int = 200) -> tuple[list[Made], Client]:
    """When each of some answers was made, and the client that asked."""
    replies = [Reply(status, headers={"Date": header(THERE)} | each) for each in headers]
    script = Script(thing=replies + replies[-1:] * 8)
    clock = ServerClock(steady_clock=lambda: 5000.0)  # as the script's headers, it stands still
    made: list[Made] = []

    def read(answer: Any) -> Any:
        return answer

    async def scenario() -> Client:
        async with serving(script.answer) as url, asking(url, clock=clock) as client:
            for _ in headers:
                with nullcontext() if status == 200 else pytest.raises(IngestError):
                    made.append((await client.ask("/thing", {}, read)).made)
            return client

    return made, virtual_clock.run(scenario(), grace=GRACE)


@pytest.mark.parametrize(
    ("status", "more", "heard"), [(200, {}, True), (404, {}, False), (503, {}, False), (200, {"Age": "70"}, True)]
)
def test_the_client_hears_the_time_with_every_good_answer(status: int, more: dict[str, str], heard: bool) -> None:
    """A gateway's error page has a time of its own."""
    _, client = asked(more, status=status)
    assert (abs(client.clock() - THERE) < timedelta(seconds=5)) is heard


def test_a_fresh_answer_vouches_for_the_moment_it_was_asked_for_and_no_later() -> None:
    made, _ = asked({}, {}, {})
    for each in made:
        assert each.age == each.kept == 0
        assert THERE - timedelta(seconds=2) < to_datetime(each.at_us) <= THERE


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Copy()),
        ({"Cache-Control": "max-age=15"}, Copy()),
        ({"Age": "0"}, Copy(1, 0, 0)),
        ({"Age": "7", "Cache-Control": "public, max-age=15"}, Copy(8, 8, 15)),
        ({"Age": " 7 ", "Cache-Control": 'public,s-maxage="20", max-age=15'}, Copy(8, 13, 20)),
        ({"Age": "40", "Cache-Control": "max-age=15"}, Copy(41, 0, 40)),
        ({"Age": "-3"}, Copy()),
        ({"Age": "soon"} | CACHED, Copy(15, 0, 15)),
        ({"Age": "7200", "Cache-Control": "max-age=86400"}, Copy(7201, 0, 3600)),
        ({"Age": "9" * 400}, Copy(864_001, 0, 3600)),
        (CACHED, Copy(15, 0, 15)),
        ({"x-kalshi-cache-hits": "0"}, Copy(15, 0, 15)),
        ({"Cache-Control": "max-age=0", "x-kalshi-cache-hits": "0"}, Copy()),
        ({"Cache-Control": "no-store", "x-kalshi-cache-hits": "0"}, Copy()),
        ({"Cache-Control": "x-max-age=4", "x-kalshi-cache-hits": "1"}, Copy(15, 0, 15)),
    ],
)
def test_what_headers_tell_of_a_cache(headers: dict[str, str], expected: Copy) -> None:
    assert copy_of(headers) == expected


def test_a_copy_is_as_old_as_it_may_be() -> None:
    made, _ = asked({}, {"Age": "7", "Cache-Control": "public, max-age=15"}, CACHED)
    assert [each.age for each in made] == [0, 8, 15]
    assert [each.kept for each in made] == [0, 8, 0]
    assert abs(to_datetime(made[1].at_us) - THERE + timedelta(seconds=8)) < timedelta(seconds=2)
    assert abs(to_datetime(made[2].at_us) - THERE + timedelta(seconds=15)) < timedelta(seconds=2)


def test_a_cache_that_keeps_the_date_and_tells_nothing_is_found_out_by_the_date() -> None:
    """And its answers do not take the clock back."""
    old = {"Date": header(THERE - timedelta(seconds=14))}
    made, client = asked({}, {}, {}, old)
    assert 13 < made[-1].age < 17
    assert abs(client.clock() - THERE) < timedelta(seconds=3)


@pytest.mark.parametrize("repeats_date", [True, False])
def test_behind_a_cache_that_marks_every_answer_the_time_stays_known_for_days(*, repeats_date: bool) -> None:
    """The bug: no such answer told the time, so that after a day candles closed 87 s late, and ever later."""
    random, past = Random(1), 0.3
    made: list[tuple[Made, datetime]] = []

    def there() -> datetime:
        return THERE + timedelta(seconds=past)

    async def answer(_: web.Request) -> web.Response:
        nonlocal past
        past += random.uniform(0.01, 0.5)
        age = random.uniform(0, 15)
        at = there() - timedelta(seconds=age)
        headers = {"Age": str(int(age)), "Cache-Control": "max-age=15", "Date": header(at if repeats_date else there())}
        past += random.uniform(0.01, 0.5)
        return web.json_response(at.timestamp(), headers=headers)

    async def scenario() -> None:
        nonlocal past
        clock = ServerClock(lambda: there() + timedelta(seconds=40), lambda: 5000 + past * 1.0005)
        async with serving(answer) as url, asking(url, clock=clock) as client:
            for _ in range(7 * 6):
                for _ in range(3):
                    told = await client.ask("/thing", {}, lambda made_at: datetime.fromtimestamp(made_at, UTC))
                    made.append((told.made, told.value))
                    assert there() - timedelta(seconds=20) < clock.earliest() <= there()
                    assert abs(clock() - there()) < timedelta(seconds=20)
                past += 4 * 3600

    virtual_clock.run(scenario(), grace=GRACE)
    assert all(to_datetime(each.at_us) <= at for each, at in made)


def test_an_answer_whose_date_is_older_than_its_age_is_as_old_as_its_date() -> None:
    made, _ = asked({}, {}, {}, {"Age": "0", "Date": header(THERE - timedelta(seconds=60))})
    assert 60 < made[-1].age < 63


@pytest.mark.parametrize("days", [-3, 3, 400])
def test_one_answer_whose_date_is_days_off_moves_nothing(days: int) -> None:
    _, client = asked({}, {}, {}, {"Date": header(THERE + timedelta(days=days))})
    assert abs(client.clock() - THERE) < timedelta(seconds=3)
