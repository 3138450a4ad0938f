-- name: charged
SELECT charge.key, sum(charge.value)
FROM entries, json_each(entries.buckets) AS charge GROUP BY charge.key;

-- name: held
SELECT held.key, sum(held.value), count(*)
FROM holds, json_each(holds.buckets) AS held GROUP BY held.key;

-- name: all_buckets
SELECT key, scope, period, starts_at, unit, filled, spent, held, holds FROM buckets ORDER BY key;

-- name: objects
SELECT type, name, (SELECT group_concat(name, ', ') FROM pragma_table_info(sqlite_master.name))
FROM sqlite_master WHERE name NOT GLOB 'sqlite_*' ORDER BY type, name;

-- name: unreadable
SELECT 'entry', call_id FROM entries
WHERE NOT (json_valid(buckets) AND json_valid(labels) AND json_valid(tags))
UNION ALL
SELECT 'hold', call_id FROM holds
WHERE NOT (json_valid(buckets) AND json_valid(labels) AND json_valid(tags));

-- name: twice
SELECT call_id, count(*) FROM entries
GROUP BY call_id, status = 'correction' HAVING count(*) > 1 ORDER BY call_id;

-- name: orphans
-- The id of the call that a correction by new prices belongs to stands before its mark. While a
-- purge is under way, a correction may outlive its original for a moment.
SELECT call_id FROM entries
WHERE status = 'correction' AND at >= :since AND NOT EXISTS (
    SELECT 1 FROM entries AS original
    WHERE (original.status = 'correction') = 0 AND original.call_id =
        substr(entries.call_id, 1, instr(entries.call_id || :mark, :mark) - 1)
)
ORDER BY call_id;

-- name: held_and_written
SELECT call_id FROM holds WHERE EXISTS (SELECT 1 FROM entries WHERE entries.call_id = holds.call_id)
ORDER BY call_id;

-- name: lines
-- What each entry adds to the sums, with the start of its half hour or of its day.
SELECT {slot} AS slot, model, provider,
    coalesce(json_extract(labels, '$.feature'), '') AS feature,
    coalesce(json_extract(labels, '$.team'), '') AS team,
    coalesce(json_extract(labels, '$.project'), '') AS project,
    coalesce(json_extract(labels, '$.user'), '') AS user,
    coalesce(json_extract(labels, '$.session'), '') AS session,
    status, count AS calls, cost, saved,
    CASE WHEN status = 'correction' THEN 0 ELSE coalesce(preferred_cost - cost, 0) END
        AS fallback_saved,
    prompt_tokens, completion_tokens,
    (trust IN ('estimated', 'inconsistent')) - (mends IN ('estimated', 'inconsistent')) AS inexact,
    (trust = 'unpriced') - (mends = 'unpriced') AS unpriced
FROM {source}

-- name: half_hour_of
at - at % 1800000000

-- name: day_of
(SELECT start FROM temp.days WHERE start <= at ORDER BY start DESC LIMIT 1)

-- name: make_days
CREATE TEMP TABLE days (start INTEGER PRIMARY KEY);

-- name: add_days
INSERT INTO temp.days SELECT value FROM json_each(?);

-- name: span
SELECT (SELECT min(at) FROM entries), (SELECT max(at) FROM entries);

-- name: with_days
json_each(:days) AS day CROSS JOIN entries ON entries.id = CAST(day.key AS INTEGER)

-- name: sums_off
-- By how much the entries exceed the sums that are kept, where they do not agree.
SELECT {groups}, sum(calls), sum(cost), sum(saved), sum(fallback_saved), sum(prompt_tokens),
    sum(completion_tokens), sum(inexact), sum(unpriced)
FROM (
    SELECT {groups}, calls, cost, saved, fallback_saved, prompt_tokens, completion_tokens, inexact,
        unpriced
    FROM ({lines} WHERE at >= :since)
    UNION ALL
    SELECT {groups}, -calls, -cost, -saved, -fallback_saved, -prompt_tokens, -completion_tokens,
        -inexact, -unpriced
    FROM {table} WHERE slot >= :since
)
GROUP BY {groups}
HAVING sum(calls) OR sum(cost) OR sum(saved) OR sum(fallback_saved) OR sum(prompt_tokens)
    OR sum(completion_tokens) OR sum(inexact) OR sum(unpriced);

-- name: sums_kept
SELECT calls, cost, saved, fallback_saved, prompt_tokens, completion_tokens, inexact, unpriced
FROM {table} WHERE ({groups}) = ({marks});

-- name: purged_before
SELECT before FROM purged;

-- name: note_purge
INSERT INTO purged (one, before) VALUES (1, ?)
ON CONFLICT DO UPDATE SET before = max(before, excluded.before);

-- name: older
SELECT count(*) FROM entries WHERE at < ?;

-- name: open_since
SELECT scope, pattern, period, starts_at, resets_at FROM buckets
WHERE resets_at > :now AND starts_at < :before ORDER BY starts_at;

-- name: oldest_after
SELECT id, at FROM entries WHERE (at, id) > (:at, :id) AND at < :before ORDER BY at, id LIMIT :some;

