"""The embedded server under root, which has to hand it to an account with fewer rights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kalshi_ingest.errors import DatabaseFull, Unusable
from kalshi_ingest.postgres.embedded import server as embedded
from kalshi_ingest.postgres.embedded.accounts import account_for
from tests.postgres.embedded.test_full import small_disk
from tests.support import postgres
from tests.support.embedded import running as running_server
from tests.support.embedded_users import FAST, Users, copy_programs, fetch, leave, url_from

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")


def test_a_data_directory_out_of_the_servers_reach(home: Path) -> None:
    home.parent.chmod(0o700)
    with pytest.raises(Unusable, match=f"cannot enter {home.parent}; set KALSHI_INGEST_DATA_DIR"):
        embedded.start(home / "deeper")
    assert not home.exists()
    assert home.parent.stat().st_mode & 0o777 == 0o700


def test_programs_out_of_the_servers_reach(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = home.parent / "site"
    copy_programs(site)
    site.chmod(0o700)
    monkeypatch.syspath_prepend(str(site))
    for _ in range(2):
        with running_server(home, options=FAST) as server:
            assert fetch(server.url, "SELECT 1") == "1"
            assert f"{home}/binaries-18/" in postgres.postgres_processes(home)[0]
    assert site.stat().st_mode & 0o777 == 0o700


def test_no_room_for_the_programs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = home.parent / "site"
    copy_programs(site)
    site.chmod(0o700)
    monkeypatch.syspath_prepend(str(site))
    with (
        small_disk("20m") as full,
        pytest.raises(DatabaseFull, match=r"data: \[Errno 28\] No space left on device; free some room"),
    ):
        embedded.start(full, options=FAST)


def test_a_narrow_umask_does_not_lock_the_server_out(home: Path) -> None:
    before = os.umask(0o077)
    try:
        with running_server(home / "deeper", options=FAST):
            pass
    finally:
        os.umask(before)


def test_a_plain_user_runs_it_alone_and_root_joins(home: Path, users: Users) -> None:
    account = account_for(home / "postgresql-18")
    home.mkdir()
    os.chown(home, account.uid, account.gid)
    plain = users.start(account)
    url = url_from(plain)
    with running_server(home) as server:
        assert server.url == url
        leave(plain)
        assert fetch(url, "SELECT 1") == "1"
    assert postgres.postgres_processes(home) == []
    again = users.start(account)
    assert url_from(again) == url
    leave(again)
    assert (home / "postgresql-18").stat().st_uid == account.uid
