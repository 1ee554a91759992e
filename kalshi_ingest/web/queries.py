"""What the status page reads, and its session: evidence for the calendars, bins, one market and its candles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

import asyncpg

from kalshi_ingest.coverage.queries.evidence import catalog, expected_dates
from kalshi_ingest.coverage.rules.evidence import Evidence
from kalshi_ingest.postgres.candle_sql import SIDE
from kalshi_ingest.postgres.citus import Forms, form
from kalshi_ingest.postgres.connecting import READING, UNLIMITED, open_session

_STATEMENT_SECONDS = 5

# Read-only, and short: no query of the page changes anything or blocks others for long.
_SESSION = {
    **UNLIMITED,
    **READING,
    "default_transaction_read_only": "on",
    "statement_timeout": f"{_STATEMENT_SECONDS}s",
}

_EVENTS_A_SERIES = 3
_MOST_BINS = 2_000
"""Of all series together: a series of another kind may have hundreds of markets on one date."""

_MOST_JUDGED = 5_000
"""Markets of one series that are judged for its calendar: a city has six a day."""

_NUMBERS = """
select series_ticker, count(*) from markets
where series_ticker = any($1::text[]) and event_date between $2 and $3 group by series_ticker
"""

_MARKET = """
select market.ticker, market.event_ticker, market.series_ticker, market.event_date, market.title, market.strike_type,
       market.floor_strike, market.cap_strike, market.status, market.result, market.settlement_value,
       known.contracts_stored as contracts, last.yes_price as last_price, last.created_time as last_trade_at
"""
_WITH_LAST_TRADE = f"""
left join checkpoints known using (ticker)
left join lateral (
    select yes_price, created_time from trades where trades.ticker = market.ticker
    order by created_time desc, {SIDE} * yes_price desc
    limit 1
) as last on true
"""  # noqa: S608

_SHOWN = f"""
{_MARKET}
from chosen join markets market using (series_ticker, event_date)
{_WITH_LAST_TRADE}
order by market.event_date desc, market.event_ticker collate "C", coalesce(market.floor_strike, market.cap_strike - 1),
         market.ticker collate "C"
limit {_MOST_BINS}
"""

_BINS = Forms(
    one_node=f"""
with chosen as (
    select wanted.series_ticker, dated.event_date
    from unnest($1::text[]) as wanted (series_ticker)
    cross join lateral (
        select event_date from markets
        where markets.series_ticker = wanted.series_ticker and event_date between $2 and $3
        group by event_date
        order by bool_or(status <> 'settled') desc, event_date desc
        limit {_EVENTS_A_SERIES}
    ) as dated
)
{_SHOWN}
""",  # noqa: S608
    spread=f"""
with dated as materialized (
    select series_ticker, event_date, bool_or(status <> 'settled') as open from markets
    where series_ticker = any($1::text[]) and event_date between $2 and $3 group by series_ticker, event_date
), chosen as materialized (
    select series_ticker, event_date from (
        select *, row_number() over (partition by series_ticker order by open desc, event_date desc) as place from dated
    ) as placed where place <= {_EVENTS_A_SERIES}
)
{_SHOWN}
""",  # noqa: S608
)

_ONE_MARKET = f"""
{_MARKET}
from markets market
{_WITH_LAST_TRADE}
where market.ticker = $1
"""

_CANDLES = """
select period_start, period_end, open, high, low, close, volume, num_trades from candles
where ticker = $1 and period_minutes = $2 order by period_start desc limit $3
"""


@dataclass(frozen=True, slots=True)
class HeldBin:
    """One market as the page shows it. Prices are dollars per yes contract."""

    ticker: str
    event_ticker: str
    series_ticker: str
    event_date: date
    title: str
    strike_type: str | None
    floor_strike: Decimal | None
    cap_strike: Decimal | None
    status: str
    result: str | None
    settlement_value: Decimal | None
    contracts: Decimal | None
    """By the trades held; None when the market's trades were never asked for."""
    last_price: Decimal | None
    """Of the newest trade held."""
    last_trade_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldCandle:
    """One stored candle: prices in dollars per yes contract, volume in contracts."""

    period_start: datetime
    period_end: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    num_trades: int


async def connect(url: str, purpose: str, seconds: float) -> asyncpg.Connection:
    """A read-only session named after its purpose, within so many seconds. Fails as asyncpg does."""
    named = _SESSION | {"application_name": f"kalshi_ingest {purpose}"}
    return await open_session(url, named, seconds)


async def answers(connection: asyncpg.Connection) -> None:
    await connection.execute("select 1")


async def evidence(
    connection: asyncpg.Connection, series_tickers: Sequence[str], first: date, last: date
) -> tuple[list[str], Evidence]:
    """What `coverage` judges of the event dates `first` to `last`, both included, but the rows themselves.

    Only of the series, named first, that do not have too many markets for a page. `asked` is that of all series.
    """
    numbers = {row[0]: row[1] for row in await connection.fetch(_NUMBERS, list(series_tickers), first, last)}
    few = [ticker for ticker in series_tickers if numbers.get(ticker, 0) <= _MOST_JUDGED]
    held = await catalog(connection, few, (first, last))
    return few, replace(held, asked=await expected_dates(connection))


async def bins(connection: asyncpg.Connection, series_tickers: Sequence[str], first: date, last: date) -> list[HeldBin]:
    """The markets of three event dates per series between `first` and `last`, both included, newest first.

    Dates with a market that has not settled are chosen first. Within a date: by event and strike.
    """
    return [
        HeldBin(**dict(row))
        for row in await connection.fetch(await form(connection, _BINS), list(series_tickers), first, last)
    ]


async def market(connection: asyncpg.Connection, ticker: str) -> HeldBin | None:
    """One market; None when its row is not held."""
    row = await connection.fetchrow(_ONE_MARKET, ticker)
    return HeldBin(**dict(row)) if row else None


async def candles(connection: asyncpg.Connection, ticker: str, period_minutes: int, most: int) -> list[HeldCandle]:
    """The newest candles of a market, oldest first."""
    rows = await connection.fetch(_CANDLES, ticker, period_minutes, most)
    return [HeldCandle(**dict(row)) for row in reversed(rows)]
