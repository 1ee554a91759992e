-- The weather that settles the markets: stations, official maxima, minute observations and the grid made from them.
--
-- Conventions as in 0001, and
--   * loc_id is the station's ICAO id (KMDW); every unique key of a large table starts with it
--   * date_local is the climate day: midnight to midnight local *standard* time, all year, 24 hours, 288 slots of five minutes
--   * temperatures are degrees Fahrenheit; an official maximum is a whole degree
--   * what a source said is appended and stays; what follows from it (wx.settlement, wx.minute_obs_1m) can be made anew at any time

create schema wx;
comment on schema wx is 'Weather at the stations that the markets settle on.';

create table wx.location (
    loc_id                text collate "C" primary key,
    city                  text not null unique,
    name                  text not null,
    iem_id                text not null,
    iem_network           text not null,
    cli_pil               text not null,
    cli_office            text not null,
    ghcnd_id              text not null,
    visual_crossing_id    text not null,
    tz                    text not null,
    standard_offset_hours smallint not null,
    first_event_date      date not null,
    retired               boolean not null default false
);
comment on table wx.location is 'One row per city: the station that its markets settle on, and what each weather service calls it. Equal to the program''s own catalogue.';
comment on column wx.location.loc_id is 'ICAO id of the station; also its id in IEM''s CLI and CF6 services.';
comment on column wx.location.city is 'As in public.series: chicago, miami, austin, la, denver, philadelphia or nyc.';
comment on column wx.location.name is 'The city''s name as people write it.';
comment on column wx.location.iem_id is 'Three letters: the station in IEM''s ASOS services.';
comment on column wx.location.iem_network is 'IEM''s network of that station.';
comment on column wx.location.cli_pil is 'Product id of the daily climate report; its last three letters are the issuedby code of the NWS.';
comment on column wx.location.cli_office is 'The NWS office that issues the report.';
comment on column wx.location.ghcnd_id is 'The station in GHCN-Daily (NCEI), without the prefix GHCND:.';
comment on column wx.location.visual_crossing_id is 'The location that pins Visual Crossing to this one station.';
comment on column wx.location.tz is 'IANA name of the civil time zone.';
comment on column wx.location.standard_offset_hours is 'Local standard time minus UTC, hours; the climate day begins at 00:00 of it, summer and winter.';
comment on column wx.location.first_event_date is 'No event of the city has an earlier date.';
comment on column wx.location.retired is 'Nothing new is fetched; what is held stays queryable.';
insert into wx.location (loc_id, city, name, iem_id, iem_network, cli_pil, cli_office, ghcnd_id, visual_crossing_id, tz, standard_offset_hours, first_event_date, retired) values
    ('KMDW', 'chicago',      'Chicago',      'MDW', 'IL_ASOS', 'CLIMDW', 'LOT', 'USW00014819', 'stn:KMDW', 'America/Chicago',     -6, '2021-08-01', false),
    ('KMIA', 'miami',        'Miami',        'MIA', 'FL_ASOS', 'CLIMIA', 'MFL', 'USW00012839', 'stn:KMIA', 'America/New_York',    -5, '2023-05-11', false),
    ('KAUS', 'austin',       'Austin',       'AUS', 'TX_ASOS', 'CLIAUS', 'EWX', 'USW00013904', 'stn:KAUS', 'America/Chicago',     -6, '2023-05-12', false),
    ('KLAX', 'la',           'Los Angeles',  'LAX', 'CA_ASOS', 'CLILAX', 'LOX', 'USW00023174', 'stn:KLAX', 'America/Los_Angeles', -8, '2025-01-05', false),
    ('KDEN', 'denver',       'Denver',       'DEN', 'CO_ASOS', 'CLIDEN', 'BOU', 'USW00003017', 'stn:KDEN', 'America/Denver',      -7, '2024-11-20', false),
    ('KPHL', 'philadelphia', 'Philadelphia', 'PHL', 'PA_ASOS', 'CLIPHL', 'PHI', 'USW00013739', 'stn:KPHL', 'America/New_York',    -5, '2024-11-20', false),
    ('KNYC', 'nyc',          'New York',     'NYC', 'NY_ASOS', 'CLINYC', 'OKX', 'USW00094728', 'stn:KNYC', 'America/New_York',    -5, '2021-08-06', true);

