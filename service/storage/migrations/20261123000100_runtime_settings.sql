-- migrate:up
-- superagent: expand
-- Settings that were changed while the service runs; a name without a row has its value from the environment.
create table runtime_settings (
    name       text primary key,
    value      bigint not null,
    updated_at timestamptz not null default now(),
    updated_by text not null
);

-- migrate:down
drop table runtime_settings;
