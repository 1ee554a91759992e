"""The embedded database, gone under the service: started again by it, and by nothing else than that loss."""

import asyncio
import fcntl
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from kalshi_ingest.errors import DatabaseAway
from kalshi_ingest.follow.state import Phase
from kalshi_ingest.follow.volume_poller import VolumePoller
from kalshi_ingest.postgres.embedded.restart import start_again
from tests.follow.following import QUICK, TICKER, LivingWorld, after, following, serving
from tests.follow.test_faults import Breaking
from tests.support.backfills import assert_holds_all, trade_row
from tests.support.mortals import database_server

_TRADES = "select count(*) from trades"


async def test_a_database_that_is_lost_is_started_again_by_the_service() -> None:
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    revived = 0
    with database_server() as server:
        url = await server.database("followed")

        async def revive() -> None:
            nonlocal revived
            revived += 1
            if revived == 1:
                raise DatabaseAway("the first attempt fails")
            if revived == 2:
                raise RuntimeError("a fault of the second attempt")
            await start_again(server.home)

        intervals = replace(QUICK, database_silence=0.3, fault=0.1)
        async with (
            serving(world) as simulator,
            following(simulator.url, url, intervals=intervals, revive=revive) as service,
        ):
            await service.up_to_date()
            assert revived == 0
            server.kill()
            world.add(trade_row(TICKER, after(-4), 2))
            await service.until(lambda: "the first attempt fails" in service.state.reason)
            assert service.state.phase is Phase.DATABASE_AWAY
            await service.up_to_date()
            await service.until_rows(url, _TRADES, [(2,)])
            await assert_holds_all(url, world.rows)
            assert (revived, service.state.faults) == (3, 1)


async def test_neither_the_exchange_nor_a_fault_is_a_reason(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking = Breaking(monkeypatch, VolumePoller, "_poll")

    async def revive() -> None:
        raise AssertionError("the database is not lost")

    world = LivingWorld(after())
    simulator = serving(world)
    url = await simulator.start()
    async with following(url, database_url, revive=revive, intervals=QUICK) as service:
        await service.up_to_date()
        await simulator.stop()
        await service.until(lambda: service.state.phase is Phase.EXCHANGE_AWAY)
        await simulator.start(port=urlsplit(url).port or 0)
        try:
            await service.up_to_date()
            breaking.left = 1
            await service.until(lambda: service.state.faults == 1)
            await service.up_to_date()
            await service.end()
        finally:
            await simulator.stop()


async def test_a_stop_does_not_wait_for_a_server_that_takes_long(home: Path) -> None:
    """Somebody else is starting it, and does not come to an end."""
    await asyncio.to_thread(home.mkdir)
    descriptor = os.open(home / "postgresql-18.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        waiting = asyncio.create_task(start_again(home))
        while not (children := [each for each in psutil.Process().children() if _is_restart(each)]):
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert not any(each.is_running() for each in children)
    finally:
        os.close(descriptor)


async def test_why_it_does_not_start_is_said(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with names of Python's own modules, too."""
    for name in ("signal.py", "types.py", "asyncio.py"):
        (tmp_path / name).write_text("raise SystemError('not to be imported')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatabaseAway, match="must not contain quotes"):
        await start_again(home / 'a"b')


async def test_a_fault_at_starting_it_is_not_an_outage(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "structlog.py").write_text("raise AttributeError('broken here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"(?s)with code 1:\n.*structlog\.py.*AttributeError: broken here"):
        await start_again(home)


def _is_restart(process: psutil.Process) -> bool:
    try:
        return "kalshi_ingest.postgres.embedded.restart" in process.cmdline()
    except psutil.NoSuchProcess:
        return False
