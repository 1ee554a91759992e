"""Markets in which an archive contradicts the database: the exchange decides.

Works on the archive's markets in the temporary table `loaded_markets`, in the caller's transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

import asyncpg

from kalshi_ingest.domain.checkpoint import Checkpoint, Verdict
from kalshi_ingest.postgres import checkpoints

_MARKETS = "select ticker, series_ticker, event_date from loaded_markets where ticker = any($1::text[])"


@dataclass(frozen=True, slots=True)
class Contradicted:
    ticker: str
    event_date: date
    trade_id: UUID
    """A trade that is in the database already, or twice in the archive, with other values."""
    proved: bool
    """The database holds a proved market; otherwise the next backfill walks it from the start."""


async def doubt(
    connection: asyncpg.Connection, trades: Mapping[str, UUID], run_id: UUID, now: datetime
) -> list[Contradicted]:
    """Let the next backfill walk these markets, unless what the database holds of them is proved.

    Their rows stay until the exchange contradicts them. `trades`: each market with the trade in question.
    """
    known = await checkpoints.of_tickers(connection, list(trades))
    for row in await connection.fetch(_MARKETS, list(trades)):
        known.setdefault(row["ticker"], Checkpoint(row["ticker"], row["series_ticker"], row["event_date"]))
    found, doubted = [], []
    for ticker, checkpoint in sorted(known.items()):
        counts = await checkpoints.stored_trades(connection, ticker)
        proved = (
            checkpoint.verdict is Verdict.EXACT and (checkpoint.trades_stored, checkpoint.contracts_stored) == counts
        )
        found.append(Contradicted(ticker, checkpoint.event_date, trades[ticker], proved))
        if not proved:
            held = replace(checkpoint, newest_us=None, trades_stored=counts[0], contracts_stored=counts[1])
            doubted.append(held.failed(_reason(trades[ticker])))
    await checkpoints.store(connection, doubted, run_id, now)
    return found


def _reason(trade_id: UUID) -> str:
    return f"an archive has trade {trade_id} with other values than the database, or twice: the exchange has to decide"
