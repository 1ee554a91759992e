"""What is still to be done for markets that are known: where a service that was away has to begin."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import asyncpg

from kalshi_ingest.domain.cities import city_of_series
from kalshi_ingest.domain.model import to_microseconds
from kalshi_ingest.postgres.checkpoints import PROVED
from kalshi_ingest.postgres.ingestion_log import EXPECTED

_DATES = f"""
select held.series_ticker,
       min(held.event_date) filter (where (known.{PROVED}) is not true) as unfinished,
       max(held.event_date) as newest
from (select ticker, series_ticker, event_date from markets where series_ticker = any($1::text[])
      union select ticker, series_ticker, event_date from checkpoints where series_ticker = any($1::text[])) as held
left join checkpoints known using (ticker)
group by held.series_ticker
"""  # noqa: S608

# Lists come newest first and are stored page by page; what they should hold is written once they were read to the end.
_LISTED = f"""
select series_ticker, asked.first as asked, listed.first, listed.last
from (select series_ticker, min(min_event_date) as first from {EXPECTED}
      and series_ticker = any($1::text[]) group by 1) as asked
full join (select series_ticker, min(event_date) as first,
                  max(event_date) filter (where events > 0 or markets > 0) as last
           from listings where series_ticker = any($1::text[]) group by 1) as listed using (series_ticker)
"""  # noqa: S608

# A five-minute candle is written no sooner than the minutes in it, so where it is there, they are.
_UNWRITTEN = f"""
with traded as (
    select distinct ticker, date_bin('5 minutes', created_time, $2::timestamptz) as period_start
    from trades where ticker = any(array(
        select ticker from checkpoints where series_ticker = any($1::text[]) and not {PROVED}))
        and isfinite(created_time)
)
select ticker, period_start from traded
where not exists (
    select 1 from candles where candles.ticker = traded.ticker and period_minutes = 5
        and candles.period_start = traded.period_start)
"""  # noqa: S608

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def first_dates(connection: asyncpg.Connection, series_tickers: Sequence[str]) -> dict[str, date]:
    """Per series the event date from which on something may be missing; series of which nothing is held are left out.

    It is the first date with a market that is not complete, else the newest held; no later than the newest date up to
    which the exchange's lists were read to their ends; and where they were never read so from the first date that a
    run asked for, that one.
    """
    rows = await connection.fetch(_DATES, list(series_tickers))
    found = {row["series_ticker"]: [row["unfinished"] or row["newest"]] for row in rows}
    for row in await connection.fetch(_LISTED, list(series_tickers)):
        ticker, asked = row["series_ticker"], row["asked"]
        dates = found.setdefault(ticker, [])
        if row["last"] is not None:
            dates.append(row["last"])
        city = city_of_series(ticker)
        if asked is not None and city is not None:
            asked = max(asked, city.first_event_date)
        if asked is not None and (row["first"] is None or asked < row["first"]):
            dates.append(asked)
    return {ticker: min(dates) for ticker, dates in found.items() if dates}


async def unwritten_buckets(connection: asyncpg.Connection, series_tickers: Sequence[str]) -> dict[str, set[int]]:
    """Of markets that are not complete: the five-minute buckets that hold trades and have no candle yet, by ticker."""
    found: dict[str, set[int]] = {}
    for row in await connection.fetch(_UNWRITTEN, list(series_tickers), _EPOCH):
        found.setdefault(row["ticker"], set()).add(to_microseconds(row["period_start"]))
    return found
