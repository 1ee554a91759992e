"""What tests of the embedded server share: processes that use it, and a look into it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from kalshi_ingest.postgres.embedded.accounts import Account
from kalshi_ingest.postgres.embedded.files import packaged_bin_dir
from kalshi_ingest.postgres.embedded.server import psql_path
from tests.support.patience import COMES
from tests.support.postgres import postgres_processes

REPOSITORY = Path(__file__).resolve().parents[2]
FAST = {"fsync": "off", "shared_buffers": "16MB"}

_USER = """
import os, sys
from pathlib import Path
from kalshi_ingest.postgres.embedded import server as embedded
if len(sys.argv) > 2:
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[2]))
hold = embedded.acquire(Path(sys.argv[1]), options={"fsync": "off", "shared_buffers": "16MB"})
print(hold.server.url, flush=True)
sys.stdin.readline()
embedded.release(hold)
"""


class Users:
    """Processes that use one server; at the end those that a failed test left are killed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._started: list[subprocess.Popen[str]] = []

    def start(self, account: Account | None = None) -> subprocess.Popen[str]:
        """A process that uses the server until it reads a line; under root as `account`."""
        ids = () if account is None else (account.uid, account.gid)
        paths = [REPOSITORY] if account is None else [self._readable_site(), REPOSITORY]
        process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(self._home), *map(str, ids)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill those that still run, and reap them."""
        for process in self._started:
            process.kill()
            with process:
                pass

    def _readable_site(self) -> Path:
        """The wheel's programs where every account may read them, also when the virtual environment is private."""
        site = self._home.parent / "readable-site"
        if not site.exists():
            copy_programs(site)
        return site


def copy_programs(site: Path) -> None:
    """Copy the wheel's PostgreSQL 18 to `site`, a folder for `sys.path`, for every account to read."""
    install = packaged_bin_dir(18).parent
    package = install.parent
    for folder in (install, package / ".dylibs", package.with_name(f"{package.name}.libs")):
        if folder.exists():
            to = site / folder.relative_to(package.parent)
            shutil.copytree(folder, to, symlinks=True, ignore=shutil.ignore_patterns("include"))
    (site / package.name / "__init__.py").touch()
    for path in (site, *site.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)


def url_from(process: subprocess.Popen[str]) -> str:
    """The URL that a user process says, once its server runs."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    """Let a user process release the server and end."""
    process.communicate("\n", timeout=COMES)
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
