-- Market data: what the exchange publishes, the candles made from it, and the proof that it is complete.
--
-- Conventions
--   * every time is timestamptz; a period is [period_start, period_end)
--   * prices are dollars per contract with up to 6 decimals, counts are contracts with 2 (fractions are normal);
--     both are numeric, because a binary float cannot hold 0.29
--   * NULL means "the exchange did not say"; it never stands for 0
--   * every unique key of a large table starts with ticker and no large table has a foreign key to another large
--     one, so the tables can be distributed by ticker or partitioned by time without a change

create table series (
    series_ticker      text primary key,
    city               text,
    title              text not null,
    category           text not null,
    frequency          text not null,
    settlement_sources jsonb,
    raw                jsonb not null,
    fetched_at         timestamptz not null
);
comment on table series is 'One row per Kalshi series, e.g. KXHIGHCHI. Source: GET /series/{series_ticker}.';
comment on column series.series_ticker is 'Kalshi''s own name, e.g. KXHIGHCHI.';
comment on column series.title is 'As the exchange titles it.';
comment on column series.category is 'The exchange''s category, e.g. Climate and Weather.';
comment on column series.frequency is 'The exchange''s word: daily for these series.';
comment on column series.city is 'chicago, miami, austin, la, denver, philadelphia or nyc; NULL for a series that is no city''s daily high.';
comment on column series.settlement_sources is 'Who publishes the number that settles the markets: [{name, url}].';
comment on column series.raw is 'The whole object as the exchange sent it.';
comment on column series.fetched_at is 'When this content was first seen; fetching unchanged content again leaves it alone.';

create table events (
    event_ticker  text primary key,
    series_ticker text not null references series,
    city          text,
    event_date    date not null,
    title         text not null,
    raw           jsonb not null,
    fetched_at    timestamptz not null
);
create index events_series_date on events (series_ticker, event_date);
comment on table events is 'One row per event (one city, one climate day). Source: GET /events.';
comment on column events.series_ticker is 'The series the event names itself.';
comment on column events.city is 'As in series.';
comment on column events.title is 'As the exchange titles it.';
comment on column events.raw is 'The whole object as the exchange sent it, without nested markets.';
comment on column events.event_ticker is 'Up to 2024-10-23 events carry the legacy name (HIGHCHI-…) under the series KXHIGHCHI.';
comment on column events.event_date is 'The climate day, from the event ticker (YYMMMDD), never from a close time. A climate day is local standard time all year.';
comment on column events.fetched_at is 'When this content was first seen.';

create table markets (
    ticker               text primary key,
    event_ticker         text not null,
    series_ticker        text not null references series,
    city                 text,
    event_date           date not null,
    title                text not null,
    strike_type          text,
    floor_strike         numeric,
    cap_strike           numeric,
    strike_source        text,
    open_time            timestamptz not null,
    close_time           timestamptz not null,
    settled_at           timestamptz,
    status               text not null,
    api_status           text not null,
    result               text,
    settlement_value     numeric(7,6),
    expiration_value     text,
    settlement_authority text,
    volume               numeric(16,2),
    open_interest        numeric(16,2),
    last_price           numeric(7,6),
    rules_primary        text not null,
    raw                  jsonb not null,
    fetched_at           timestamptz not null,
    constraint markets_status_known check (status in ('unopened', 'open', 'paused', 'closed', 'settled')),
    constraint markets_strike_source_known check (strike_source in ('wire', 'subtitle', 'neighbours'))
);
create index markets_series_date on markets (series_ticker, event_date);
create index markets_event on markets (event_ticker);
comment on table markets is 'One row per market (one bin of an event). Source: GET /markets and GET /historical/markets.';
comment on column markets.ticker is 'Kalshi''s own name, e.g. KXHIGHCHI-25NOV14-B55.5.';
comment on column markets.event_ticker is 'The event this is a bin of.';
comment on column markets.series_ticker is 'The series that was asked for; a tickers prefix does not tell it.';
comment on column markets.city is 'As in series.';
comment on column markets.open_time is 'Trading begins.';
comment on column markets.close_time is 'Trading ends. The rule for it has changed over the years, so it does not tell the event date.';
comment on column markets.settled_at is 'When the exchange paid (settlement_ts); NULL before that and where it does not say.';
comment on column markets.rules_primary is 'The market''s own rules, as text.';
comment on column markets.event_date is 'The climate day, from the event ticker.';
comment on column markets.title is 'Empty for most markets of 2024 and 2025: the exchange sent it empty.';
comment on column markets.strike_type is 'between: floor <= T <= cap. less: T < cap. greater: T > floor (strict). NULL when it cannot be known.';
comment on column markets.floor_strike is 'Degrees Fahrenheit.';
comment on column markets.cap_strike is 'Degrees Fahrenheit.';
comment on column markets.strike_source is 'wire: the exchange sent the strikes. subtitle, neighbours: it did not (winners of early 2025), and they were read from the subtitle or from the other bins.';
comment on column markets.status is 'The API''s filter word: unopened, open, paused, closed, settled.';
comment on column markets.api_status is 'The word on the wire: initialized, active, inactive, closed, determined, disputed, amended, finalized.';
comment on column markets.result is 'yes, no or scalar; NULL until determined.';
comment on column markets.settlement_value is 'Dollars paid per yes contract. The exchange states it from 2025-03-05 on.';
comment on column markets.expiration_value is 'The temperature the market settled on, as the exchange wrote it: may be empty, padded (84.00) or followed by prose.';
comment on column markets.settlement_authority is 'Who publishes the settling number, as named in the market''s own rules: National Weather Service or The Weather Company.';
comment on column markets.volume is 'Contracts traded, by the exchange''s own count. Final only once status is settled.';
comment on column markets.open_interest is 'Contracts. NULL for a market that was never seen in the live tier: the historical tier reports 0 for every market.';
comment on column markets.last_price is 'Dollars, yes side.';
comment on column markets.raw is 'The whole object as the exchange sent it.';
comment on column markets.fetched_at is 'When this content was first seen; fetching unchanged content again leaves it alone.';

