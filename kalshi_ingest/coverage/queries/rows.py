"""Trades and candles of each market, and whether the candles are those that the trades make.

The server rebuilds every candle and counts, per market, how many were made, are held and are equal. Where these differ,
`candle_faults` tells what is wrong with that market.
"""

from collections.abc import Collection

import asyncpg

from kalshi_ingest.coverage.queries.candle_faults import rows_of
from kalshi_ingest.coverage.rules.evidence import Rows
from kalshi_ingest.postgres.candle_sql import counted
from kalshi_ingest.postgres.citus import Forms, form

_TICKERS_PER_QUERY = 50
"""Few enough that what a query makes stays in the processor's cache, enough that its start costs little."""

# One market after the other, by index. Whatever the statistics say: a plan that sorts or joins whole tables is slow.
_SETTINGS = """
set local enable_mergejoin = off; set local enable_material = off; set local enable_memoize = off;
set local max_parallel_workers_per_gather = 0; set local work_mem = '32MB'
"""

# On one node from one key to the next through the index, not row by row.
_UNKNOWN = Forms(
    one_node="""
with recursive traded as (
    (select ticker from trades order by ticker limit 1)
    union all
    select (select ticker from trades where trades.ticker > traded.ticker order by ticker limit 1)
    from traded where traded.ticker is not null
), drawn as (
    (select ticker from candles order by ticker limit 1)
    union all
    select (select ticker from candles where candles.ticker > drawn.ticker order by ticker limit 1)
    from drawn where drawn.ticker is not null
)
select ticker from (select ticker from traded union select ticker from drawn) as found
where ticker is not null
  and not exists (select from markets where markets.ticker = found.ticker)
  and not exists (select from checkpoints where checkpoints.ticker = found.ticker)
""",
    spread="""
select ticker from trades
where not exists (select from markets where markets.ticker = trades.ticker)
  and not exists (select from checkpoints where checkpoints.ticker = trades.ticker) group by ticker
union
select ticker from candles
where not exists (select from markets where markets.ticker = candles.ticker)
  and not exists (select from checkpoints where checkpoints.ticker = candles.ticker) group by ticker
""",
)


# "offset 0": each expression is worked out once, not wherever it is used.
_ROWS = Forms(
    one_node=f"""
select wanted.ticker, made.*
from unnest($1::text[]) as wanted(ticker)
cross join lateral ({counted("", "= wanted.ticker", "1", "offset 0")}) as made
""",  # noqa: S608
    spread=f"{counted('ticker, ', '= any($1::text[])', '1, 2', '')} group by ticker",
)

_OTHER_LENGTHS = Forms(
    one_node="""
select distinct wanted.ticker
from unnest($1::text[]) as wanted(ticker)
cross join lateral (
    (select 1 from candles where candles.ticker = wanted.ticker and period_minutes < 1 limit 1)
    union all
    (select 1 from candles where candles.ticker = wanted.ticker and period_minutes > 1 and period_minutes < 5 limit 1)
    union all
    (select 1 from candles where candles.ticker = wanted.ticker and period_minutes > 5 limit 1)
) as found
""",
    spread="""
select ticker from candles where ticker = any($1::text[]) and period_minutes < 1
union select ticker from candles where ticker = any($1::text[]) and period_minutes > 1 and period_minutes < 5
union select ticker from candles where ticker = any($1::text[]) and period_minutes > 5
""",
)


async def unknown_tickers(connection: asyncpg.Connection) -> list[str]:
    """Tickers of trades and candles that have neither a row in markets nor a checkpoint."""
    return [row[0] for row in await connection.fetch(await form(connection, _UNKNOWN))]


class RowsCheck:
    """The rows of some markets, read and checked by any number of sessions together."""

    def __init__(self, tickers: Collection[str]) -> None:
        self.rows: dict[str, Rows] = {}
        """Filled by `work`; markets without trades and candles are left out."""
        left = sorted(tickers)
        self._left = [left[at : at + _TICKERS_PER_QUERY] for at in range(0, len(left), _TICKERS_PER_QUERY)]

    async def work(self, connection: asyncpg.Connection) -> None:
        """Do markets until none are left, in the caller's transaction."""
        await connection.execute(_SETTINGS)
        while self._left:
            tickers = self._left.pop()
            try:
                async with connection.transaction():  # a savepoint: a number may be too wild to be compared
                    doubtful = await self.doubtful(connection, tickers)
            except (asyncpg.DataError, asyncpg.FeatureNotSupportedError):  # the second for a bigint made of NaN
                doubtful = tickers
            for ticker in doubtful:
                held = await rows_of(connection, ticker)
                if held is not None:
                    self.rows[ticker] = held

    async def doubtful(self, connection: asyncpg.Connection, tickers: list[str]) -> list[str]:
        """Take the rows of markets whose candles are right; returns those whose candles have to be looked at."""
        others, counts = await form(connection, _OTHER_LENGTHS), await form(connection, _ROWS)
        doubtful = {row[0] for row in await connection.fetch(others, tickers)}
        for ticker, trades, contracts, first, last, held_1m, held_5m, *sums in await connection.fetch(counts, tickers):
            contracts_1m, contracts_5m, made, equal = sums
            if not made == equal == held_1m + held_5m:
                doubtful.add(ticker)
            elif trades:
                counted = (trades, contracts, first, last, held_1m, held_5m, contracts_1m, contracts_5m)
                self.rows[ticker] = Rows(*counted, 0, 0, 0, None)
        return sorted(doubtful)
