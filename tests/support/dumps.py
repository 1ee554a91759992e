"""What the tables hold, byte for byte, without what may differ between two runs that did the same work."""

import hashlib

import asyncpg

TABLES = {
    "trades": ("*", "ticker, created_time, trade_id"),
    "candles": ("*", "ticker, period_minutes, period_start"),
    "markets": (
        "ticker, event_ticker, series_ticker, city, event_date, title, strike_type, floor_strike, cap_strike, "
        "strike_source, open_time, close_time, settled_at, status, api_status, result, settlement_value, "
        "expiration_value, settlement_authority, volume, last_price, rules_primary, raw",
        "ticker",
    ),
    "events": ("event_ticker, series_ticker, city, event_date, title, raw", "event_ticker"),
    "series": ("series_ticker, city, title, category, frequency, settlement_sources, raw", "series_ticker"),
    "listings": ("series_ticker, event_date, events, markets", "series_ticker, event_date"),
    "checkpoints": (
        "ticker, series_ticker, event_date, state, tier, cursor, walk, confirming, settled_first, oldest_time, "
        "oldest_trade_id, pages, trades_stored, contracts_stored, exchange_volume, verdict, error",
        "ticker",
    ),
}
"""Per table: the columns that two runs must agree on, and a total order of its rows.

Open interest is left out: only a run that met the market in the live tier knows it.
"""

PROOF = (
    "ticker, series_ticker, event_date, state, tier, cursor, confirming, settled_first, oldest_time, "
    "oldest_trade_id, trades_stored, contracts_stored, exchange_volume, verdict, error"
)
"""Checkpoints without how many pages and walks it took: these differ once a market had to be walked again."""


async def digests(url: str, *, checkpoints: str = TABLES["checkpoints"][0]) -> dict[str, str]:
    """Each table's SHA-256, over PostgreSQL's own text of its rows in order; `checkpoints`: the columns that count."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        return {
            table: await _digest(connection, checkpoints if table == "checkpoints" else columns, table, order)
            for table, (columns, order) in TABLES.items()
        }
    finally:
        await connection.close()


async def _digest(connection: asyncpg.Connection, columns: str, table: str, order: str) -> str:
    summed = hashlib.sha256()

    async def take(chunk: bytes) -> None:
        summed.update(chunk)

    answer = await connection.copy_from_query(f"select {columns} from {table} order by {order}", output=take)
    return f"{answer} {summed.hexdigest()}"
