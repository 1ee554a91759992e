"""Exceptions that nobody foresaw, in any part of the service: it says so, opens everything again, and resumes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.subscriptions import Event
from kalshi_ingest.follow import service as service_module
from kalshi_ingest.follow.faults import is_fault
from kalshi_ingest.follow.listing_poller import ListingPoller
from kalshi_ingest.follow.periodic_jobs import PeriodicJobs
from kalshi_ingest.follow.scheduler import Scheduler
from kalshi_ingest.follow.service import FollowService
from kalshi_ingest.follow.session import FollowSession
from kalshi_ingest.follow.state import Phase
from kalshi_ingest.follow.volume_poller import VolumePoller
from kalshi_ingest.ingest.run_log import RunLog
from kalshi_ingest.ingest.worker import CutoffCache, Worker
from kalshi_ingest.postgres.writer import Writer
from kalshi_simulator import Limits
from tests.cli.test_follow import a_key
from tests.follow.following import QUICK, TICKER, TICKERS, Following, LivingWorld, after, following, serving
from tests.follow.test_periodic_jobs import weather_of
from tests.support.backfills import assert_holds_all, fetch, trade_row

_TRADES = "select count(*) from trades"
_INTERVALS = replace(QUICK, listings=0.3, fault=0.2, longest_fault=0.4)

PLACES: dict[str, tuple[type, str]] = {
    "worker": (Worker, "walk"),
    "writer": (Writer, "_commit"),
    "lists": (ListingPoller, "_read_series"),
    "volumes": (VolumePoller, "_poll"),
    "run log": (RunLog, "update"),
    "telling": (VolumePoller, "_publish"),
    "cutoff": (CutoffCache, "cutoff"),
    "exchange": (Api, "market_snapshots"),
}


class Breaking:
    """Makes a method raise an `AttributeError`, as often as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, only: str | None = None) -> None:
        self.left: float = 0
        self.raised = 0
        original = getattr(owner, name)

        def broken(*arguments: Any, **named: Any) -> Any:
            if self.left > 0 and (only is None or only in str(arguments)):
                self.left -= 1
                self.raised += 1
                raise AttributeError("'NoneType' object has no attribute 'nobody_foresaw'")
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, broken)


async def _faulted(service: Following, times: int) -> None:
    await service.until(lambda: service.state.faults == times)


