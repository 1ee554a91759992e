"""The embedded server on a full disk: it is called what it is, and it passes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from kalshi_ingest.cli.common import embedded_server
from kalshi_ingest.cli.signals import handled
from kalshi_ingest.errors import DatabaseAway, DatabaseFull, Unusable
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.embedded import server as embedded
from kalshi_ingest.postgres.embedded.trouble import failure, last_words, strangers
from tests.support import postgres
from tests.support.embedded_users import FAST

_only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A disk of its own, in memory, for a `with` block."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    with postgres.scratch_dir() as place:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "tmpfs", str(place)], check=False
        )
        if mounted.returncode != 0:
            pytest.skip("mounting is not allowed here")
        try:
            yield place / "data"
        finally:
            for pgdata in place.glob("data/postgresql-18"):
                embedded.stop(pgdata.parent)
            subprocess.run(["umount", "-l", str(place)], check=True)


@_only_root
def test_no_room_to_make_it() -> None:
    with (
        small_disk("20m") as home,
        pytest.raises(DatabaseFull, match=r"No space left on device; free some room, then run again"),
    ):
        embedded.start(home, options=FAST)


@_only_root
async def test_no_room_for_its_log_of_changes() -> None:
    """The server ends itself; why, only its own log tells."""
    with small_disk("150m") as home:
        embedded.start(home, options=FAST)

        async def log_much(connection: asyncpg.Connection) -> None:
            for __ in range(60):
                await connection.execute("select pg_logical_emit_message(false, 'x', repeat('x', 1000000))")

        async def fill() -> None:
            with embedded_server(home) as server:
                database = Database(server.url, patience=1)
                await database.open()
                (home / "ballast").write_bytes(bytes(shutil.disk_usage(home).free - 2_000_000))
                await database.run(log_much)

        said = r"the embedded server said: .*No space left on device \(see .*/postgresql\.log\)"
        with handled(), pytest.raises(DatabaseAway, match=said):
            await fill()


def test_what_is_no_lack_of_room_somebody_has_to_change() -> None:
    assert type(failure("the server did not start: invalid value for parameter")) is Unusable
    shared = 'could not resize shared memory segment "/PostgreSQL.1" to 1 bytes: No space left on device'
    assert "/dev/shm is full or too small" in str(failure(shared))


def test_the_last_words_are_those_since_then(tmp_path: Path) -> None:
    log = tmp_path / "postgresql.log"
    assert last_words(log, 0) == ""
    log.write_text("[1] PANIC:  an old story\n")
    old = log.stat().st_size
    assert last_words(log, old) == ""
    with log.open("a") as more:
        more.write("[2] FATAL:  terminating connection due to administrator command\n")
        more.write("[2] FATAL:  the database system is in recovery mode\n")
    assert last_words(log, old) == ""
    with log.open("a") as more:
        more.write("[3] PANIC:  could not write to file: No space left on device\n[4] FATAL:  something after it\n")
    assert "said: could not write to file: No space left on device (see" in last_words(log, old)
    log.write_text("FATAL:  emptied\n")
    assert "said: emptied (see" in last_words(log, old)


_WHO_ELSE = """
import os, sys
from pathlib import Path
from kalshi_ingest.postgres.embedded.trouble import strangers
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.stdout.write(";".join(strangers(Path(sys.argv[1]))))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders to other accounts")
def test_a_folder_that_another_account_could_exchange_is_named() -> None:
    with postgres.scratch_dir() as place:
        (place / "other" / "shared" / "mine").mkdir(parents=True)
        os.chown(place / "other", 101, 101)
        (place / "other").chmod(0o755)
        (place / "other" / "shared").chmod(0o777)
        data = place / "other" / "shared" / "mine"
        os.chown(data, 65534, 65534)
        words = [sys.executable, "-c", _WHO_ELSE, str(data)]
        above = f"everyone can write to {place}/other/shared;{place}/other belongs to another account"
        for mode, itself in ((0o755, ""), (0o777, f"everyone can write to {data};")):
            data.chmod(mode)
            assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == itself + above
    assert strangers(Path("/anywhere")) == []
