"""What an undisturbed backfill leaves, to compare others with."""

from collections.abc import Awaitable, Callable

from kalshi_simulator import RowsWorld, SyntheticWorld

Clean = Callable[[SyntheticWorld | RowsWorld], Awaitable[dict[str, str]]]
"""The `clean` fixture: a world in, the digest of each table out."""