@pytest.mark.parametrize("place", PLACES)
async def test_it_is_survived_wherever_it_happens(
    place: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking = Breaking(monkeypatch, *PLACES[place])
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    async with serving(world) as simulator:
        with capture_logs() as logs:
            async with following(simulator.url, database_url, intervals=_INTERVALS) as service:
                await service.up_to_date()
                seen: list[str] = []
                breaking.left = 1
                world.add(trade_row(TICKER, after(-4), 2))
                await service.until(lambda: service.state.phase is Phase.FAULT)
                seen += service.state.not_ready()
                assert service.state.faults == 1
                await service.up_to_date()
                await service.until_rows(database_url, _TRADES, [(2,)])
                assert service.state.reason == ""
                assert service.state.losses == {}, "neither the exchange nor the database is to blame"
        await assert_holds_all(database_url, world.rows)
    assert any(each.startswith("a fault of the program itself: AttributeError") for each in seen)
    (said,) = [each for each in logs if each["event"] == "program_fault"]
    assert "nobody_foresaw" in said["reason"]
    assert isinstance(said["exc_info"], AttributeError), "with its traceback"


async def test_wrong_sql_is_a_fault_and_not_an_outage(database_url: str) -> None:
    """A real one: the server answers that the statement makes no sense."""
    await fetch(
        database_url,
        """
        create function nonsense() returns trigger language plpgsql as
        $$ begin raise exception 'syntax error at or near "selec"' using errcode = '42601'; end $$
        """,
    )
    await fetch(database_url, "create trigger nonsense before insert on trades execute function nonsense()")
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    async with (
        serving(world) as simulator,
        following(simulator.url, database_url, intervals=replace(_INTERVALS, fault=1.0)) as service,
    ):
        await service.until(lambda: service.state.phase is Phase.FAULT)
        assert "syntax error" in service.state.reason
        assert service.state.losses == {}
        await fetch(database_url, "drop trigger nonsense on trades")
        await service.up_to_date()
        await service.until_rows(database_url, _TRADES, [(1,)])


async def test_ten_in_a_row_without_progress_end_it(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ever longer pauses, which nobody waits for here."""
    breaking = Breaking(monkeypatch, VolumePoller, "_poll")
    breaking.left = float("inf")
    pauses: list[float] = []
    survived: Callable[[Any, Exception], float] = FollowService._record_fault

    def noted(self: FollowService, fault: Exception) -> float:
        pauses.append(survived(self, fault))
        return 0.0

    monkeypatch.setattr(FollowService, "_record_fault", noted)
    async with serving(LivingWorld(after())) as simulator:
        with pytest.raises(AttributeError, match="nobody_foresaw"):
            async with following(simulator.url, database_url, intervals=replace(QUICK, fault=1.0)) as service:
                await service.until(lambda: False)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert breaking.raised == service.state.faults == 10


async def test_a_session_that_worked_for_a_while_ends_the_row(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "MOST_IN_A_ROW", 2)
    breaking = Breaking(monkeypatch, VolumePoller, "_poll")
    intervals = replace(_INTERVALS, fault=0.001, longest_fault=0.01)
    async with (
        serving(LivingWorld(after())) as simulator,
        following(simulator.url, database_url, intervals=intervals) as service,
    ):
        for number in (1, 2, 3):
            await service.up_to_date()
            breaking.left = 1
            await _faulted(service, number)
        await service.up_to_date()


async def test_a_market_that_faults_again_and_again_fails_alone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking = Breaking(monkeypatch, Worker, "walk", only=TICKER)
    breaking.left = float("inf")
    world = LivingWorld(after())
    world.add(*(trade_row(ticker, after(-5), number) for number, ticker in enumerate(TICKERS)))
    async with (
        serving(world) as simulator,
        following(simulator.url, database_url, intervals=replace(_INTERVALS, fault=0.01), faster=20) as service,
    ):
        await service.until_rows(database_url, _TRADES, [(len(TICKERS) - 1,)])
        await service.up_to_date()
        await service.until(lambda: TICKER in service.chicago.failed)
        assert "a fault of the program itself" in service.chicago.failed[TICKER]
        assert any("Chicago" in each or "chicago" in each for each in service.state.not_ready())
        breaking.left = 0
        await service.until_rows(database_url, _TRADES, [(len(TICKERS),)])
        await service.until(lambda: service.chicago.failed == {})


async def test_a_fault_in_the_channel_leaves_polling_at_work(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener breaks at each event of the first two connections; the markets are followed throughout."""
    path, public = a_key(tmp_path)
    broken = 0

    hear = FollowSession.on_event

    def broken_twice(
        session: FollowSession, scheduler: Scheduler, lists: ListingPoller, poller: VolumePoller, event: Event
    ) -> None:
        nonlocal broken
        broken += 1
        if broken <= 2:
            raise TypeError("nobody foresaw this event")
        hear(session, scheduler, lists, poller, event)

    monkeypatch.setattr(FollowSession, "on_event", broken_twice)
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    limits = Limits(public_key_pem=public, authenticated_requests_per_second=2_000)
    async with (
        serving(world, limits=limits) as simulator,
        following(simulator.url, database_url, intervals=_INTERVALS, key_path=path) as service,
    ):
        await service.up_to_date()
        await service.until(lambda: service.state.faults == 2)
        assert service.state.phase is Phase.FOLLOWING
        world.add(trade_row(TICKER, after(-4), 2))
        await service.until_rows(database_url, _TRADES, [(2,)])
        channel = service.state.channel
        assert channel is not None
        await service.until(lambda: channel.connected)
        assert channel.connections == 3, "each once"
        assert service.state.losses == {}


async def test_an_errand_that_faults_is_said_and_leaves_the_markets_alone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking = Breaking(monkeypatch, PeriodicJobs, "_settlement")
    breaking.left = 1
    async with (
        serving(LivingWorld(after())) as simulator,
        following(simulator.url, database_url, weather=weather_of(simulator)) as service,
    ):
        await service.until(lambda: service.state.faults == 1)
        await service.up_to_date()
        error = service.state.periodic_jobs["settlement"].error
        assert error is not None
        assert error.startswith("a fault of the program itself: AttributeError")
        assert service.state.faults == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AttributeError("x"), True),
        (asyncpg.PostgresSyntaxError("x"), True),
        (asyncpg.ReadOnlySQLTransactionError("x"), False),
        (asyncpg.AdminShutdownError("x"), False),
        (asyncio.CancelledError(), False),
    ],
)
def test_whose_mistake_it_is(error: BaseException, expected: bool) -> None:
    assert is_fault(error) is expected
