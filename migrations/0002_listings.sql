-- What the exchange listed, kept apart from the rows it counts; and the whole story of a run.

create table listings (
    series_ticker text not null references series,
    event_date    date not null,
    events        integer not null,
    markets       integer not null,
    run_id        uuid not null,
    listed_at     timestamptz not null,
    primary key (series_ticker, event_date),
    constraint listings_count_something check (events >= 0 and markets >= 0)
);
comment on table listings is 'How many events and markets the exchange listed for a series and event date, written once both tiers'' lists were read to their ends. It is what coverage counts against: a row lost from events or markets does not vanish from here. 0 means asked for, and nothing listed.';
comment on column listings.series_ticker is 'The series that was asked for.';
comment on column listings.event_date is 'The climate day, from the event tickers.';
comment on column listings.events is 'Events of that date in the exchange''s lists of events and of markets.';
comment on column listings.markets is 'Markets of that date in the exchange''s lists of both tiers, each once.';
comment on column listings.run_id is 'The run that first found these counts; see ingestion_log.';
comment on column listings.listed_at is 'When these counts were first found; finding them again leaves the row alone.';

alter table ingestion_log add column asked_by text, add column details jsonb;
comment on column ingestion_log.asked_by is 'Who started the run: user@host, and the version of the program.';
comment on column ingestion_log.details is 'What failed and what was accepted with a warning: {failed: {what: why}, failed_count, warnings: [text], warnings_count}; the first hundred of each.';

-- A strike is one number, however many zeros the exchange writes behind its point; the wire form stays in raw.
update markets set floor_strike = trim_scale(floor_strike), cap_strike = trim_scale(cap_strike)
where scale(floor_strike) <> min_scale(floor_strike) or scale(cap_strike) <> min_scale(cap_strike);
alter table markets
    add constraint markets_floor_trimmed check (scale(floor_strike) = min_scale(floor_strike)),
    add constraint markets_cap_trimmed check (scale(cap_strike) = min_scale(cap_strike));
