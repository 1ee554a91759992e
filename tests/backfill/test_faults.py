"""Every way in which an exchange can answer wrongly, on one market: it is overcome, or that market alone fails."""

import pytest

from kalshi_ingest.http.retry import RetryPolicy
from kalshi_simulator import Faults, Limits, Simulator
from tests.support.backfills import IMPATIENT, Run, checkpoint_of, fetch, log_statuses, of_size, plain, small_world
from tests.support.clean import Clean
from tests.support.dumps import PROOF, digests

OVERCOME_ONCE = (
    "duplicate_seam",
    "empty_page_with_cursor",
    "forever_500",
    "html_200",
    "nine_digits",
    "short_answer",
    "stall",
    "truncated_json",
    "unknown_extra_field",
)
"""Harmless, or gone when asked again."""

FATAL = {
    "bad_sum": "no_price_dollars",
    "foreign_row": "belongs to another market: ticker is 'KXHIGHNY-99JAN01-B70.5'",
    "forever_500": "status 500",
    "html_200": "a body that is not JSON",
    "http_400": "status 400",
    "http_404": "status 404",
    "huge_body": "larger than 16 MB",
    "missing_field": "has no yes_price_dollars",
    "missing_field:count_fp": "has no count_fp",
    "missing_field:created_time": "has no created_time",
    "missing_field:is_block_trade": "has no is_block_trade",
    "missing_field:ticker": "ticker is None",
    "missing_field:trade_id": "has no trade_id",
    "price_out_of_range": "yes_price_dollars: price '1.2000' lies outside [0, 1]",
    "repeat_cursor": "a loop",
    "stall": "no complete answer within the time allowed",
    "truncated_json": "a body that is not JSON",
    "zero_count": "count_fp: is 0",
}
"""What the reason says when a fault stays."""


def _retry(kind: str) -> RetryPolicy:
    """A stall has to be noticed; every other answer has the time that a busy machine needs."""
    return RetryPolicy(attempts=3, first_delay=0.001, read_timeout=1.0) if kind == "stall" else IMPATIENT


@pytest.mark.parametrize("kind", OVERCOME_ONCE)
async def test_a_fault_that_passes_leaves_no_trace(kind: str, database_url: str, clean: Clean) -> None:
    world = small_world()
    target = of_size(world, 1_100, 3_000)[0]
    async with Simulator(world, faults=Faults(targeted={target: kind}, times=1)) as simulator:
        job = await Run(simulator.url, database_url, retry=_retry(kind))()
        assert simulator.stats.faults[kind] == 1
    assert job.progress["KXHIGHCHI"].failed == {}
    assert job.progress["KXHIGHCHI"].verdicts == {"exact": 6}
    assert await log_statuses(database_url) == ["success"]
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)
    assert (await checkpoint_of(database_url, target))["walk"] == (2 if kind == "short_answer" else 1)


@pytest.mark.parametrize("kind", FATAL)
async def test_a_fault_that_stays_fails_that_market_alone(kind: str, database_url: str, clean: Clean) -> None:
    world = small_world()
    target = of_size(world, 1_100, 3_000)[0]
    faults = Faults(targeted={target: kind}, huge_body_bytes=20_000_000)
    async with Simulator(world, faults=faults) as simulator:
        job = await Run(simulator.url, database_url, retry=_retry(kind))()
    assert job.progress["KXHIGHCHI"].verdicts == {"exact": 5}
    assert list(job.progress["KXHIGHCHI"].failed) == [target]

    known = await checkpoint_of(database_url, target)
    stored = await fetch(database_url, "select count(*) from trades where ticker = $1", target)
    # `repeat_cursor` shows only after a good first page, whose rows are rightly kept.
    assert (known["state"], known["trades_stored"]) == ("failed", stored[0][0])
    assert stored[0][0] == (1_000 if kind == "repeat_cursor" else 0)
    assert FATAL[kind] in known["error"]
    log = (await fetch(database_url, "select status, error_message from ingestion_log"))[0]
    assert log["status"] == "partial"
    assert f"1 failed; the first: {target}: " in log["error_message"]
    assert FATAL[kind] in log["error_message"]

    async with Simulator(world) as simulator:
        healed = await Run(simulator.url, database_url)()
        assert set(simulator.stats.trade_pages) == {target}
    assert healed.progress["KXHIGHCHI"].failed == {}
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)


async def test_an_answer_cut_short_twice_is_an_accepted_warning(database_url: str) -> None:
    world = small_world()
    target = of_size(world, 1_100, 3_000)[0]
    async with Simulator(world, faults=Faults(targeted={target: "short_answer"}, times=2)) as simulator:
        job = await Run(simulator.url, database_url)()
    progress = job.progress["KXHIGHCHI"]
    assert progress.verdicts == {"exact": 5, "short": 1}
    assert [warning.split(":")[0] for warning in progress.warnings] == [f"{target} is short"]
    assert await log_statuses(database_url) == ["success"]


async def test_a_copy_of_the_first_walk_is_not_a_second_one(database_url: str) -> None:
    """A cache repeats the pages for ten minutes; a run that resumes at its second walk does not know the first."""
    world = small_world()
    target = of_size(world, 1_100, 3_000)[0]
    plain(world, target).plan.short = True
    async with Simulator(world, Limits(cache_seconds=600)) as simulator:
        for _ in ("from its beginning", "resumed"):
            job = await Run(simulator.url, database_url)()
            failed = job.progress["KXHIGHCHI"].failed
            assert list(failed) == [target]
            assert "a cache before the exchange repeats them for another " in failed[target]
            resumed = (
                "update checkpoints set state = 'walking', walk = 2, tier = 'live', error = null, confirming = true"
            )
            await fetch(database_url, f"{resumed} where ticker = $1", target)
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, database_url)()
    assert job.progress["KXHIGHCHI"].verdicts == {"exact": 5, "short": 1}


@pytest.mark.parametrize("route", ["events", "historical_markets"])
async def test_a_list_that_cannot_be_read_fails_the_series_not_the_run(route: str, database_url: str) -> None:
    broken = True

    def fail(asked: str, _: str | None) -> None:
        if broken and asked == route:
            raise RuntimeError("a bug on the server's side")

    world = small_world()
    async with Simulator(world) as simulator:
        simulator.on_request = fail
        job = await Run(simulator.url, database_url, retry=IMPATIENT)()
        progress = job.progress["KXHIGHCHI"]
        assert list(progress.failed) == ["KXHIGHCHI"]
        assert "the list is incomplete" in progress.failed["KXHIGHCHI"]
        assert not progress.listed
        assert progress.verdicts == {"exact": 6}
        broken = False
        assert (await Run(simulator.url, database_url)()).progress["KXHIGHCHI"].failed == {}
    assert await log_statuses(database_url) == ["partial", "success"]


async def test_without_a_cutoff_both_tiers_are_asked(database_url: str, clean: Clean) -> None:
    def fail(asked: str, _: str | None) -> None:
        if asked == "historical_cutoff":
            raise RuntimeError("a bug on the server's side")

    world = small_world()
    async with Simulator(world) as simulator:
        simulator.on_request = fail
        job = await Run(simulator.url, database_url, retry=IMPATIENT)()
        assert simulator.stats.by_route["historical_trades"] == len(simulator.stats.trade_pages)
    assert job.progress["KXHIGHCHI"].verdicts == {"exact": 6}
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)
