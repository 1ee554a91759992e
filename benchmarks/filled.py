"""A database filled by SQL alone as complete backfills leave it: settled markets that add up, nothing missing.

Six cities a day from 2025-01-05 on, when the last of them had begun: one event each of six bins that touch one
another, one of them won. Sizes are spread as on the exchange, where a few markets hold most trades. Trades come in
sweeps, most within minutes that hold one price, in the prices and counts of 2026 (cents, fractions of contracts).
"""

import asyncio
import sys
from datetime import date

import asyncpg

from kalshi_ingest.postgres.migrate import migrate, migrations_dir

FIRST_DAY = date(2025, 1, 5)
MARKETS_A_DAY = 36

_SERIES = """
insert into series (series_ticker, city, title, category, frequency, raw, fetched_at)
select series_ticker, city, 'Highest temperature in ' || city, 'Climate and Weather', 'daily', '{}',
       '2025-01-01 00:00Z'
from (values ('KXHIGHCHI', 'chicago'), ('KXHIGHMIA', 'miami'), ('KXHIGHAUS', 'austin'), ('KXHIGHLAX', 'la'),
             ('KXHIGHDEN', 'denver'), ('KXHIGHPHIL', 'philadelphia')) as named (series_ticker, city)
"""

_EVENTS = """
insert into events (event_ticker, series_ticker, city, event_date, title, raw, fetched_at)
select series_ticker || '-' || upper(to_char(day, 'YYMONDD')), series_ticker, city, day, '', '{}', day + 2
from series cross join (select $1::date + n as day from generate_series(0, $2::int - 1) as n) as days
"""

# Bins of two degrees from `low` on: less than low, three or four pairs, greater than the last.
_MARKETS = """
insert into markets (ticker, event_ticker, series_ticker, city, event_date, title, strike_type, floor_strike,
    cap_strike, strike_source, open_time, close_time, settled_at, status, api_status, result, settlement_value,
    expiration_value, settlement_authority, volume, last_price, rules_primary, raw, fetched_at)
select event_ticker || case bin when 0 then '-T' || low when 5 then '-T' || low + 7
           else '-B' || low + 2 * bin - 2 || '.5' end,
       event_ticker, series_ticker, city, event_date, '',
       case bin when 0 then 'less' when 5 then 'greater' else 'between' end,
       case bin when 0 then null when 5 then low + 7 else low + 2 * bin - 2 end,
       case bin when 0 then low when 5 then null else low + 2 * bin - 1 end,
       'wire', (event_date - 1) + time '15:00' at time zone 'UTC', (event_date + 1) + time '04:59' at time zone 'UTC',
       (event_date + 1) + time '15:00' at time zone 'UTC', 'settled', 'finalized',
       case when bin = won then 'yes' else 'no' end, case when bin = won then 1 else 0 end,
       (low + 2 * won - 1)::text, 'National Weather Service', 0, 0.5, '', '{}', event_date + 2
from (
    select *, 40 + abs(hashtext(event_ticker)) % 40 as low, abs(hashtext(event_ticker || 'won')) % 6 as won
    from events
) as drawn cross join generate_series(0, 5) as bin
"""

# n trades each: about e^4.75 in the middle, at most 6,000, scaled so that all together are as many as asked for.
_SIZES = """
create temporary table sizes as
select ticker, open_time, row_number() over (order by ticker) as i,
       greatest(1, round(least(6000, exp(4.75 + 1.3 * sqrt(-2 * ln(random() + 1e-9)) * cos(6.283 * random())))))
           as drawn
from markets
"""

