"""What is held of one city, read for the summary of its archive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import asyncpg

from kalshi_ingest.domain.checkpoint import State
from kalshi_ingest.postgres.citus import Forms, form

NEVER_FETCHED = "never fetched"
"""In place of a state: the market has no checkpoint."""

_MOST_TRADED = 10

_DATES = """
select (select count(*) from events where series_ticker = any($1::text[])) as events,
       (select count(*) from markets where series_ticker = any($1::text[])) as markets,
       min(event_date) as first_date, max(event_date) as last_date
from (
    select event_date from events where series_ticker = any($1::text[])
    union all select event_date from markets where series_ticker = any($1::text[])
) as held
"""

# One look-up of each market, so that it takes its time from this city's rows and not from all that are stored.
_TRADES = Forms(
    one_node="""
select wanted.ticker, traded.trades, traded.contracts, traded.first, traded.last, known.verdict
from unnest($1::text[]) as wanted(ticker)
cross join lateral (
    select count(*) as trades, sum(count) as contracts, min(created_time) as first, max(created_time) as last
    from trades where trades.ticker = wanted.ticker
) as traded
left join checkpoints known on known.ticker = wanted.ticker
where traded.trades > 0
order by traded.trades desc, wanted.ticker collate "C"
""",
    spread="""
select traded.ticker, traded.trades, traded.contracts, traded.first, traded.last, known.verdict
from (
    select ticker, count(*) as trades, sum(count) as contracts, min(created_time) as first, max(created_time) as last
    from trades where ticker = any($1::text[]) group by ticker
) as traded
left join checkpoints known using (ticker)
order by traded.trades desc, traded.ticker collate "C"
""",
)

_CANDLES = Forms(
    one_node="""
select made.period_minutes, sum(made.candles)::bigint as candles, min(made.first) as first, max(made.last) as last
from unnest($1::text[]) as wanted(ticker)
cross join lateral (
    select period_minutes, count(*) as candles, min(period_start) as first, max(period_start) as last
    from candles where candles.ticker = wanted.ticker group by period_minutes
) as made
group by made.period_minutes order by made.period_minutes
""",
    spread="""
select period_minutes, count(*) as candles, min(period_start) as first, max(period_start) as last
from candles where ticker = any($1::text[]) group by period_minutes order by period_minutes
""",
)

_STATES = f"""
select wanted.ticker, coalesce(known.state, '{NEVER_FETCHED}') as state, known.verdict, known.error
from unnest($1::text[]) as wanted(ticker)
left join checkpoints known on known.ticker = wanted.ticker
order by wanted.ticker collate "C"
"""  # noqa: S608

# Every day from the first to the last counts for a city, which has an event a day; for others only the listed ones.
_GAPS = """
with held_events as (
    select event_date, count(*)::int as held from events where series_ticker = any($1::text[]) group by event_date
), held_markets as (
    select event_date, count(*)::int as held from markets where series_ticker = any($1::text[]) group by event_date
), listed as (
    select event_date, sum(events)::int as events, sum(markets)::int as markets
    from listings where series_ticker = any($1::text[]) group by event_date
), ends as (
    select min(event_date) as first, max(event_date) as last
    from (select event_date from held_events union all select event_date from held_markets
          union all select event_date from listed where events > 0) as dates
), days as (
    select event_date from listed
    union select day::date from ends, generate_series(first::timestamp, last::timestamp, interval '1 day') as day
    where $2::boolean
)
select day.event_date as day, listed.events as listed_events, coalesce(held_events.held, 0) as held_events,
       listed.markets as listed_markets, coalesce(held_markets.held, 0) as held_markets
from days as day
left join listed using (event_date)
left join held_events using (event_date)
left join held_markets using (event_date)
where coalesce(held_events.held, 0) < coalesce(listed.events, 1)
   or coalesce(held_markets.held, 0) < coalesce(listed.markets, 0)
order by day.event_date
"""


@dataclass(frozen=True, slots=True)
class CandleSpan:
    candles: int
    first: datetime
    """Start of the first period, UTC."""
    last: datetime
    """Start of the last period, UTC."""


@dataclass(frozen=True, slots=True)
class Gap:
    """An event date of which something is not held."""

    day: date
    listed_events: int | None
    """By the exchange's own list; None when no list of that date was ever stored."""
    held_events: int
    listed_markets: int | None
    held_markets: int


@dataclass(frozen=True, slots=True)
class Unproved:
    """A market that is held but not proved complete."""

    ticker: str
    state: str
    """walking, open, failed, or never fetched."""
    error: str | None


@dataclass(frozen=True, slots=True)
class Traded:
    """How much a market traded, by the trades held."""

    ticker: str
    trades: int
    contracts: Decimal
    verdict: str | None


@dataclass(frozen=True, slots=True)
class CityFacts:
    """One city, or one other series under its own ticker."""

    series: Mapping[str, str]
    """Series ticker → the exchange's title of it."""
    events: int
    markets: int
    first_event_date: date | None
    last_event_date: date | None
    trades: int
    contracts: Decimal
    first_trade: datetime | None
    last_trade: datetime | None
    candles: Mapping[int, CandleSpan]
    """Minutes → candles of that length; lengths without any are left out."""
    states: Mapping[str, int]
    """Verdict of the proved markets, state of the others (`never fetched` without a checkpoint) → markets."""
    unproved: Sequence[Unproved]
    gaps: Sequence[Gap]
    most_traded: Sequence[Traded]
    """The ten with most trades, most first."""


async def city_facts(
    connection: asyncpg.Connection, series: Mapping[str, str], tickers: Sequence[str], *, daily: bool
) -> CityFacts:
    """The facts of one city; `series`: its ticker → title; `tickers`: all its markets; `daily`: an event every day."""
    series_tickers = list(series)
    held = await connection.fetchrow(_DATES, series_tickers)
    if held is None:
        raise AssertionError("an aggregate without groups gives one row")
    traded = await connection.fetch(await form(connection, _TRADES), tickers)
    states = await connection.fetch(_STATES, tickers)
    counted: dict[str, int] = {}
    for row in states:
        name = row["verdict"] or row["state"]
        counted[name] = counted.get(name, 0) + 1
    return CityFacts(
        series=series,
        events=held["events"],
        markets=held["markets"],
        first_event_date=held["first_date"],
        last_event_date=held["last_date"],
        trades=sum(row["trades"] for row in traded),
        contracts=sum((row["contracts"] for row in traded), Decimal(0)),
        first_trade=min((row["first"] for row in traded), default=None),
        last_trade=max((row["last"] for row in traded), default=None),
        candles={
            row["period_minutes"]: CandleSpan(row["candles"], row["first"], row["last"])
            for row in await connection.fetch(await form(connection, _CANDLES), tickers)
        },
        states=counted,
        unproved=[
            Unproved(row["ticker"], row["state"], row["error"]) for row in states if row["state"] != State.COMPLETE
        ],
        gaps=[Gap(**dict(row)) for row in await connection.fetch(_GAPS, series_tickers, daily)],
        most_traded=[
            Traded(row["ticker"], row["trades"], row["contracts"], row["verdict"]) for row in traded[:_MOST_TRADED]
        ],
    )
