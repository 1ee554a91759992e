"""One PostgreSQL data directory: created, started, found running and stopped.

Nothing here is safe against a second process doing the same: `server` holds the lock around it.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kalshi_ingest.errors import OutOfReach, Unusable
from kalshi_ingest.postgres.embedded.accounts import Account
from kalshi_ingest.postgres.embedded.files import PORT, make_private_dir, open_private, socket_dir
from kalshi_ingest.postgres.embedded.trouble import failure

DATABASE = "kalshi"
SUPERUSER = "postgres"

_PATIENCE = 600.0
"""Seconds to wait for a start or a stop; recovery after a crash replays up to max_wal_size of log."""

_LOG_LIMIT = 10_000_000

_DEFAULTS = """
# kalshi-ingest: sized for a laptop; change freely, here or with ALTER SYSTEM.
shared_buffers = 256MB
work_mem = 16MB
maintenance_work_mem = 128MB
max_connections = 50
max_wal_size = 2GB
min_wal_size = 256MB
checkpoint_timeout = 15min
wal_compression = on
random_page_cost = 1.1
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_line_prefix = '%m [%p] '
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where one server keeps its things, and the account that runs it."""

    data_dir: Path
    version: int
    account: Account

    @property
    def pgdata(self) -> Path:
        """The directory PostgreSQL itself calls its data directory."""
        return self.data_dir / f"postgresql-{self.version}"

    @property
    def log(self) -> Path:
        return self.data_dir / "postgresql.log"

    def beside(self, suffix: str) -> Path:
        """A file of ours that belongs to this cluster."""
        return self.data_dir / f"{self.pgdata.name}.{suffix}"


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A running server as its postmaster.pid describes it."""

    pid: int
    started: str
    socket_dir: Path
    status: str

    @property
    def identity(self) -> str:
        """Distinguishes this run of the server from every other one."""
        return f"{self.pid} {self.started}"


def postmaster(cluster: Cluster) -> Postmaster | None:
    """The server that runs on this data directory now, ready or not.

    A postmaster.pid proves little: it survives kill -9 and a reboot, and its number may be another program's. So the
    process has to work in this data directory, or the socket has to answer (from another container).
    """
    found = _pid_file(cluster.pgdata)
    return found if found and (_works_in(cluster, found.pid) or _answers(found.socket_dir)) else None


def settled(cluster: Cluster) -> Postmaster | None:
    """The running server once it accepts connections, waiting for a start or a stop under way."""
    deadline = time.monotonic() + _PATIENCE
    while found := postmaster(cluster):
        if found.status == "ready":
            return found
        if time.monotonic() > deadline:
            raise OutOfReach(
                f"the embedded PostgreSQL (process {found.pid}) is still {found.status or 'starting'} after "
                f"{_PATIENCE:.0f} s: try again later, or see {cluster.log}"
            )
        time.sleep(0.02)
    return None


