-- What following a market needs to remember: a market that still trades is asked for its new trades only.
--
-- Both columns are NULL for a market that is complete: then nothing more is to be asked.

alter table checkpoints
    add column newest_time timestamptz,
    add column since_time  timestamptz,
    -- a lower bound rests on what an earlier walk stored, so there has to be one
    add constraint checkpoints_since_is_held check (since_time is null or newest_time is not null);
comment on column checkpoints.newest_time is 'created_time of the newest trade seen. In state open every trade created before it is stored.';
comment on column checkpoints.since_time is 'The walk in progress asks only for trades created since then: what is older was stored by the walk before it. NULL: it asks for all.';

-- Follow asks for what is unfinished at every look at the lists.
create index checkpoints_unfinished on checkpoints (series_ticker, event_date) where state <> 'complete';
