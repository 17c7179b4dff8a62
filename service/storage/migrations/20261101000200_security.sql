-- migrate:up
-- superagent: expand
create table audit_events (
    id         bigint generated always as identity primary key,
    at         timestamptz not null default now(),
    type       text not null,
    actor      text not null,
    address    text not null,
    request_id text not null,
    count      bigint not null default 1,
    details    jsonb not null default '{}'
);
create index audit_events_at on audit_events (at);
create index audit_events_type_at on audit_events (type, at);

-- A refresh token works once; a second use revokes its whole family.
create table refresh_tokens (
    id         text primary key,
    family     text not null,
    subject    text not null,
    permissions text[] not null,
    expires_at timestamptz not null,
    used_at    timestamptz,
    revoked_at timestamptz
);
create index refresh_tokens_family on refresh_tokens (family);

create table revoked_tokens (
    id         text primary key,
    expires_at timestamptz not null,
    revoked_at timestamptz not null default now()
);
create index revoked_tokens_revoked on revoked_tokens (revoked_at);

-- migrate:down
drop table revoked_tokens;
drop table refresh_tokens;
drop table audit_events;