create table trades (
    ticker         text not null,
    created_time   timestamptz not null,
    trade_id       uuid not null,
    yes_price      numeric(7,6) not null,
    count          numeric(16,2) not null,
    taker_side     text not null,
    is_block_trade boolean not null,
    primary key (ticker, created_time, trade_id)
);
comment on table trades is 'Every trade, once. Source: GET /markets/trades and GET /historical/trades. Rows are checked before they are copied in, so the table has no check constraints to pay for.';
comment on column trades.ticker is 'The market.';
comment on column trades.created_time is 'Execution time, microseconds. Trades of one sweep share it: more than half of all trades do.';
comment on column trades.trade_id is 'The exchange''s id; UUID-shaped, without an RFC version.';
comment on column trades.yes_price is 'Dollars per yes contract; the no price is 1 - yes_price exactly.';
comment on column trades.count is 'Contracts; fractions are normal since 2026.';
comment on column trades.taker_side is 'yes or no: the outcome the taker bought.';
comment on column trades.is_block_trade is 'Negotiated off the book. Candles include block trades, as market volume does.';

create table candles (
    ticker         text not null,
    period_minutes smallint not null,
    period_start   timestamptz not null,
    period_end     timestamptz not null,
    open           numeric(7,6) not null,
    high           numeric(7,6) not null,
    low            numeric(7,6) not null,
    close          numeric(7,6) not null,
    volume         numeric(16,2) not null,
    vwap           numeric(7,6) not null,
    num_trades     integer not null,
    primary key (ticker, period_minutes, period_start)
);
comment on table candles is 'Candles made from trades: yes price, UTC-aligned, [period_start, period_end). No row means no trade in that period, once the market''s checkpoint is complete.';
comment on column candles.ticker is 'The market.';
comment on column candles.period_start is 'First instant of the period, a multiple of its length in UTC.';
comment on column candles.high is 'Dollars, highest yes price.';
comment on column candles.low is 'Dollars, lowest yes price.';
comment on column candles.num_trades is 'Trades in the period.';
comment on column candles.period_minutes is '1 or 5.';
comment on column candles.period_end is 'The candle is known only from this instant on: join on it, not on period_start.';
comment on column candles.open is 'Dollars. First trade in execution order: by time, then sweep order (yes takers by ascending, no takers by descending yes price).';
comment on column candles.close is 'Dollars. Last trade in the same order.';
comment on column candles.volume is 'Contracts.';
comment on column candles.vwap is 'Count-weighted mean price in dollars, cut (not rounded) to 6 decimals, as the exchange cuts its own mean.';

