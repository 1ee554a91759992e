-- What a run found decides whether coverage expects what it asked for, and a person can take a mistaken run back.
--
-- Both columns are NULL for runs of before: what such a run asked for stays expected until it is forgotten by hand.

alter table ingestion_log
    add column markets_listed integer,
    add column forgotten_at   timestamptz,
    -- a count, as every other one of this table
    add constraint ingestion_log_lists_something check (markets_listed >= 0);
comment on column ingestion_log.markets_listed is 'Markets of the asked event dates in the exchange''s lists, once both tiers'' lists were read to their ends. 0: the lists hold other dates and none of these, or the exchange knows no such series, so coverage does not expect these dates because of this run. NULL: the lists were not read to their ends, or came back empty altogether, which proves nothing; the dates stay expected.';
comment on column ingestion_log.forgotten_at is 'When `status --forget` took the run back: coverage no longer expects its dates because of it. NULL: it was not.';
