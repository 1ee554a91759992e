"""What the service's status page reads: days, bins, one market and its candles; and the session it reads them in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import asyncpg

_STATEMENT_SECONDS = 5

# The page is for looking: whatever a query of it does, it changes nothing and holds nobody up for long.
_SESSION = {
    "timezone": "UTC",
    "jit": "off",
    "search_path": "public",
    "default_transaction_read_only": "on",
    "statement_timeout": f"{_STATEMENT_SECONDS}s",
}

_EVENTS_A_SERIES = 3
_MOST_BINS = 2_000
"""Of all series together: a series of another kind may have hundreds of markets on one date."""

_DAYS = """
select series_ticker, event_date, max(events) as events, max(listed) as listed, count(ticker) as held,
       count(*) filter (where verdict = 'exact') as exact,
       count(*) filter (where verdict <> 'exact') as inexact,
       count(*) filter (where state = 'failed') as failed
from (
    select series_ticker, event_date, events, markets as listed, null as ticker, null as state, null as verdict
    from listings where series_ticker = any($1::text[]) and event_date between $2 and $3
    union all
    select markets.series_ticker, markets.event_date, null, null, ticker, known.state, known.verdict
    from markets left join checkpoints known using (ticker)
    where markets.series_ticker = any($1::text[]) and markets.event_date between $2 and $3
    union all -- a market whose row could not be read is known by its failed checkpoint only
    select known.series_ticker, known.event_date, null, null, null, known.state, null
    from checkpoints known
    where known.series_ticker = any($1::text[]) and known.event_date between $2 and $3 and known.state = 'failed'
      and not exists (select from markets where markets.ticker = known.ticker)
) as each
group by series_ticker, event_date
"""

_MARKET = """
select market.ticker, market.event_ticker, market.series_ticker, market.event_date, market.title, market.strike_type,
       market.floor_strike, market.cap_strike, market.status, market.result, market.settlement_value,
       known.contracts_stored as contracts, last.yes_price as last_price, last.created_time as last_trade_at
"""
# Inside one created_time the order of execution is the sweep order: yes takers upwards, no takers downwards.
_WITH_LAST_TRADE = """
left join checkpoints known using (ticker)
left join lateral (
    select yes_price, created_time from trades where trades.ticker = market.ticker
    order by created_time desc, case when taker_side = 'yes' then yes_price else -yes_price end desc
    limit 1
) as last on true
"""

_BINS = f"""
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
{_MARKET}
from chosen join markets market using (series_ticker, event_date)
{_WITH_LAST_TRADE}
order by market.event_date desc, market.event_ticker collate "C", coalesce(market.floor_strike, market.cap_strike - 1),
         market.ticker collate "C"
limit {_MOST_BINS}
"""  # noqa: S608

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
class HeldDay:
    """One series and event date, in numbers of markets."""

    series_ticker: str
    event_date: date
    events: int | None
    """Events that the exchange listed; None when no list of that date was ever stored."""
    listed: int | None
    """Markets that the exchange listed."""
    held: int
    """Markets whose row is held."""
    exact: int
    """Proved complete, and equal to the exchange's own volume."""
    inexact: int
    """Proved complete, with any other verdict."""
    failed: int


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
    return await asyncpg.connect(url, timeout=seconds, server_settings=named)


async def answers(connection: asyncpg.Connection) -> None:
    """Returns when the database answers."""
    await connection.execute("select 1")


async def days(
    connection: asyncpg.Connection, series_tickers: Sequence[str], first: date, last: date
) -> Mapping[tuple[str, date], HeldDay]:
    """What is held of each series and event date from `first` to `last`, both included; unknown dates are left out."""
    rows = await connection.fetch(_DAYS, list(series_tickers), first, last)
    return {(row["series_ticker"], row["event_date"]): HeldDay(**dict(row)) for row in rows}


async def bins(connection: asyncpg.Connection, series_tickers: Sequence[str], first: date, last: date) -> list[HeldBin]:
    """The markets of three event dates per series between `first` and `last`, both included.

    Dates with a market that has not settled come before others, newer before older. Ordered by event date, newest
    first, then by event and strike.
    """
    return [HeldBin(**dict(row)) for row in await connection.fetch(_BINS, list(series_tickers), first, last)]


async def market(connection: asyncpg.Connection, ticker: str) -> HeldBin | None:
    """One market; None when its row is not held."""
    row = await connection.fetchrow(_ONE_MARKET, ticker)
    return HeldBin(**dict(row)) if row else None


async def candles(connection: asyncpg.Connection, ticker: str, period_minutes: int, most: int) -> list[HeldCandle]:
    """The newest candles of a market, oldest first."""
    rows = await connection.fetch(_CANDLES, ticker, period_minutes, most)
    return [HeldCandle(**dict(row)) for row in reversed(rows)]
