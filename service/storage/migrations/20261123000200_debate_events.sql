-- migrate:up
-- superagent: expand
-- The order in which a debate's steps were stored: its writers hold the debate's row, so numbers only grow.
alter table debate_steps add column seq bigint generated always as identity;
create index debates_finished on debates (finished_at) where status <> 'running';

-- migrate:down
drop index debates_finished;
alter table debate_steps drop column seq;