create table wx.settlement_obs (
    loc_id         text collate "C" not null references wx.location,
    date_local     date not null,
    source         text not null,
    product_id     text,
    payload_sha256 text,
    issued_at      timestamptz,
    retrieved_at   timestamptz not null,
    is_full_day    boolean not null,
    tmax_f         numeric(4,1),
    flag           text,
    raw            jsonb not null,
    constraint settlement_obs_source_known check (source in ('CLI', 'CF6', 'IEM_CF6', 'GHCND', 'TWC', 'VC')),
    constraint settlement_obs_is_identified check (product_id is not null or payload_sha256 is not null),
    -- the same report, polled again, is the same row
    constraint settlement_obs_once unique nulls not distinct (loc_id, date_local, source, product_id, payload_sha256)
);
comment on table wx.settlement_obs is 'Every official maximum that any source ever stated, appended and never changed: wx.settlement follows from these rows alone.';
comment on column wx.settlement_obs.loc_id is 'The station.';
comment on column wx.settlement_obs.date_local is 'The climate day the report is about.';
comment on column wx.settlement_obs.source is 'CLI: NWS daily climate report. CF6: NWS monthly form, its text. IEM_CF6: the same through IEM''s JSON. GHCND: NCEI. TWC: The Weather Company. VC: maximum of Visual Crossing''s minutes, a diagnosis that never settles.';
comment on column wx.settlement_obs.product_id is 'YYYYMMDDHHMM-CCCC-WMOTTAAii-PIL; the time is the UTC issue time. NULL where the source numbers nothing.';
comment on column wx.settlement_obs.payload_sha256 is 'SHA-256 of what was sent, hex, for rows that a service made (IEM''s JSON, GHCN-Daily), so that a changed answer is a new observation. NULL for a report whose own text was read.';
comment on column wx.settlement_obs.issued_at is 'When the source issued it; NULL where it does not say.';
comment on column wx.settlement_obs.retrieved_at is 'When it was first fetched.';
comment on column wx.settlement_obs.is_full_day is 'Issued at or after the end of the climate day. A partial afternoon report is not.';
comment on column wx.settlement_obs.tmax_f is 'Maximum of the day, °F. NULL: reported as missing (M, MM).';
comment on column wx.settlement_obs.flag is 'What tells against the row, in words: a text that contradicts its issue time, a failed quality check. NULL: nothing does.';
comment on column wx.settlement_obs.raw is 'As the source sent it: its JSON object, or its text as a JSON string; of a CF6 form the line of this day.';

create table wx.settlement (
    loc_id           text collate "C" not null references wx.location,
    date_local       date not null,
    tmax_final_f     integer,
    source           text,
    is_preliminary   boolean not null,
    tmax_cli_f       integer,
    tmax_cli_first_f integer,
    tmax_cf6_f       integer,
    tmax_iem_cf6_f   integer,
    tmax_ghcnd_f     integer,
    tmax_twc_f       integer,
    tmax_vc_f        numeric(4,1),
    conflict         text,
    note             text,
    n_sources        smallint not null,
    updated_at       timestamptz not null,
    primary key (loc_id, date_local),
    constraint settlement_source_known check (source in ('CLI', 'CF6', 'IEM_CF6', 'GHCND')),
    constraint settlement_has_a_source check ((tmax_final_f is null) = (source is null)),
    constraint settlement_conflict_known check (conflict in ('note', 'warning'))
);
create index settlement_date on wx.settlement (date_local);
comment on table wx.settlement is 'One row per station and climate day, made from wx.settlement_obs: first full-day CLI, else any full-day CLI, else CF6, IEM_CF6 (issued after the day), GHCND (quality passed), else a partial CLI or CF6 as preliminary.';
comment on column wx.settlement.loc_id is 'The station.';
comment on column wx.settlement.date_local is 'The climate day; equals public.events.event_date.';
comment on column wx.settlement.tmax_final_f is 'The official maximum, °F, by the precedence above. NULL: no source has stated one.';
comment on column wx.settlement.source is 'Which source tmax_final_f is from.';
comment on column wx.settlement.is_preliminary is 'True while only partial reports, or none with a value, are known.';
comment on column wx.settlement.tmax_cli_f is 'Newest full-day CLI, corrections included, °F; while there is none, the newest partial.';
comment on column wx.settlement.tmax_cli_first_f is 'First full-day CLI, °F: what the markets settle on. Never changes once set.';
comment on column wx.settlement.tmax_cf6_f is 'Newest CF6, °F.';
comment on column wx.settlement.tmax_iem_cf6_f is 'Newest CF6 through IEM, °F.';
comment on column wx.settlement.tmax_ghcnd_f is 'Newest GHCN-Daily that passed its quality check, °F; may differ by 1 through its rounding.';
comment on column wx.settlement.tmax_twc_f is 'The Weather Company, °F; a cross-check only.';
comment on column wx.settlement.tmax_vc_f is 'Maximum of Visual Crossing''s minutes, °F; a diagnosis only.';
comment on column wx.settlement.conflict is 'Full-day sources differ from tmax_final_f by 1 °F (note) or by 2 and more (warning). NULL: they agree.';
comment on column wx.settlement.note is 'What a reader should know, in words: corrected after the first final, gap filled from another source.';
comment on column wx.settlement.n_sources is 'Sources that state a full-day maximum.';
comment on column wx.settlement.updated_at is 'When the content of this row last changed.';

