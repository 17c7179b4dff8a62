create extension if not exists pgcrypto;
create type mood as enum ('calm', 'tense');
create domain cents as bigint check (value >= 0);
create schema billing;
create table tenants (id bigint generated always as identity primary key, name text not null unique,
                      mood mood, tags text[], born timestamptz default now());
create table billing."Odd ""Name""" (id uuid primary key, tenant bigint references tenants (id),
                      amount cents, rate numeric(12, 4), body jsonb, raw bytea, note json, ip inet);
create table events (at date not null, n int, text text) partition by range (at);
create table events_1 partition of events for values from ('2026-01-01') to ('2026-07-01');
create table events_2 partition of events for values from ('2026-07-01') to ('2027-01-01');
create table empty_one (a int);
create table no_columns ();
create table schema_migrations (version varchar primary key);
insert into schema_migrations values ('0001'), ('0007');
create index on events (n);
create materialized view totals as select mood, count(*) from tenants group by 1;
create view loud as select upper(name) as name from tenants;
create function bump() returns trigger language plpgsql as $$ begin new.name := new.name || '!'; return new; end $$;
create trigger bump before update on tenants for each row execute function bump();
create sequence loose start 41;
select nextval('loose'), nextval('loose');
select lo_from_bytea(0, '\xdeadbeef');
insert into no_columns default values;