# A sweep is three trades of one instant at one or two prices; four sweeps of five share a minute with another. The
# price of a minute wanders around the market's own, so that most minutes hold one price.
_TRADES = """
insert into trades (ticker, created_time, trade_id, yes_price, count, taker_side, is_block_trade)
select ticker, open_time + minute * interval '1 minute'
           + (abs(hashint8(i * 100003 + sweep)::bigint) % 59999) * interval '1 ms',
       md5(i || ':' || j)::uuid,
       greatest(1, least(99, middle + abs(hashint4(minute::int / 30)) % 5
           + case when side > 0 then (j % 3 = 2 and sweep % 4 = 0)::int else -(j % 3 = 2 and sweep % 4 = 0)::int end))
           / 100.0,
       (1 + abs(hashint8(i * 7919 + j)::bigint) % 5000) / 100.0, case when side > 0 then 'yes' else 'no' end, false
from (
    select *, abs(hashtext(i || ':' || sweep % greatest(1, n * 3 / 10))::bigint) % 2279 as minute,
           case when hashint8(i * 31 + sweep) % 2 = 0 then 1 else -1 end as side
    from (
        select ticker, open_time, i, n, j, j / 3 as sweep, 5 + abs(hashint8(i)::bigint) % 90 as middle
        from (
            select ticker, open_time, i,
                   greatest(1, round(drawn * $1::bigint / (select sum(drawn) from sizes)))::int as n
            from sizes
        ) as sized cross join lateral generate_series(1, n) as j
    ) as numbered
) as placed
order by 1, 2, 3
"""

_CANDLES = """
insert into candles (ticker, period_minutes, period_start, period_end, open, high, low, close, volume, vwap, num_trades)
select ticker, $1::smallint, start, start + $1 * interval '1 minute',
       (array_agg(yes_price order by created_time, key))[1], max(yes_price), min(yes_price),
       (array_agg(yes_price order by created_time desc, key desc))[1],
       sum(count), trunc(sum(yes_price * count) / sum(count), 6), count(*)
from (
    select *, date_bin($1 * interval '1 minute', created_time, '2000-01-01 00:00Z') as start,
           case taker_side when 'yes' then yes_price else -yes_price end as key
    from trades
) as keyed
group by ticker, start order by ticker, start
"""

_VOLUMES = """
update markets set volume = traded.contracts
from (select ticker, sum(count) as contracts from trades group by ticker) as traded
where traded.ticker = markets.ticker
"""

_CHECKPOINTS = """
insert into checkpoints (ticker, series_ticker, event_date, state, settled_first, pages, trades_stored,
    contracts_stored, exchange_volume, verdict, run_id, updated_at, completed_at)
select ticker, series_ticker, event_date, 'complete', true, 1 + trades / 1000, trades, volume, volume, 'exact',
       '00000000-0000-0000-0000-000000000001', settled_at, settled_at
from markets join (select ticker, count(*) as trades from trades group by ticker) as traded using (ticker)
"""

_LISTINGS = """
insert into listings (series_ticker, event_date, events, markets, run_id, listed_at)
select series_ticker, event_date, count(distinct event_ticker), count(*), '00000000-0000-0000-0000-000000000001',
       max(settled_at)
from markets group by 1, 2
"""

_LOG = """
insert into ingestion_log (run_id, command, series_ticker, status, started_at, finished_at, min_event_date,
    max_event_date)
select '00000000-0000-0000-0000-000000000001', 'backfill', series_ticker, 'success', max(settled_at),
       max(settled_at) + interval '1 hour', min(event_date), max(event_date)
from markets group by series_ticker
"""


async def fill(connection: asyncpg.Connection, markets: int = 18_500, trades: int = 5_000_000) -> None:
    """Fill a migrated, empty database with at least `markets` markets, in whole days, and about `trades` trades.

    Five million take two minutes. The random numbers are the same every time.
    """
    await connection.execute("select setseed(0.3)")
    await connection.execute("set work_mem = '256MB'")
    days = -(-markets // MARKETS_A_DAY)
    await connection.execute(_SERIES)
    await connection.execute(_EVENTS, FIRST_DAY, days)
    await connection.execute(_MARKETS)
    await connection.execute(_SIZES)
    await connection.execute(_TRADES, trades)
    for minutes in (1, 5):
        await connection.execute(_CANDLES, minutes)
    for statement in (_VOLUMES, _CHECKPOINTS, _LISTINGS, _LOG):
        await connection.execute(statement)
    await connection.execute("vacuum analyze")
    await connection.execute("reset work_mem")


async def main(url: str, markets: int, trades: int) -> None:
    """Migrate the empty database at `url` and fill it."""
    connection = await asyncpg.connect(url, command_timeout=None)
    try:
        await migrate(connection, migrations_dir())
        await fill(connection, markets, trades)
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
