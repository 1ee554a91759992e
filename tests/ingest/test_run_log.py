"""How a run is logged: what it counted, and how it ended."""

import asyncio

import pytest

from kalshi_ingest.ingest import run_log as module
from kalshi_ingest.ingest.run_log import logged


@pytest.mark.parametrize(("hurried", "stopped"), [(False, False), (True, False), (False, True)])
async def test_a_complete_run_is_logged_however_long_the_database_takes(
    monkeypatch: pytest.MonkeyPatch, *, hurried: bool, stopped: bool
) -> None:
    """The bug: a last line that took longer than two seconds was given up, and the run shown as interrupted."""
    monkeypatch.setattr(module, "LOG_SECONDS", 0.01)
    stop, written = asyncio.Event(), []

    async def writing() -> None:
        if stopped:
            stop.set()
        await asyncio.sleep(0.2)
        written.append(True)

    await logged(writing(), hurried=hurried, stop=stop)
    assert bool(written) is not (hurried or stopped)
