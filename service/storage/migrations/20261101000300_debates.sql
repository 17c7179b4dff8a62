-- migrate:up
-- superagent: expand
create table debates (
    id           text primary key,
    account      text not null,
    key_id       text not null,
    status       text not null default 'running' check (status in ('running', 'completed', 'failed', 'cancelled')),
    spec         jsonb not null,
    principal    jsonb not null,
    result       jsonb,
    created_at   timestamptz not null default now(),
    deadline     timestamptz not null,
    finished_at  timestamptz,
    -- Who runs it: a node may write only while owner and epoch are its own; every claim raises the epoch.
    owner        text,
    epoch        integer not null default 0,
    lease_until  timestamptz not null default now()
);
create index debates_account on debates (account, created_at desc, id desc);
create index debates_open on debates (lease_until) where status = 'running';

-- One row a step: a turn, a measurement of agreement, the final answer. It is written once and never changed.
create table debate_steps (
    debate_id     text not null references debates (id) on delete cascade,
    id            text not null,
    kind          text not null,
    round         integer not null,
    participant   text not null,
    status        text not null,
    provider      text not null,
    model         text not null,
    attempts      integer not null,
    text          text not null,
    input_tokens  bigint not null,
    output_tokens bigint not null,
    cost_usd      numeric(18, 9) not null,
    seconds       double precision not null,
    error         text not null,
    data          jsonb not null,
    at            timestamptz not null default now(),
    primary key (debate_id, id)
);

-- migrate:down
drop table debate_steps;
drop table debates;