create table checkpoints (
    ticker           text primary key,
    series_ticker    text not null references series,
    event_date       date not null,
    state            text not null,
    tier             text,
    cursor           text,
    walk             smallint not null default 1,
    confirming       boolean not null default false,
    settled_first    boolean not null default false,
    oldest_time      timestamptz,
    oldest_trade_id  uuid,
    pages            integer not null default 0,
    trades_stored    bigint not null default 0,
    contracts_stored numeric(18,2) not null default 0,
    exchange_volume  numeric(16,2),
    verdict          text,
    error            text,
    run_id           uuid not null,
    updated_at       timestamptz not null,
    completed_at     timestamptz,
    constraint checkpoints_state_known check (state in ('walking', 'open', 'complete', 'failed')),
    constraint checkpoints_tier_known check (tier in ('live', 'historical')),
    constraint checkpoints_verdict_known check (verdict in ('exact', 'short', 'over', 'unknown')),
    -- "complete" without a verdict, or a verdict on a walk that began before settlement, would be a claim without proof
    constraint checkpoints_complete_is_proved check (
        (state = 'complete') = (verdict is not null) and (state <> 'complete' or settled_first)),
    constraint checkpoints_failed_says_why check ((state = 'failed') = (error is not null))
);
create index checkpoints_series_date on checkpoints (series_ticker, event_date);
comment on table checkpoints is 'What is proved about each market''s trades. Written in the transaction that writes the rows it vouches for.';
comment on column checkpoints.ticker is 'The market.';
comment on column checkpoints.series_ticker is 'The series that was asked for.';
comment on column checkpoints.event_date is 'The climate day, from the event ticker.';
comment on column checkpoints.oldest_trade_id is 'Breaks ties at oldest_time.';
comment on column checkpoints.pages is 'Pages of trades stored so far, over all walks.';
comment on column checkpoints.error is 'Why the market failed: what was wrong, in which field.';
comment on column checkpoints.run_id is 'The run that wrote this row; see ingestion_log.';
comment on column checkpoints.updated_at is 'When this row was written.';
comment on column checkpoints.completed_at is 'When completeness was proved.';
comment on column checkpoints.state is 'walking: some pages are stored, go on at tier and cursor. open: walked to the end before the market settled. complete: walked to the end of every tier after it settled. failed: see error; the next run tries again. No row: never fetched.';
comment on column checkpoints.tier is 'live or historical: where the walk goes on.';
comment on column checkpoints.cursor is 'The exchange''s cursor of the next page; NULL for the first page of the tier.';
comment on column checkpoints.walk is '1, or 2 for the second walk that a market gets whose trades do not add up to its volume.';
comment on column checkpoints.confirming is 'This walk goes over ground that holds rows already: every page goes through staging.';
comment on column checkpoints.settled_first is 'The market was settled before this walk began, so reaching the end proves completeness.';
comment on column checkpoints.oldest_time is 'The oldest trade stored by this walk: a page wholly older than it (and oldest_trade_id) holds new rows only. While it is set, the candles of its five-minute bucket are still to be written.';
comment on column checkpoints.trades_stored is 'Rows of trades for this ticker.';
comment on column checkpoints.contracts_stored is 'Sum of trades.count for this ticker, contracts.';
comment on column checkpoints.exchange_volume is 'The market''s own volume, read after it settled, contracts.';
comment on column checkpoints.verdict is 'contracts_stored against exchange_volume: exact, short, over, or unknown when the exchange states no volume. Other than exact only after a second walk over every tier.';

create table ingestion_log (
    run_id           uuid not null,
    command          text not null,
    series_ticker    text not null,
    status           text not null,
    started_at       timestamptz not null,
    finished_at      timestamptz,
    duration_seconds numeric(12,3),
    markets_fetched  integer not null default 0,
    trades_fetched   bigint not null default 0,
    candles_1m       bigint not null default 0,
    candles_5m       bigint not null default 0,
    requests         bigint not null default 0,
    retries          bigint not null default 0,
    min_event_date   date,
    max_event_date   date,
    error_message    text,
    primary key (run_id, series_ticker),
    constraint ingestion_log_status_known check (status in ('running', 'success', 'partial', 'failed', 'interrupted'))
);
create index ingestion_log_series on ingestion_log (series_ticker, started_at);
comment on table ingestion_log is 'One row per run and series. A run that was killed leaves ''running''; the next run of that series corrects it to ''interrupted''.';
comment on column ingestion_log.run_id is 'One id per run, shared by its series.';
comment on column ingestion_log.series_ticker is 'The series.';
comment on column ingestion_log.status is 'running, success, partial (something is listed as incomplete), failed, interrupted.';
comment on column ingestion_log.started_at is 'When the run began.';
comment on column ingestion_log.finished_at is 'When it ended; NULL while it runs and after a kill.';
comment on column ingestion_log.duration_seconds is 'finished_at minus started_at, seconds.';
comment on column ingestion_log.candles_1m is 'One-minute candles written by this run.';
comment on column ingestion_log.candles_5m is 'Five-minute candles written by this run.';
comment on column ingestion_log.min_event_date is 'First event date asked for.';
comment on column ingestion_log.max_event_date is 'Last event date asked for.';
comment on column ingestion_log.error_message is 'What failed, or why it ended early.';
comment on column ingestion_log.command is 'The command with its dates, as the user asked for it.';
comment on column ingestion_log.markets_fetched is 'Markets whose walk ended in this run.';
comment on column ingestion_log.trades_fetched is 'Trade rows stored by this run.';
comment on column ingestion_log.requests is 'Requests sent for this series, retries included.';
comment on column ingestion_log.retries is 'Requests that were repeated.';
