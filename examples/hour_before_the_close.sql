-- What each bin of an event cost an hour before its market closed, and which bin paid: the latest settled event of each city.
-- A minute without a trade has no candle, so the price is the close of the last candle that had ended by then.
with latest as (
    select city, max(event_date) as event_date
    from markets
    where result in ('yes', 'no')
    group by city
)
select city, event_date, ticker, price, result, settlement_value
from latest
join markets using (city, event_date)
left join lateral (
    select close as price
    from candles
    where candles.ticker = markets.ticker and period_minutes = 1 and period_end <= close_time - interval '1 hour'
    order by period_start desc
    limit 1
) as before_the_close on true
order by city, coalesce(floor_strike, cap_strike), ticker;
