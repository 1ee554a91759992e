"""What an answer of the exchange tells of the time, and of its own age: a cache may have made it."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from kalshi_ingest.domain.model import to_datetime
from kalshi_ingest.errors import IngestError
from kalshi_ingest.exchange.caching import Copy, Made, copy_of
from kalshi_ingest.exchange.client import Client
from tests import virtual_clock
from tests.exchange.serving import GRACE, Reply, Script, asking, serving

THERE = datetime(2031, 5, 1, tzinfo=UTC)
CACHED = {"Cache-Control": "public, max-age=15", "x-kalshi-cache-hits": "3"}


def header(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


def asked(*headers: dict[str, str], status: int = 200) -> tuple[list[Made], Client]:
    """When each of some answers was made, and the client that asked."""
    replies = [Reply(status, headers={"Date": header(THERE)} | each) for each in headers]
    script = Script(thing=replies + replies[-1:] * 8)
    made: list[Made] = []

    def read(answer: Any) -> Any:
        return answer

    async def scenario() -> Client:
        async with serving(script.answer) as url, asking(url) as client:
            for _ in headers:
                with nullcontext() if status == 200 else pytest.raises(IngestError):
                    made.append((await client.ask("/thing", {}, read)).made)
            return client

    return made, virtual_clock.run(scenario(), grace=GRACE)


@pytest.mark.parametrize(
    ("status", "more", "heard"), [(200, {}, True), (404, {}, False), (503, {}, False), (200, {"Age": "70"}, False)]
)
def test_the_client_hears_the_time_with_every_good_answer(status: int, more: dict[str, str], heard: bool) -> None:
    """A gateway's error page and a cache's answer have times of their own."""
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
        ({"Age": "0"}, Copy(1, 0, 0, restamped=True)),
        ({"Age": "7", "Cache-Control": "public, max-age=15"}, Copy(8, 8, 15, restamped=True)),
        ({"Age": " 7 ", "Cache-Control": 'public,s-maxage="20", max-age=15'}, Copy(8, 13, 20, restamped=True)),
        ({"Age": "40", "Cache-Control": "max-age=15"}, Copy(41, 0, 40, restamped=True)),
        ({"Age": "-3"}, Copy()),
        ({"Age": "soon"} | CACHED, Copy(15, 0, 15)),
        ({"Age": "9" * 400}, Copy(3601, 0, 3600, restamped=True)),
        (CACHED, Copy(15, 0, 15)),
        ({"x-kalshi-cache-hits": "0"}, Copy()),
        ({"Cache-Control": "no-store", "x-kalshi-cache-hits": "0"}, Copy()),
        ({"Cache-Control": "x-max-age=15", "x-kalshi-cache-hits": "1"}, Copy()),
    ],
)
def test_what_headers_tell_of_a_cache(headers: dict[str, str], expected: Copy) -> None:
    assert copy_of(headers) == expected


def test_a_copy_is_as_old_as_it_may_be() -> None:
    made, client = asked({}, {"Age": "7", "Cache-Control": "public, max-age=15"}, CACHED)
    assert [each.age for each in made] == [0, 8, 15]
    assert [each.kept for each in made] == [0, 8, 0]
    assert abs(to_datetime(made[1].at_us) - THERE + timedelta(seconds=8)) < timedelta(seconds=2)
    assert abs(to_datetime(made[2].at_us) - THERE + timedelta(seconds=15)) < timedelta(seconds=2)
    assert client.cache_seconds == 15


def test_a_cache_that_keeps_the_date_and_tells_nothing_is_found_out_by_the_date() -> None:
    """And its answers do not take the clock back."""
    old = {"Date": header(THERE - timedelta(seconds=14))}
    made, client = asked({}, {}, {}, old)
    assert 13 < made[-1].age < 17
    assert abs(client.clock() - THERE) < timedelta(seconds=3)


@pytest.mark.parametrize("days", [-3, 3, 400])
def test_one_answer_whose_date_is_days_off_moves_nothing(days: int) -> None:
    _, client = asked({}, {}, {}, {"Date": header(THERE + timedelta(days=days))})
    assert abs(client.clock() - THERE) < timedelta(seconds=3)
