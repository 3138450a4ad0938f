-- name: outlook
SELECT EXISTS (SELECT 1 FROM holds WHERE lease_until <= :now),
    EXISTS (SELECT 1 FROM holds WHERE call_id = :call)
    OR EXISTS (SELECT 1 FROM entries WHERE call_id = :call);

-- name: expired
SELECT call_id, amount, at, model, requested, provider, run, labels, tags
FROM holds WHERE lease_until <= ?;

-- name: bucket_states
SELECT key, spent, held, holds FROM buckets WHERE key IN (SELECT key FROM json_each(?));

-- name: spent_by_entries
SELECT coalesce(sum(cost), 0),
    coalesce(sum(CASE WHEN status = 'cached' THEN 0 ELSE prompt_tokens + completion_tokens END), 0),
    coalesce(sum(status NOT IN ('cached', 'refused', 'correction')), 0)
FROM entries
WHERE at >= :starts_at AND at < :resets_at
  AND NOT EXISTS (
    SELECT 1 FROM json_each(:match) AS wanted
    WHERE wanted.value IS NOT CASE wanted.key
        WHEN 'model' THEN entries.model
        WHEN 'provider' THEN entries.provider
        ELSE json_extract(entries.labels, '$.' || wanted.key)
    END
  );

-- name: spent_by_totals
SELECT coalesce(sum(cost), 0),
    coalesce(sum(CASE WHEN status = 'cached' THEN 0 ELSE prompt_tokens + completion_tokens END), 0),
    coalesce(sum(CASE WHEN status IN ('cached', 'refused', 'correction') THEN 0 ELSE calls END), 0)
FROM {table} WHERE slot >= :starts_at AND slot < :resets_at {filters};

-- name: join_holds
UPDATE holds SET buckets = json_patch(buckets, json_object(:key,
    CASE :unit WHEN 'usd' THEN amount WHEN 'tokens' THEN tokens ELSE 1 END))
WHERE at >= :starts_at AND at < :resets_at AND call_id <> :but
  AND NOT EXISTS (
    SELECT 1 FROM json_each(:match) AS wanted
    WHERE wanted.value IS NOT CASE wanted.key
        WHEN 'model' THEN holds.model
        WHEN 'provider' THEN holds.provider
        ELSE json_extract(holds.labels, '$.' || wanted.key)
    END
  )
RETURNING CASE :unit WHEN 'usd' THEN amount WHEN 'tokens' THEN tokens ELSE 1 END;

-- name: add_bucket
INSERT INTO buckets (key, scope, pattern, period, starts_at, resets_at, spent, held, holds, unit,
                     filled)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?7);

-- name: hold_in_buckets
UPDATE buckets SET held = held + wanted.value, holds = holds + 1
FROM json_each(?) AS wanted WHERE buckets.key = wanted.key;

-- name: add_hold
INSERT INTO holds (call_id, amount, lease_until, owner, buckets, at, model, requested, provider,
                   run, labels, tags, tokens)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: hold_of
SELECT amount, tokens, buckets FROM holds WHERE call_id = ?;

-- name: change_hold
UPDATE holds SET amount = ?, tokens = ?, buckets = ? WHERE call_id = ?;

-- name: more_in_buckets
UPDATE buckets SET held = held + more.value, holds = holds + (more.key NOT IN
    (SELECT key FROM json_each(:known)))
FROM json_each(:more) AS more WHERE buckets.key = more.key;

-- name: renew
UPDATE holds SET lease_until = :until
WHERE lease_until < :until AND call_id IN (SELECT value FROM json_each(:calls));

-- name: take_hold
DELETE FROM holds WHERE call_id = ? RETURNING amount, tokens, buckets;

-- name: settle_in_buckets
UPDATE buckets SET held = held - hold.value, holds = holds - 1,
    spent = spent + CASE unit WHEN 'usd' THEN :cost WHEN 'tokens' THEN :tokens ELSE :requests END
FROM json_each(:hold) AS hold WHERE buckets.key = hold.key
RETURNING buckets.key, CASE unit WHEN 'usd' THEN :cost WHEN 'tokens' THEN :tokens ELSE :requests END,
    spent;

-- name: lose_in_buckets
UPDATE buckets SET held = held - hold.value, holds = holds - 1, spent = spent + hold.value
FROM json_each(?) AS hold WHERE buckets.key = hold.key;

-- name: release_in_buckets
UPDATE buckets SET held = held - hold.value, holds = holds - 1
FROM json_each(?) AS hold WHERE buckets.key = hold.key;

-- name: charge_in_buckets
UPDATE buckets SET spent = spent + charge.value
FROM json_each(?) AS charge WHERE buckets.key = charge.key;

-- name: units_of
SELECT key, unit FROM buckets WHERE key IN (SELECT key FROM json_each(?));

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

-- name: used_after
SELECT id, at, status, model, requested, served, provider, labels, tags, usage, cost,
       CASE status WHEN 'correction' THEN prices ELSE '' END
FROM entries WHERE (at, id) > (?, ?) AND at < ? ORDER BY at, id LIMIT 1000;

-- name: open_buckets
SELECT key, scope, pattern, period, resets_at, spent, held, holds, unit FROM buckets
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

-- name: open_holds
SELECT call_id, amount, tokens, lease_until, owner, buckets, at, model, requested, provider, run, labels,
       tags
FROM holds ORDER BY at, call_id;

-- name: tell
INSERT INTO told (bucket, threshold, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: add_alert
INSERT INTO alerts (bucket, threshold, at, payload, due_at) VALUES (?1, ?2, ?3, ?4, ?3)
ON CONFLICT DO NOTHING;

-- name: claim_alert
UPDATE alerts SET due_at = :until, tries = tries + 1
WHERE (bucket, threshold) = (
    SELECT bucket, threshold FROM alerts
    WHERE sent_at IS NULL AND due_at <= :now AND at >= :since ORDER BY due_at LIMIT 1
)
RETURNING bucket, threshold, at, payload, sent_at, due_at, tries, failure;

-- name: alert_sent
UPDATE alerts SET sent_at = ?3, failure = '' WHERE bucket = ?1 AND threshold = ?2;

-- name: alert_failed
UPDATE alerts SET due_at = ?3, failure = ?4
WHERE bucket = ?1 AND threshold = ?2 AND sent_at IS NULL;

-- name: next_alert
SELECT min(due_at) FROM alerts WHERE sent_at IS NULL AND at >= ?;

-- name: alerts
SELECT bucket, threshold, at, payload, sent_at, due_at, tries, failure FROM alerts
ORDER BY at, bucket, threshold;

-- name: budgets
SELECT scope, period, unit, budget FROM budgets ORDER BY scope, period, unit;

-- name: set_budget
INSERT INTO budgets (scope, period, unit, budget) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET budget = excluded.budget;

-- name: unset_budget
DELETE FROM budgets WHERE scope = ? AND period = ? AND unit = ?;

-- name: budget_of
SELECT budget FROM budgets WHERE scope = ? AND period = ? AND unit = ?;

-- name: note_change
INSERT INTO changes (at, who, what, before, after) VALUES (?, ?, ?, ?, ?);

-- name: changes
SELECT at, who, what, before, after FROM changes ORDER BY id;

-- name: last_change
SELECT coalesce(max(id), 0) FROM changes;

-- name: drop_bucket
DELETE FROM buckets WHERE key = ? AND holds = 0;
