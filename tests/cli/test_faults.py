"""Whose fault an error is: one line for what can be foreseen, the traceback and exit code 70 for what cannot."""

import errno
import sys
from pathlib import Path

import asyncpg
import pytest

from kalshi_ingest.cli import entry
from kalshi_ingest.errors import DatabaseAway, DatabaseUnusable
from tests.cli.test_cli import one_line, run
from tests.support import postgres

SECRET = "hunter2"

pytestmark = pytest.mark.usefixtures("no_settings")


def _told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    def fails() -> int:
        raise error

    monkeypatch.setattr(entry, "parse", lambda _: fails)
    return entry.main(["status"])


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("a fault"),
        TypeError("a fault"),
        asyncpg.PostgresSyntaxError("a fault"),
        asyncpg.UndefinedFunctionError("a fault"),
        asyncpg.UniqueViolationError("a fault"),
        asyncpg.InterfaceError("a fault"),
        FileNotFoundError(errno.ENOENT, "a fault"),
        ConnectionResetError(errno.ECONNRESET, "a fault"),
        ExceptionGroup("a fault", [ValueError("in a group")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_the_program_shows_its_traceback(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _told(monkeypatch, error) == 70
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert "in fails" in said
    assert "a fault" in said
    assert "please report the lines above" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatabaseAway("it is away"), 3),
        (DatabaseUnusable("a right is missing"), 2),
        (asyncpg.DiskFullError("no room"), 3),
        (asyncpg.InvalidPasswordError("no"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 3),
        (OSError(errno.EMFILE, "Too many open files"), 3),
    ],
)
def test_what_is_foreseen_is_one_line(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _told(monkeypatch, error) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize(
    ("error", "code"), [(AttributeError("a fault"), 70), (DatabaseAway("it is away"), 3), (DatabaseUnusable("no"), 2)]
)
def test_a_full_disk_under_the_complaint_leaves_the_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert _told(monkeypatch, error) == code


def test_a_traceback_shows_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _told(monkeypatch, RuntimeError(f"postgresql://me:{SECRET}@host/kalshi\x1b[31m")) == 70
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "\x1b" not in said


async def test_a_schema_that_the_program_does_not_fit_is_no_outage(database_url: str) -> None:
    await postgres.execute(database_url, "alter table checkpoints alter column trades_stored type text")
    ended = await run("status", DATABASE_URL=database_url)
    assert ended.code == 70
    assert "UndefinedFunctionError" in ended.err
    assert "out of reach" not in ended.err


async def test_a_folder_that_cannot_be_read(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    one_line(
        await run("load", "--input", str(tmp_path / "file" / "x"), DATABASE_URL=database_url), code=2, saying="file"
    )
