-- From schema 3: alerts that wait to be sent, and those that were.

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
