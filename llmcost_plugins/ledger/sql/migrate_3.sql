-- From schema 2: budgets in tokens and requests, what each bucket was charged by an entry, budgets
-- that are set while running, an audit of changes, thresholds told, and what verifying needs.

ALTER TABLE buckets ADD COLUMN unit TEXT NOT NULL DEFAULT 'usd';
ALTER TABLE holds ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
UPDATE holds SET buckets = (
    SELECT json_group_object(value, holds.amount) FROM json_each(holds.buckets)
);
UPDATE entries SET buckets = (
    SELECT json_group_object(value, entries.cost) FROM json_each(entries.buckets)
);
ALTER TABLE buckets ADD COLUMN filled INTEGER NOT NULL DEFAULT 0;
UPDATE buckets SET filled = spent;
UPDATE buckets SET filled = spent - charged.total
FROM (
    SELECT charge.key AS bucket, sum(charge.value) AS total
    FROM entries, json_each(entries.buckets) AS charge GROUP BY charge.key
) AS charged
WHERE buckets.key = charged.bucket;

-- Budgets set while running; they win over those of code, environment and file. Without a limit: that
-- scope has no budget, whatever those say.
CREATE TABLE budgets (
    scope  TEXT NOT NULL,
    period TEXT NOT NULL,
    unit   TEXT NOT NULL,
    budget TEXT,                        -- JSON object, or NULL
    PRIMARY KEY (scope, period, unit)
) STRICT, WITHOUT ROWID;

-- Who changed what: budgets, and what was erased.
CREATE TABLE changes (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL,
    what   TEXT NOT NULL,
    before TEXT NOT NULL,
    after  TEXT NOT NULL
) STRICT;

-- Which thresholds somebody has been told of, once for all processes.
CREATE TABLE told (
    bucket    TEXT NOT NULL,
    threshold TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (bucket, threshold)
) STRICT, WITHOUT ROWID;

-- Up to where entries were deleted: older sums have no entries any more. One row, or none.
CREATE TABLE purged (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    before INTEGER NOT NULL
) STRICT;
