-- From schema 1: unit prices with every entry, token sums as columns, corrections that say what they
-- correct, and what was learned of models' tokenizers.

ALTER TABLE entries ADD COLUMN prices TEXT NOT NULL DEFAULT '{}';
ALTER TABLE entries ADD COLUMN mends TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN completion_tokens INTEGER NOT NULL DEFAULT 0;
UPDATE entries SET
    prompt_tokens = (
        SELECT coalesce(sum(value), 0) FROM json_each(usage) WHERE key IN
            ('input', 'cache_read', 'cache_write_5m', 'cache_write_1h', 'audio_in')
    ),
    completion_tokens = (
        SELECT coalesce(sum(value), 0) FROM json_each(usage) WHERE key IN
            ('output', 'reasoning', 'audio_out')
    );
DROP VIEW totals_by_scan;
CREATE VIEW totals_by_scan AS SELECT
    at - at % 1800000000 AS slot,
    model, provider,
    coalesce(json_extract(labels, '$.feature'), '') AS feature,
    coalesce(json_extract(labels, '$.team'), '') AS team,
    coalesce(json_extract(labels, '$.project'), '') AS project,
    coalesce(json_extract(labels, '$.user'), '') AS user,
    coalesce(json_extract(labels, '$.session'), '') AS session,
    status,
    count AS calls,
    cost, saved,
    CASE WHEN status = 'correction' THEN 0 ELSE coalesce(preferred_cost - cost, 0) END
        AS fallback_saved,
    prompt_tokens, completion_tokens,
    (trust IN ('estimated', 'inconsistent')) - (mends IN ('estimated', 'inconsistent')) AS inexact,
    (trust = 'unpriced') - (mends = 'unpriced') AS unpriced
FROM entries;
CREATE TABLE learned (
    model   TEXT NOT NULL,
    measure TEXT NOT NULL,
    ratio   INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    PRIMARY KEY (model, measure)
) STRICT, WITHOUT ROWID;
