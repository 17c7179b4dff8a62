-- migrate:up
-- superagent: expand
create table usage (
    request_id        text primary key,
    at                timestamptz not null,
    key_id            text not null,
    endpoint          text not null,
    model             text not null,
    provider          text not null,
    provider_model    text not null,
    input_tokens      bigint not null,
    output_tokens     bigint not null,
    cached_tokens     bigint not null,
    cost_usd          numeric(18, 9) not null,
    latency_ms        double precision not null,
    ttft_ms           double precision,
    cache             text not null,
    outcome           text not null,
    attempts          integer not null,
    stream            boolean not null
);
create index usage_at on usage (at);
create index usage_key_at on usage (key_id, at);

-- Sums per key and month (UTC), kept in the transaction that inserts the rows: budgets and key lists read these.
create table key_usage (
    key_id       text not null,
    month        date not null,
    requests     bigint not null,
    cost_usd     numeric(18, 9) not null,
    last_used_at timestamptz not null,
    primary key (key_id, month)
);

-- migrate:down
drop table key_usage;
drop table usage;
