"""What tests of the embedded server share: processes that use it, and a look into it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from kalshi_ingest.store.embedded import psql_path
from tests.postgres import postgres_processes

REPOSITORY = Path(__file__).resolve().parents[2]
FAST = {"fsync": "off", "shared_buffers": "16MB"}

_USER = """
import os, sys
from pathlib import Path
from kalshi_ingest.store import embedded
if len(sys.argv) > 2:
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[2]))
hold = embedded.acquire(Path(sys.argv[1]), options={"fsync": "off", "shared_buffers": "16MB"})
print(hold.server.url, flush=True)
sys.stdin.readline()
embedded.release(hold)
"""


def user_process(home: Path, *ids: int) -> subprocess.Popen[str]:
    """A process that uses the server until it reads a line; under root as user and group `ids`."""
    return subprocess.Popen(
        [sys.executable, "-c", _USER, str(home), *map(str, ids)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def url_from(process: subprocess.Popen[str]) -> str:
    """The URL that a user process says, once its server runs."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    """Let a user process release the server and end."""
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def pid_of(home: Path) -> int:
    """The number of the server's process."""
    return int((home / "postgresql-18" / "postmaster.pid").read_text().split()[0])


def kill_server(home: Path) -> None:
    """Kill the server with -9 and wait until it is dead."""
    os.kill(pid_of(home), signal.SIGKILL)
    while postgres_processes(home):
        time.sleep(0.01)


def fetch(url: str, query: str) -> str:
    """The answer to a query, by the shell that the embedded server comes with."""
    words = [str(psql_path()), url, "--no-psqlrc", "-Atc", query]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