create table wx.settlement_poll (
    loc_id     text collate "C" not null references wx.location,
    date_local date not null,
    source     text not null,
    state      text not null,
    error      text,
    polled_at  timestamptz not null,
    primary key (loc_id, date_local, source),
    constraint settlement_poll_state_known check (state in ('answered', 'nothing', 'failed')),
    constraint settlement_poll_failed_says_why check ((state = 'failed') = (error is not null))
);
comment on table wx.settlement_poll is 'What was asked, so that a day without a report differs from a day never asked for. Written in the transaction that writes the rows it vouches for.';
comment on column wx.settlement_poll.loc_id is 'The station.';
comment on column wx.settlement_poll.date_local is 'The climate day asked for.';
comment on column wx.settlement_poll.source is 'As in wx.settlement_obs.';
comment on column wx.settlement_poll.state is 'answered: the source has a report of this day. nothing: it answered and has none. failed: see error; the next run asks again.';
comment on column wx.settlement_poll.error is 'Why it failed: service, station and day.';
comment on column wx.settlement_poll.polled_at is 'When it was last asked.';

create table wx.minute_obs (
    loc_id        text collate "C" not null references wx.location,
    ts_utc        timestamptz not null,
    temp_f        numeric(5,2),
    dew_f         numeric(5,2),
    humidity      numeric(5,2),
    windspeed_mph numeric(5,2),
    windgust_mph  numeric(5,2),
    winddir_deg   numeric(4,1),
    pressure_mb   numeric(6,2),
    precip_in     numeric(6,3),
    preciptype    text,
    cloudcover    numeric(4,1),
    ffilled       boolean not null default false,
    stations      text,
    source        text not null,
    primary key (loc_id, ts_utc)
);
comment on table wx.minute_obs is 'Observations at the pinned station, usually every five minutes (288 slots a climate day). Checked before they are stored: other stations, sentinels and impossible jumps are refused and counted in wx.minute_day.';
comment on column wx.minute_obs.loc_id is 'The station.';
comment on column wx.minute_obs.ts_utc is 'Time of the observation, or of the slot that was filled.';
comment on column wx.minute_obs.temp_f is 'Air temperature, °F. NULL: not observed.';
comment on column wx.minute_obs.dew_f is 'Dew point, °F.';
comment on column wx.minute_obs.humidity is 'Relative humidity, per cent.';
comment on column wx.minute_obs.windspeed_mph is 'Wind speed, miles per hour.';
comment on column wx.minute_obs.windgust_mph is 'Gust, miles per hour; NULL: none reported.';
comment on column wx.minute_obs.winddir_deg is 'Direction the wind comes from, degrees from north.';
comment on column wx.minute_obs.pressure_mb is 'Pressure at sea level, millibar.';
comment on column wx.minute_obs.precip_in is 'Precipitation as the source reports it with this observation, inches.';
comment on column wx.minute_obs.preciptype is 'Rain, snow and so on, in the source''s words.';
comment on column wx.minute_obs.cloudcover is 'Sky covered, per cent.';
comment on column wx.minute_obs.ffilled is 'True: nothing was observed in this slot, the values are a copy of the previous observation. Not an observation.';
comment on column wx.minute_obs.stations is 'The stations that the source names for this row.';
comment on column wx.minute_obs.source is 'Which service it came from: VC, IEM_1MIN, IEM_ASOS.';

