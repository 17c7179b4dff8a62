-- migrate:up
-- superagent: expand
-- Null: not scored (docs/quality.md).
alter table usage add column quality real;

-- migrate:down
alter table usage drop column quality;
