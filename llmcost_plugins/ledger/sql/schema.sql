-- Money is in nano-dollars (1e-9 USD), instants in microseconds since 1970 UTC.

CREATE TABLE entries (
    id             INTEGER PRIMARY KEY,
    call_id        TEXT NOT NULL,
    at             INTEGER NOT NULL,   -- accounting time: when the call was held
    finished_at    INTEGER NOT NULL,
    status         TEXT NOT NULL,
    trust          TEXT NOT NULL,
    model          TEXT NOT NULL,      -- the catalog's key of the requested model
    requested      TEXT NOT NULL,
    served         TEXT,
    provider       TEXT NOT NULL,
    run            TEXT NOT NULL,
    labels         TEXT NOT NULL,      -- JSON object
    tags           TEXT NOT NULL,      -- JSON array
    usage          TEXT NOT NULL,      -- JSON object: meter to tokens
    cost           INTEGER NOT NULL,
    saved          INTEGER NOT NULL,
    preferred_model TEXT,
    preferred_cost INTEGER,
    fingerprint    TEXT NOT NULL,      -- of the prices that were used
    detail         TEXT NOT NULL,
    buckets        TEXT NOT NULL,      -- JSON object: key of each bucket that counted it to how much
    count          INTEGER NOT NULL DEFAULT 1,
    prices         TEXT NOT NULL DEFAULT '{}',  -- JSON object: meter to [quantity, USD for one]
    mends          TEXT NOT NULL DEFAULT '',    -- trust of the entry that a correction corrects
    prompt_tokens     INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One entry a call; a correction is the second (one by new prices has an id of its own).
CREATE UNIQUE INDEX entries_call ON entries (call_id, status = 'correction');
CREATE INDEX entries_at ON entries (at);

CREATE TABLE buckets (
    key       TEXT PRIMARY KEY,
    scope     TEXT NOT NULL,
    pattern   TEXT NOT NULL,
    period    TEXT NOT NULL,
    starts_at INTEGER,
    resets_at INTEGER,
    spent     INTEGER NOT NULL,
    held      INTEGER NOT NULL DEFAULT 0,
    holds     INTEGER NOT NULL DEFAULT 0,
    unit      TEXT NOT NULL DEFAULT 'usd',
    filled    INTEGER NOT NULL DEFAULT 0  -- the part of spent that no entry in the table names
) STRICT, WITHOUT ROWID;

CREATE TABLE holds (
    call_id     TEXT PRIMARY KEY,
    amount      INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    owner       TEXT NOT NULL,
    buckets     TEXT NOT NULL,          -- JSON object: bucket key to what is held there
    at          INTEGER NOT NULL,
    model       TEXT NOT NULL,
    requested   TEXT NOT NULL,
    provider    TEXT NOT NULL,
    run         TEXT NOT NULL,
    labels      TEXT NOT NULL,
    tags        TEXT NOT NULL,
    tokens      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_lease ON holds (lease_until);

-- Sums kept while writing, so that a report does not read the entries: by half hour of UTC for what
-- has few values, by day of the ledger's time zone for users and sessions.
CREATE TABLE totals (
    slot              INTEGER NOT NULL,
    model             TEXT NOT NULL,
    provider          TEXT NOT NULL,
    feature           TEXT NOT NULL,
    team              TEXT NOT NULL,
    project           TEXT NOT NULL,
    status            TEXT NOT NULL,
    calls             INTEGER NOT NULL,
    cost              INTEGER NOT NULL,
    saved             INTEGER NOT NULL,
    fallback_saved    INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    inexact           INTEGER NOT NULL,
    unpriced          INTEGER NOT NULL,
    PRIMARY KEY (slot, model, provider, feature, team, project, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE totals_by_person (
    slot              INTEGER NOT NULL,
    user              TEXT NOT NULL,
    session           TEXT NOT NULL,
    status            TEXT NOT NULL,
    calls             INTEGER NOT NULL,
    cost              INTEGER NOT NULL,
    saved             INTEGER NOT NULL,
    fallback_saved    INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    inexact           INTEGER NOT NULL,
    unpriced          INTEGER NOT NULL,
    PRIMARY KEY (slot, user, session, status)
) STRICT, WITHOUT ROWID;

-- The same columns for groupings that no table keeps, at the price of reading the entries.
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

-- The largest ratio of prompt tokens to the measure of their text that a model has shown, in
-- millionths, and how many calls told.
CREATE TABLE learned (
    model   TEXT NOT NULL,
    measure TEXT NOT NULL,
    ratio   INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    PRIMARY KEY (model, measure)
) STRICT, WITHOUT ROWID;

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

-- What is told over the network, at least once: written together with the row of `told`.
CREATE TABLE alerts (
    bucket    TEXT NOT NULL,
    threshold TEXT NOT NULL,
    at        INTEGER NOT NULL,
    payload   TEXT NOT NULL,            -- JSON object
    sent_at   INTEGER,                  -- NULL while it waits
    due_at    INTEGER NOT NULL,         -- not tried before: a back-off, or someone is trying
    tries     INTEGER NOT NULL DEFAULT 0,
    failure   TEXT NOT NULL DEFAULT '', -- of the last try
    PRIMARY KEY (bucket, threshold)
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_due ON alerts (due_at) WHERE sent_at IS NULL;
