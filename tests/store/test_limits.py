"""Limits that a role has of its own: every command does all its work in spite of them."""

from pathlib import Path

from tests import tour
from tests.store.test_sessions import role

_EACH = ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")


async def test_limits_of_a_millisecond_cut_no_command(empty_database_url: str, tmp_path: Path) -> None:
    async with (
        tour.exchange() as (_, settings),
        role(empty_database_url, *(f"{name} = '1ms'" for name in (*_EACH, "lock_timeout"))) as url,
    ):
        settings["DATABASE_URL"] = url
        archive = str(tmp_path / "archive")
        for words in (
            ("migrate",),
            tour.BACKFILL,
            ("weather", "grid"),
            ("status", "--runs"),
            tour.COVERAGE,
            ("export", "--output", archive),
            ("load", "--input", archive),
        ):
            await tour.succeeds(*words, settings=settings)
        await tour.follows(settings)
