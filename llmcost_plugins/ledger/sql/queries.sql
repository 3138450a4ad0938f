-- name: expired
SELECT call_id, amount, at, model, requested, provider, run, labels, tags
FROM holds WHERE lease_until <= ?;

-- name: is_known
SELECT EXISTS (SELECT 1 FROM holds WHERE call_id = :call)
    OR EXISTS (SELECT 1 FROM entries WHERE call_id = :call);

-- name: bucket_states
SELECT key, spent, held, holds FROM buckets WHERE key IN (SELECT value FROM json_each(?));

-- name: spent_since
SELECT coalesce(sum(cost), 0) FROM entries
WHERE at >= :starts_at AND at < :resets_at
  AND NOT EXISTS (
    SELECT 1 FROM json_each(:match) AS wanted
    WHERE wanted.value IS NOT CASE wanted.key
        WHEN 'model' THEN entries.model
        WHEN 'provider' THEN entries.provider
        ELSE json_extract(entries.labels, '$.' || wanted.key)
    END
  );

-- name: add_bucket
INSERT INTO buckets (key, scope, pattern, period, starts_at, resets_at, spent)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: hold_in_buckets
UPDATE buckets SET held = held + ?, holds = holds + 1
WHERE key IN (SELECT value FROM json_each(?));

-- name: add_hold
INSERT INTO holds (call_id, amount, lease_until, owner, buckets, at, model, requested, provider,
                   run, labels, tags)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: take_hold
DELETE FROM holds WHERE call_id = ? RETURNING amount, buckets;

-- name: settle_in_buckets
UPDATE buckets SET held = held - :amount, holds = holds - 1, spent = spent + :cost
WHERE key IN (SELECT value FROM json_each(:keys));

-- name: correct_in_buckets
UPDATE buckets SET spent = spent + ? WHERE key IN (SELECT value FROM json_each(?));

-- name: entry_of
SELECT cost, buckets, status, trust FROM entries WHERE call_id = ? AND status <> 'correction';

-- name: add_entry
INSERT INTO entries (call_id, at, finished_at, status, trust, model, requested, served, provider,
                     run, labels, tags, usage, cost, saved, preferred_model, preferred_cost,
                     fingerprint, detail, buckets, prices, mends, prompt_tokens,
                     completion_tokens)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: count_refusal
UPDATE entries SET count = count + 1 WHERE call_id = ? AND status = 'refused';

-- name: add_totals
INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls, cost = cost + excluded.cost, saved = saved + excluded.saved,
    fallback_saved = fallback_saved + excluded.fallback_saved,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    inexact = inexact + excluded.inexact, unpriced = unpriced + excluded.unpriced;

-- name: add_totals_by_person
INSERT INTO totals_by_person VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls, cost = cost + excluded.cost, saved = saved + excluded.saved,
    fallback_saved = fallback_saved + excluded.fallback_saved,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    inexact = inexact + excluded.inexact, unpriced = unpriced + excluded.unpriced;

-- name: learn
INSERT INTO learned (model, measure, ratio, seen) VALUES (?, ?, ?, 1)
ON CONFLICT DO UPDATE SET ratio = max(ratio, excluded.ratio), seen = seen + 1
RETURNING ratio, seen;

-- name: learned
SELECT model, measure, ratio, seen FROM learned;

-- name: entries_after
SELECT id, call_id, at, finished_at, status, trust, model, requested, served, provider, run, labels,
       tags, usage, cost, saved, preferred_model, preferred_cost, fingerprint, detail, count, prices,
       mends
FROM entries WHERE (at, id) > (?, ?) AND at < ? ORDER BY at, id LIMIT 1000;

-- name: open_buckets
SELECT key, scope, pattern, period, resets_at, spent, held, holds FROM buckets
WHERE (resets_at IS NULL OR resets_at > :now) AND (starts_at IS NULL OR starts_at <= :now)
ORDER BY pattern, scope, period;

-- name: sum_totals
SELECT {groups}
    coalesce(sum(CASE WHEN status NOT IN ('refused', 'correction') THEN calls ELSE 0 END), 0),
    coalesce(sum(CASE WHEN status = 'refused' THEN calls ELSE 0 END), 0),
    coalesce(sum(CASE WHEN status = 'cached' THEN calls ELSE 0 END), 0),
    coalesce(sum(cost), 0), coalesce(sum(saved), 0), coalesce(sum(fallback_saved), 0),
    coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
    coalesce(sum(inexact), 0), coalesce(sum(unpriced), 0)
FROM {table} WHERE slot >= ? AND slot < ? {grouping};