-- name: deletable
-- A correction and what it corrects go together, when all of them are old enough.
SELECT id FROM (
    SELECT id, substr(call_id, 1, instr(call_id || :mark, :mark) - 1) AS call
    FROM entries WHERE id IN (SELECT value FROM json_each(:ids))
) AS old
WHERE NOT EXISTS (
    SELECT 1 FROM entries AS other WHERE other.call_id = old.call AND other.at >= :before
) AND NOT EXISTS (
    SELECT 1 FROM entries AS other
    WHERE other.call_id > old.call || :mark AND other.call_id < old.call || :after_mark
        AND other.at >= :before
);

-- name: fill_up
-- What entries were charged to buckets becomes what those were filled with.
UPDATE buckets SET filled = filled + gone.charge
FROM (
    SELECT charge.key AS bucket, sum(charge.value) AS charge
    FROM entries, json_each(entries.buckets) AS charge
    WHERE entries.id IN (SELECT value FROM json_each(:ids)) GROUP BY charge.key
) AS gone
WHERE buckets.key = gone.bucket AND (:keys IS NULL
    OR buckets.key IN (SELECT value FROM json_each(:keys)));

-- name: delete
DELETE FROM entries WHERE id IN (SELECT value FROM json_each(:ids));

-- name: facts
SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM holds), (SELECT min(at) FROM entries);

-- name: newest
SELECT coalesce(max(id), 0) FROM entries;

-- name: bucket_keys
SELECT key FROM buckets;

-- name: own_sessions
-- Sessions that nobody else has taken part in.
SELECT session FROM totals_by_person
WHERE session IN (SELECT session FROM totals_by_person WHERE user = :user AND session <> '')
GROUP BY session HAVING min(user = :user);

-- name: about
SELECT id FROM entries
WHERE id > :after AND id <= :last AND (
    json_extract(labels, '$.user') = :user
    OR EXISTS (SELECT 1 FROM json_each(entries.buckets) AS charge
               WHERE charge.key IN (SELECT value FROM json_each(:keys)))
)
ORDER BY id LIMIT :some;

-- name: to_erase
SELECT id, at, call_id, status, run, labels, tags, detail, buckets FROM entries
WHERE id IN (SELECT value FROM json_each(:ids));

-- name: erase
UPDATE entries SET run = ?, labels = ?, tags = ?, detail = ?, buckets = ? WHERE id = ?;

-- name: rename_call
UPDATE entries SET call_id = :new || substr(call_id, length(:old) + 1)
WHERE call_id = :old OR (call_id > :old || :mark AND call_id < :old || :after_mark);

-- name: move_sums
-- Add what entries count to the sums by day and person, {sign}1 times.
INSERT INTO totals_by_person
SELECT slot, user, session, status, {sign}sum(calls), {sign}sum(cost), {sign}sum(saved),
    {sign}sum(fallback_saved), {sign}sum(prompt_tokens), {sign}sum(completion_tokens),
    {sign}sum(inexact), {sign}sum(unpriced)
FROM ({lines}) WHERE true GROUP BY slot, user, session, status
ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls, cost = cost + excluded.cost, saved = saved + excluded.saved,
    fallback_saved = fallback_saved + excluded.fallback_saved,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    inexact = inexact + excluded.inexact, unpriced = unpriced + excluded.unpriced;

-- name: merge_sums
INSERT INTO totals_by_person
SELECT slot, :erased, '', status, sum(calls), sum(cost), sum(saved), sum(fallback_saved),
    sum(prompt_tokens), sum(completion_tokens), sum(inexact), sum(unpriced)
FROM totals_by_person WHERE user = :user GROUP BY slot, status
ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls, cost = cost + excluded.cost, saved = saved + excluded.saved,
    fallback_saved = fallback_saved + excluded.fallback_saved,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    inexact = inexact + excluded.inexact, unpriced = unpriced + excluded.unpriced;

-- name: forget_sums
DELETE FROM totals_by_person WHERE user = :user;

-- name: holds
SELECT call_id, labels, tags, buckets FROM holds;

-- name: change_hold
UPDATE holds SET labels = ?, tags = ?, buckets = ? WHERE call_id = ?;

-- name: bucket
SELECT pattern, holds FROM buckets WHERE key = ?;

-- name: drop_bucket
DELETE FROM buckets WHERE key = ?;

-- name: renamed
SELECT count(*) FROM buckets WHERE key GLOB '(erased)|*';

-- name: rename_bucket
UPDATE buckets SET key = ?, scope = ?, pattern = ? WHERE key = ?;

-- name: told
SELECT DISTINCT bucket FROM told;

-- name: forget_told
DELETE FROM told WHERE bucket = ?;

-- name: forget_alerts
DELETE FROM alerts WHERE bucket = ?;

-- name: budget_scopes
SELECT DISTINCT scope FROM budgets;

-- name: forget_budgets
DELETE FROM budgets WHERE scope = ?;

-- name: audit
SELECT id, what, before, after FROM changes;

-- name: change_audit
UPDATE changes SET what = ?, before = ?, after = ? WHERE id = ?;

-- name: note
INSERT INTO changes (at, who, what, before, after) VALUES (?, ?, ?, ?, ?);
