"""The network to the database is gone without a word, for a while or for good: the service comes back by itself."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.backfills import fetch
from tests.support.namespaces import Hosts, possible, two_hosts

pytestmark = [possible, pytest.mark.long]

REPOSITORY = Path(__file__).resolve().parents[2]
READY_SECONDS = 40.0
LONGER = [float(each) for each in os.environ.get("VANISHED_NETWORK_SECONDS", "").split()]
"""Further outages, such as 1200."""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with two_hosts() as made:
        yield made


async def _ran(hosts: Hosts, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """A program on the other host: its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *hosts.words(sys.executable, "-m", "tests.follow.vanishing", *words), cwd=REPOSITORY, stdout=-1
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    sys.stdout.write(out.decode())  # the figures; pytest -s shows them
    return process.returncode, [json.loads(line) for line in out.splitlines() if line.startswith(b'{"')]


@pytest.mark.timeout(400 + 2 * sum(LONGER))
async def test_outages_are_survived_and_healed_soon(hosts: Hosts) -> None:
    outages = [20.0, 60.0, *LONGER]
    code, seen = await _ran(hosts, "follow", hosts.url, *map(str, outages))
    assert code == 0
    assert [each["outage"] for each in seen] == outages
    assert [each["phase"] for each in seen if each["outage"] > 30] == ["database away"] * (len(outages) - 1)
    assert max(each["ready_after"] for each in seen) <= READY_SECONDS, seen
    assert (await fetch(hosts.local_url, "select count(*) from trades"))[0][0] == 1 + len(outages)
    assert {row[0] for row in await fetch(hosts.local_url, "select status from ingestion_log")} == {"success"}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("command", ["again", "backfill"])
async def test_a_power_cut_of_the_programs_machine_locks_nobody_out(command: str, hosts: Hosts) -> None:
    """The server keeps the locks of the dead session until TCP tells it, so whoever comes next waits that long."""
    code, seen = await _ran(hosts, "die", hosts.url)
    assert (code, seen) == (-signal.SIGKILL, [{"cut": True}])
    hosts.move_client()
    code, seen = await _ran(hosts, command, hosts.url)
    assert code == 0
    assert (await fetch(hosts.local_url, "select count(*) from trades"))[0][0] == 2
    assert max(seen[0].get("ready_after", 0), seen[0].get("done_after", 0)) <= READY_SECONDS, seen
