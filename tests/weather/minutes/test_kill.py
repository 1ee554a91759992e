"""Killed with SIGKILL anywhere, `weather minutes` goes on where it was and ends with the same tables."""

import signal
from random import Random

import pytest

from tests.support import postgres
from tests.support.backfills import fetch, log_statuses
from tests.support.killable import killable, undisturbed
from tests.support.minute_runs import digest, weather_of

ORDERS = {
    # Several pieces each: two windows of a city, and four cities one by one.
    "iem": {"cities": ["chicago"], "first": "2025-04-01"},
    "visualcrossing": {"cities": ["chicago", "miami", "la", "denver"], "first": "2025-06-25"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "kills"), [("iem", 2), *(pytest.param(kind, 20, marks=pytest.mark.long) for kind in ORDERS)]
)
async def test_killed_often(kind: str, kills: int, postgres_url: str, template_database: str) -> None:
    """Between two kills of a database nothing is undone; every day is stored with its claim or not at all."""
    random = Random(5)
    async with (
        weather_of(plain=False, seeded_outage=True) as simulator,
        killable("tests.support.minute_runs:fetch_minutes") as work,
    ):
        asked = ORDERS[kind] | {"kind": kind, "root": simulator.url.removesuffix("/trade-api/v2")}
        whole, longest = await undisturbed(work, asked, digest, postgres_url, template_database)
        killed = partly = 0
        while killed < kills or not partly:
            async with postgres.fresh_database(postgres_url, template_database) as url:
                order = asked | {"database_url": url}
                code = await work.run(order, random.uniform(0, longest))
                if code == 0:  # it was faster than its killer
                    continue
                assert code == -signal.SIGKILL
                killed += 1
                partly += await _claimed(url) > 0
                assert await work.run(order) == 0
                assert await digest(url) == whole
                assert set(await log_statuses(url)) <= {"interrupted", "success"}


async def _claimed(url: str) -> int:
    """Days claimed; each of them, and only they, have rows."""
    unclaimed = await fetch(
        url,
        "select from wx.minute_obs o join wx.location l using (loc_id) where not exists (select from wx.minute_day d "
        "where d.loc_id = o.loc_id and d.date_local = ((o.ts_utc at time zone 'UTC') "
        "+ make_interval(hours => l.standard_offset_hours))::date)",
    )
    assert unclaimed == []
    wrong = await fetch(
        url,
        "select from wx.minute_day d join wx.location l using (loc_id) where slots_observed <> "
        "(select count(distinct date_bin('5 minutes', o.ts_utc, 'epoch')) from wx.minute_obs o "
        "where o.loc_id = d.loc_id and not o.ffilled "
        "and o.ts_utc >= (date_local::timestamp - make_interval(hours => standard_offset_hours)) at time zone 'UTC' "
        "and o.ts_utc < (date_local::timestamp + interval '1 day' - make_interval(hours => standard_offset_hours)) "
        "at time zone 'UTC')",
    )
    assert wrong == []
    return int((await fetch(url, "select count(*) from wx.minute_day"))[0][0])