def check_version(cluster: Cluster) -> bool:
    """Whether the data directory has been made; refuses one of another PostgreSQL version."""
    advice = (
        "dump it with the release of kalshi-ingest that made it and load the dump into a new data directory, "
        "or set KALSHI_INGEST_DATA_DIR to another place"
    )
    if cluster.pgdata.exists() and any(cluster.pgdata.iterdir()):
        try:
            found = (cluster.pgdata / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise Unusable(f"{cluster.pgdata} holds something other than PostgreSQL's data: move it away") from None
        if found != str(cluster.version):
            raise Unusable(f"{cluster.pgdata} was made by PostgreSQL {found}, not {cluster.version}: {advice}")
        return True
    for other in sorted(cluster.data_dir.glob("postgresql-*")):
        if re.fullmatch(r"postgresql-\d+", other.name) and (other / "PG_VERSION").exists():
            raise Unusable(f"{other} was made by another PostgreSQL version than {cluster.version}: {advice}")
    return False


def initialise(cluster: Cluster, bin_dir: Path, *, durable: bool) -> None:
    """Make the data directory and the application's database: beside its place, and renamed when complete."""
    account = cluster.account
    for leftover in cluster.data_dir.glob(f"{cluster.pgdata.name}.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    aside = cluster.beside(f"new-{secrets.token_hex(4)}")
    make_private_dir(aside, account)
    place = ["-D", str(aside)]
    words = [str(bin_dir / "initdb"), *place, f"--username={SUPERUSER}", "--auth=trust", "--encoding=UTF8"]
    words += ["--locale=C", "--data-checksums", "--no-instructions"] + ([] if durable else ["--no-sync"])
    _demand(account.run(words), cluster, "initdb")
    _demand(account.run(["tee", "-a", aside / "postgresql.conf"], text=_DEFAULTS), cluster, "tee")
    words = [str(bin_dir / "postgres"), "--single", *place, "-c", "exit_on_error=true"]
    words += ["-c", f"fsync={'on' if durable else 'off'}", "postgres"]
    _demand(account.run(words, text=f"CREATE DATABASE {DATABASE}\n"), cluster, "postgres --single")
    aside.rename(cluster.pgdata)
    descriptor = os.open(cluster.data_dir, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def launch(cluster: Cluster, bin_dir: Path, options: Mapping[str, str]) -> Postmaster:
    """Start the server and wait until it accepts connections, crash recovery included."""
    sockets = socket_dir(cluster.account, cluster.data_dir)
    _remove_stale_locks(cluster, sockets)
    settings = {
        **options,
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "port": str(PORT),
    }
    words = [str(bin_dir / "pg_ctl"), "start", "-w", "-t", f"{_PATIENCE:.0f}"]
    words += ["-D", str(cluster.pgdata), "-l", str(cluster.log)]
    words += ["-o", " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())]
    deadline = time.monotonic() + 60
    while True:
        log_start = _prepare_log(cluster)
        result = cluster.account.run(words)
        if result.returncode == 0 and (found := settled(cluster)):
            return found
        said = _log_since(cluster, log_start)
        # Backends of a server that was killed notice it within milliseconds, or when their query ends.
        if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if "did not start in time" in result.stderr:
        raise OutOfReach(
            f"the embedded PostgreSQL is not ready after {_PATIENCE:.0f} s: try again later, or see {cluster.log}"
        )
    why = re.findall(r"(?:FATAL|PANIC|ERROR): +(.*)", said) or (said or result.stderr).strip().splitlines()
    raise failure(f"the embedded PostgreSQL did not start: {why[-1] if why else 'no reason given'} (see {cluster.log})")


def halt(cluster: Cluster, patience: float | None = None) -> bool:
    """Stop the server in PostgreSQL's fast mode: connections end, data is written. False: none ran.

    By signal and not by pg_ctl: the programs may have been upgraded or removed.
    """
    found = postmaster(cluster)
    if found is None:
        return False
    if not _works_in(cluster, found.pid):
        raise Unusable(f"the server on {cluster.pgdata} runs in another container: stop it there with kalshi-ingest")
    os.kill(found.pid, signal.SIGINT)
    patience = _PATIENCE if patience is None else patience
    deadline = time.monotonic() + patience
    while _works_in(cluster, found.pid):
        if time.monotonic() > deadline:
            raise OutOfReach(
                f"the embedded PostgreSQL (process {found.pid}) has not stopped within {patience:g} s: "
                f"see {cluster.log}"
            )
        time.sleep(0.01)
    return True


def _pid_file(pgdata: Path) -> Postmaster | None:
    try:
        lines = (pgdata / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    lines += [""] * (8 - len(lines))  # written line by line while the server starts
    if not lines[0].strip().isdigit():
        return None
    return Postmaster(int(lines[0]), lines[2].strip(), Path(lines[4].strip()), lines[7].strip())


def _works_in(cluster: Cluster, pid: int) -> bool:
    """Whether process `pid` is alive and is the server of this data directory."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cwd").samefile(cluster.pgdata)
        except OSError:
            return False  # gone, a zombie, or of an account that is not the server's
    return str(cluster.pgdata) in cluster.account.run(["ps", "-o", "command=", "-p", str(pid)]).stdout


def _answers(directory: Path) -> bool:
    """Whether a server accepts connections on the socket in `directory`."""
    if not directory.is_absolute():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(directory / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
    return True


def _remove_stale_locks(cluster: Cluster, sockets: Path) -> None:
    """Remove lock files of a dead server that PostgreSQL would believe because their number is in use again.

    A number that is not in use is left to PostgreSQL, which also checks the shared memory that the file names.
    """
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (sockets / name).unlink(missing_ok=True)
    if found := _pid_file(cluster.pgdata):
        try:
            os.kill(found.pid, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass
        (cluster.pgdata / "postmaster.pid").unlink(missing_ok=True)


def _prepare_log(cluster: Cluster) -> int:
    """Make the log file or empty it when it has grown large; its size then."""
    descriptor = open_private(cluster.log, cluster.account)
    try:
        if os.fstat(descriptor).st_size > _LOG_LIMIT:
            os.ftruncate(descriptor, 0)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _log_since(cluster: Cluster, start: int) -> str:
    with cluster.log.open("rb") as log:
        log.seek(start)
        return log.read(100_000).decode(errors="replace")


def _demand(result: subprocess.CompletedProcess[str], cluster: Cluster, program: str) -> None:
    if result.returncode != 0:
        said = result.stderr.strip().splitlines() or ["no reason given"]
        why = next((line for line in said if re.search(r"error|FATAL|ERROR", line)), said[-1])
        raise failure(f"cannot create a PostgreSQL data directory in {cluster.data_dir}: {program}: {why}")