create table wx.minute_day (
    loc_id         text collate "C" not null references wx.location,
    date_local     date not null,
    source         text not null,
    state          text not null,
    slots_observed smallint not null default 0,
    slots_filled   smallint not null default 0,
    slots_missing  smallint not null default 288,
    rows_rejected  integer not null default 0,
    error          text,
    fetched_at     timestamptz not null,
    primary key (loc_id, date_local),
    constraint minute_day_state_known check (state in ('open', 'complete', 'failed')),
    constraint minute_day_failed_says_why check ((state = 'failed') = (error is not null)),
    constraint minute_day_has_288_slots check (slots_observed + slots_filled + slots_missing = 288)
);
comment on table wx.minute_day is 'What is claimed about the minutes of each station and climate day, written in the transaction that writes them: a day fetched and empty differs from a day never fetched, and a killed run goes on where it was. No row: never fetched.';
comment on column wx.minute_day.loc_id is 'The station.';
comment on column wx.minute_day.date_local is 'The climate day.';
comment on column wx.minute_day.source is 'The service that this day''s rows came from, as in wx.minute_obs.';
comment on column wx.minute_day.state is 'open: fetched before the source could have the whole day, to be fetched again. complete: fetched after that. failed: see error; the next run tries again.';
comment on column wx.minute_day.slots_observed is 'Slots of five minutes with an observation of their own.';
comment on column wx.minute_day.slots_filled is 'Slots that hold a copy of the previous observation.';
comment on column wx.minute_day.slots_missing is 'Slots with neither.';
comment on column wx.minute_day.rows_rejected is 'Rows of the source that were refused: another station, a sentinel, an impossible jump.';
comment on column wx.minute_day.error is 'Why it failed: service, station and day.';
comment on column wx.minute_day.fetched_at is 'When this day was last fetched.';

-- The one definition of the grid, from the minute `since` on. Filled slots are left out: their values are copies, and
-- counting an age from a copy would hide how old the observation is. generate_series stands in the select list because
-- there it streams; in FROM every span would be stored first.
create function wx.minute_grid(location text, since timestamptz) returns table (
    ts_utc timestamptz, temp_f numeric, dew_f numeric, humidity numeric, windspeed_mph numeric,
    windgust_mph numeric, winddir_deg numeric, pressure_mb numeric, precip_in numeric, preciptype text,
    cloudcover numeric, stations text, source text, obs_ts_utc timestamptz, age_seconds integer, ffilled boolean)
language sql stable parallel safe
begin atomic
    with observed as (
        select o.*, lead(o.ts_utc) over (order by o.ts_utc) as next_ts_utc
        from wx.minute_obs o
        where o.loc_id = location and not o.ffilled and o.temp_f is not null
            and o.ts_utc >= coalesce(
                (select max(p.ts_utc) from wx.minute_obs p
                 where p.loc_id = location and p.ts_utc <= since and not p.ffilled and p.temp_f is not null),
                '-infinity')
    ),
    spans as (
        -- from the first minute at or after the observation up to the moment before the next one takes over; the last
        -- observation of all has no minute after its own
        select observed.*,
            greatest(since, date_bin('1 minute', observed.ts_utc + interval '59.999999 seconds', 'epoch')) as first_minute,
            coalesce(next_ts_utc - interval '0.000001 seconds', observed.ts_utc) as last_moment
        from observed
    ),
    minutes as (
        select spans.*,
            ceil(extract(epoch from first_minute - spans.ts_utc))::integer as first_age,
            -- thirty minutes: the values of an older observation are not shown
            floor((1800 - extract(epoch from first_minute - spans.ts_utc)) / 60)::integer as fresh,
            generate_series(0, floor(extract(epoch from last_moment - first_minute) / 60)::integer) as later
        from spans
    )
    select first_minute + later * interval '1 minute',
        case when later <= fresh then m.temp_f end,
        case when later <= fresh then m.dew_f end,
        case when later <= fresh then m.humidity end,
        case when later <= fresh then m.windspeed_mph end,
        case when later <= fresh then m.windgust_mph end,
        case when later <= fresh then m.winddir_deg end,
        case when later <= fresh then m.pressure_mb end,
        case when later <= fresh then m.precip_in end,
        case when later <= fresh then m.preciptype end,
        case when later <= fresh then m.cloudcover end,
        case when later <= fresh then m.stations end,
        case when later <= fresh then m.source end,
        case when later <= fresh then m.ts_utc end,
        case when later <= fresh then first_age + 60 * later end,
        case when later <= fresh then first_age + 60 * later >= 300 end
    from minutes m;
end;
comment on function wx.minute_grid is 'The one-minute grid of a location from the minute `since` (a whole minute, or -infinity) to its last observation.';

