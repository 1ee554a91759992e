-- Whether the database that answers still holds everything that a run has committed. After a failover to a standby that
-- lacked the last commits, or a restore to an earlier moment, a row here is older than the run that owns it remembers.

create table commit_fences (
    session   uuid primary key,
    commits   bigint not null,
    moved_at  timestamptz not null,
    -- it counts transactions, beginning with none
    constraint commit_fences_count check (commits >= 0)
);
comment on table commit_fences is 'One row per open connection of a run that writes. Each of its transactions moves the row, so after a lost connection the row tells whether the last one is there.';
comment on column commit_fences.session is 'The connection; a random number that the program makes when it connects.';
comment on column commit_fences.commits is 'How many transactions of this connection the database holds.';
comment on column commit_fences.moved_at is 'When the last of them began, by the server''s clock. Rows of killed runs are deleted a week later.';

-- A role that may write checkpoints but does not own them is to go on after the upgrade without a word of its owner.
do $$
declare
    grantee text;
begin
    for grantee in
        select distinct case when rights.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(rights.grantee)) end
        from pg_class, aclexplode(relacl) as rights
        where pg_class.oid = 'checkpoints'::regclass and rights.privilege_type = 'INSERT'
    loop
        execute 'grant select, insert, update, delete on commit_fences to ' || grantee;
    end loop;
end
$$;
