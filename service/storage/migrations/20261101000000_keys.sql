-- migrate:up
-- superagent: expand
create table api_keys (
    id           text primary key,
    account      text not null,
    name         text not null,
    prefix       text not null,
    hash         bytea not null unique,
    permissions  text[] not null,
    limits       jsonb not null default '{}',
    budget_usd   numeric(14, 6),
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    replaces     text references api_keys (id),
    check (octet_length(hash) = 32)
);
create index api_keys_prefix on api_keys (prefix);
create index api_keys_account on api_keys (account);
create index api_keys_updated on api_keys (updated_at);

-- migrate:down
drop table api_keys;
