"""psql gets its secrets where no other user can read them."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.psql import psql, without_secrets
from tests.support import processes

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown", "secrets"),
    [
        ("postgresql://u:hunter2@h:5432/d", "postgresql://u@h:5432/d", {"password": SECRET}),
        ("postgresql://u@h/d?password=hunter2", "postgresql://u@h/d", {"password": SECRET}),
        ("postgresql://h/d?user=u&password=hunter2&sslmode=require", "postgresql://h/d?user=u&sslmode=require", None),
        ("postgresql://u@h/d?pass%77ord=hunter%32", "postgresql://u@h/d", {"password": SECRET}),
        ("postgresql://u@h/d?password=a+b", "postgresql://u@h/d", {"password": "a+b"}),
        ("postgresql://u:hunter2@h/d?password=other", "postgresql://u@h/d", {"password": SECRET}),
        ("postgresql://u:hunter2@h1:1,h2:2/d", "postgresql://u@h1:1,h2:2/d", {"password": SECRET}),
        ("postgresql://u:hunter2@[::1]:5/d", "postgresql://u@[::1]:5/d", {"password": SECRET}),
        ("postgresql://u:a%40hunter2@/d?host=/tmp", "postgresql://u@/d?host=/tmp", {"password": "a@hunter2"}),
        ("postgresql://u:a@hunter2@h/d", "postgresql://u@h/d", {"password": "a@hunter2"}),
        ("postgresql://u@h/d?sslpassword=hunter2&sslkey=k", "postgresql://u@h/d?sslkey=k", {"sslpassword": SECRET}),
        ("postgresql://u@h/d?oauth_client_secret=hunter2", "postgresql://u@h/d", {"oauth_client_secret": SECRET}),
        ("postgresql://u@h/d?passfile=/p", "postgresql://u@h/d?passfile=/p", {}),
        ("postgresql:///d?host=/tmp&port=5", "postgresql:///d?host=/tmp&port=5", {}),
    ],
)
def test_the_address_is_shown_without_its_secrets(url: str, shown: str, secrets: dict[str, str] | None) -> None:
    assert without_secrets(url) == (shown, {"password": SECRET} if secrets is None else secrets)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:pa/hunter2@h/d",
        "postgresql://u:pa?hunter2@h/d",
        "postgresql://u:12?hunter2@h/d",
        "postgresql://u:pa#hunter2@h/d",
        "postgresql://u:pa[hunter2@h/d",
        "postgresql://u:hunter2/d",
    ],
)
def test_a_password_that_may_be_taken_for_something_else_is_refused(url: str) -> None:
    with pytest.raises(Unusable, match="cannot be read") as refused:
        without_secrets(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["PASSWORD", "Password", "token"])
def test_a_secret_that_psql_does_not_know_is_refused(name: str) -> None:
    with pytest.raises(Unusable, match=r"does not know one of the secrets .*: it knows password") as refused:
        without_secrets(f"postgresql://u@h/d?{name}={SECRET}")
    assert SECRET not in str(refused.value)


def test_a_database_on_a_network_gets_the_psql_that_speaks_tls(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The machine's own, where it has one."""
    hosted = "postgresql://u@db.example/d?sslmode=require"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unusable, match="install PostgreSQL's own client"):
        psql(hosted, [])
    own = tmp_path / "psql"
    own.write_text("#!/bin/sh\necho own $*\n")
    own.chmod(0o755)
    assert psql(hosted, ["-c", "x"]) == 0
    assert psql(database_url, ["-Atc", "select 'ours'"]) == 0
    assert capfd.readouterr().out == f"own {hosted} -c x\nours\n"


async def test_no_process_shows_it(database_url: str) -> None:
    """Every command line of the machine, while psql runs with a password and a key's password in its query."""
    parts = urlsplit(database_url)
    url = parts._replace(query=f"{parts.query}&password={SECRET}&sslpassword={SECRET}").geturl()
    words = ("-At", "-c", "select current_setting('application_name')", "-c", "select pg_sleep(60)")
    process = await processes.program("database", "psql", *words, settings={"DATABASE_URL": url}, stdout=-1, stderr=-1)
    connection = await asyncpg.connect(database_url)
    sleeping = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and datname = $1"
    try:
        while not await connection.fetchval(sleeping, parts.path[1:]):
            assert process.returncode is None
            await asyncio.sleep(0.05)
        lines = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
        shown = [line for line in lines if "psql" in line and parts.path[1:] in line]
        assert shown
        assert not any(SECRET in line for line in shown)
        await connection.fetchval(sleeping.replace("count(*)", "pg_cancel_backend(pid)"), parts.path[1:])
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        await connection.close()
    assert out == b"psql\n"
    assert SECRET.encode() not in err
