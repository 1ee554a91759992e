"""Limits that a role has of its own: every command does all its work in spite of them."""

from pathlib import Path

from tests.postgres.test_sessions import role
from tests.support import tour

_LIMITS = {
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "transaction_timeout": "1ms",
    "idle_session_timeout": "500ms",  # that long a session must last until it has set its own
}


async def test_limits_of_a_millisecond_cut_no_command(empty_database_url: str, tmp_path: Path) -> None:
    async with (
        tour.exchange() as (_, settings),
        role(empty_database_url, *(f"{name} = '{limit}'" for name, limit in _LIMITS.items())) as url,
    ):
        settings["DATABASE_URL"] = url
        await tour.every_command(settings, tmp_path / "archive")
