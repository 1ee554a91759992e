"""The candle rule of `domain.candles` in SQL, the only one inside the server; a test compares the two."""

SIDE = "case taker_side when 'yes' then 1 else -1 end"
"""Times the price: the order of a sweep inside one created_time, yes takers upwards, no takers downwards."""


def _equal(minutes: int) -> str:
    """SQL: the held candle equals the one made, with as few of the expensive conversions as possible."""
    return f"""num_trades = n and period_end - start = interval '{minutes} minutes'
               and (high * 1000000)::bigint = h and (volume * 100)::bigint = v
               and case when l = h then low = high and open = high and close = high and vwap = high
                   else (low * 1000000)::bigint = l and (vwap * 1000000)::bigint = w / v
                    and case {_price("o")} when h then open = high when l then open = low
                        else (open * 1000000)::bigint = {_price("o")} end
                    and case {_price("c")} when h then close = high when l then close = low
                        else (close * 1000000)::bigint = {_price("c")} end
                   end"""


def _price(key: str) -> str:
    return f"abs(({key} + 2097152 & 4194303) - 2097152)"


def _held(minutes: int, key: str, chosen: str) -> str:
    return f"""(
            select {key}period_start as start, period_end, open, high, low, close, volume, vwap, num_trades
            from candles where candles.ticker {chosen} and period_minutes = {minutes}
        ) as held using ({key}start)"""  # noqa: S608


def counted(key: str, chosen: str, places: str, once: str) -> str:
    """SQL: how many candles the trades make, how many are held, and how many of these are equal.

    `key`: the columns before a period's start, `chosen`: the condition on tickers, `places`: the positions of the
    grouping columns, `once`: what keeps the server from computing an expression twice.
    """
    # Of each period: n trades, v contracts (hundredths), w their worth, lowest, highest, first and last price (o, c).
    # A first or last is found as one number that sorts in execution order: microseconds (above them, in a longer
    # candle, the minute) times 2^22, plus the price, negative for a taker of no.
    return f"""
    select {key}coalesce(sum(n), 0)::bigint as trades, coalesce(sum(v), 0)::bigint as contracts,
           min(first) as first, max(last) as last,
           coalesce(sum(held_1m), 0)::bigint as held_1m, count(open) as held_5m,
           coalesce((sum(volume_1m) * 100)::bigint, 0) as contracts_1m,
           coalesce((sum(volume) * 100)::bigint, 0) as contracts_5m,
           coalesce(sum(made_1m), 0)::bigint + count(n) as made,
           coalesce(sum(equal_1m), 0)::bigint + count(*) filter (where {_equal(5)}) as equal
    from (
        select {key}date_bin('5 minutes', start, '2000-01-01 00:00Z') as start, sum(n) as n,
               sum(v)::bigint as v, sum(w)::bigint as w,
               min(l) as l, max(h) as h,
               min((date_part('minute', start)::bigint << 48) + o) as o,
               max((date_part('minute', start)::bigint << 48) + c) as c,
               min(first) as first, max(last) as last, count(n) as made_1m, count(open) as held_1m,
               sum(volume) as volume_1m, count(*) filter (where {_equal(1)}) as equal_1m
        from (
            select {key}start, count(*)::int as n, sum(size)::bigint as v, sum(price * size)::bigint as w,
                   min(price) as l, max(price) as h, min(us + side * price) as o, max(us + side * price) as c,
                   min(created_time) as first, max(created_time) as last
            from (
                select {key}created_time, date_bin('1 minute', created_time, '2000-01-01 00:00Z') as start,
                       (yes_price * 1000000)::bigint as price, (count * 100)::bigint as size,
                       {SIDE} as side,
                       date_part('microseconds', created_time)::bigint * 4194304 as us
                from trades where trades.ticker {chosen}
                {once}
            ) as traded
            group by {key}start
        ) as made
        full join {_held(1, key, chosen)}
        group by {places}
    ) as made
    full join {_held(5, key, chosen)}
"""  # noqa: S608