-- Made with data, which costs nothing on an empty table: so it is never unpopulated, and every refresh can be concurrent.
create materialized view wx.minute_obs_1m as
select place.loc_id, grid.* from wx.location place, wx.minute_grid(place.loc_id, '-infinity') grid;
create unique index minute_obs_1m_minute on wx.minute_obs_1m (loc_id, ts_utc);
comment on materialized view wx.minute_obs_1m is 'One row per location and minute from its first to its last observation in wx.minute_obs, as of the last refresh: the latest observation with a temperature at or before the minute, up to 30 minutes old. After that every column but the first two is NULL. Filled slots count as unobserved.';
comment on column wx.minute_obs_1m.loc_id is 'The station.';
comment on column wx.minute_obs_1m.ts_utc is 'The minute: what was known at this instant, so joining on it looks at nothing later.';
comment on column wx.minute_obs_1m.temp_f is 'Air temperature, °F.';
comment on column wx.minute_obs_1m.dew_f is 'Dew point, °F.';
comment on column wx.minute_obs_1m.humidity is 'Relative humidity, per cent.';
comment on column wx.minute_obs_1m.windspeed_mph is 'Wind speed, miles per hour.';
comment on column wx.minute_obs_1m.windgust_mph is 'Gust, miles per hour.';
comment on column wx.minute_obs_1m.winddir_deg is 'Direction the wind comes from, degrees from north.';
comment on column wx.minute_obs_1m.pressure_mb is 'Pressure at sea level, millibar.';
comment on column wx.minute_obs_1m.precip_in is 'Precipitation of the observation, inches, repeated in every minute it is carried to: not to be summed.';
comment on column wx.minute_obs_1m.preciptype is 'As in wx.minute_obs.';
comment on column wx.minute_obs_1m.cloudcover is 'Sky covered, per cent.';
comment on column wx.minute_obs_1m.stations is 'As in wx.minute_obs.';
comment on column wx.minute_obs_1m.source is 'As in wx.minute_obs.';
comment on column wx.minute_obs_1m.obs_ts_utc is 'Time of the observation that the values are from.';
comment on column wx.minute_obs_1m.age_seconds is 'ts_utc minus obs_ts_utc, seconds, 0 to 1800.';
comment on column wx.minute_obs_1m.ffilled is 'True from an age of five minutes on: the value was carried past its own slot.';

-- A materialised view can only be refreshed whole. A new day need not wait for that: what was observed after the end of
-- the stored grid is made on reading, by the same definition, and both parts are read in one snapshot.
create view wx.minute_obs_1m_live as
select * from wx.minute_obs_1m
union all
select place.loc_id, grid.*
from wx.location place, wx.minute_grid(place.loc_id, coalesce(
    (select max(stored.ts_utc) + interval '1 minute' from wx.minute_obs_1m stored where stored.loc_id = place.loc_id),
    '-infinity')) grid;
comment on view wx.minute_obs_1m_live is 'wx.minute_obs_1m with the minutes observed since its last refresh: new days without waiting. An observation that came late, before the end of the stored grid, shows after the next refresh.';
comment on column wx.minute_obs_1m_live.loc_id is 'The station.';
comment on column wx.minute_obs_1m_live.ts_utc is 'The minute: what was known at this instant, so joining on it looks at nothing later.';
comment on column wx.minute_obs_1m_live.temp_f is 'Air temperature, °F.';
comment on column wx.minute_obs_1m_live.dew_f is 'Dew point, °F.';
comment on column wx.minute_obs_1m_live.humidity is 'Relative humidity, per cent.';
comment on column wx.minute_obs_1m_live.windspeed_mph is 'Wind speed, miles per hour.';
comment on column wx.minute_obs_1m_live.windgust_mph is 'Gust, miles per hour.';
comment on column wx.minute_obs_1m_live.winddir_deg is 'Direction the wind comes from, degrees from north.';
comment on column wx.minute_obs_1m_live.pressure_mb is 'Pressure at sea level, millibar.';
comment on column wx.minute_obs_1m_live.precip_in is 'Precipitation of the observation, inches, repeated in every minute it is carried to: not to be summed.';
comment on column wx.minute_obs_1m_live.preciptype is 'As in wx.minute_obs.';
comment on column wx.minute_obs_1m_live.cloudcover is 'Sky covered, per cent.';
comment on column wx.minute_obs_1m_live.stations is 'As in wx.minute_obs.';
comment on column wx.minute_obs_1m_live.source is 'As in wx.minute_obs.';
comment on column wx.minute_obs_1m_live.obs_ts_utc is 'Time of the observation that the values are from.';
comment on column wx.minute_obs_1m_live.age_seconds is 'ts_utc minus obs_ts_utc, seconds, 0 to 1800.';
comment on column wx.minute_obs_1m_live.ffilled is 'True from an age of five minutes on: the value was carried past its own slot.';
