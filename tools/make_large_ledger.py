"""Make a ledger with many entries, for measuring.

    python tools/make_large_ledger.py LEDGER.db COUNT [--until 2026-04-01] [--days 31]

The calls are spread evenly over the days before *until* (UTC): 4 models, 5 features of 3 teams,
100 users, each call priced as the price map did it once. The sums that a ledger keeps are filled as
well, so that ``llmcost ledger verify`` finds nothing. Ten million entries take about a minute and
about 2.5 GB. The calls are added to a ledger that is there already; do that once.
"""

import argparse
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.ledger.slots import micros

BATCH = 500_000
CALLS = """
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last),
models (m, model, cost) AS (VALUES (0, 'gpt-4o', 1750000), (1, 'gpt-4o-mini', 105000),
                                   (2, 'gpt-4.1', 1400000), (3, 'gpt-4.1-mini', 280000)),
calls AS (
    SELECT i, :start + i * :step AS at, model, cost, 'f' || (i / :models % :features) AS feature,
           't' || (i / :models % :features % 3) AS team,
           'u' || (i / (:models * :features) % 100) AS user
    FROM n JOIN models ON m = i % :models
)
"""
ENTRIES = f"""
INSERT INTO entries (call_id, at, finished_at, status, trust, model, requested, provider, run,
                     labels, tags, usage, cost, saved, fingerprint, detail, buckets,
                     prompt_tokens, completion_tokens)
{CALLS}
SELECT printf('large-%012d', i), at, at, 'ok', 'provider', model, model, 'openai', '',
       '{{"feature":"' || feature || '","team":"' || team || '","user":"' || user || '"}}', '[]',
       '{{"input":500,"output":50}}', cost, 0, 'f', '', '{{}}', 500, 50
FROM calls
"""  # noqa: S608 - no values from outside
SUMS = "count(*), sum(cost), 0, 0, count(*) * 500, count(*) * 50, 0, 0"
TOTALS = f"""
INSERT INTO totals
{CALLS}
SELECT at - at % 1800000000, model, 'openai', feature, team, '', 'ok', {SUMS}
FROM calls GROUP BY 1, 2, 4, 5
"""  # noqa: S608 - no values from outside
TOTALS_BY_PERSON = f"""
INSERT INTO totals_by_person
{CALLS}
SELECT at - at % 86400000000, user, '', 'ok', {SUMS} FROM calls GROUP BY 1, 2
"""  # noqa: S608 - no values from outside


def fill(  # noqa: PLR0913 - keyword-only, with defaults
    path: Path, count: int, *, until: datetime, days: int, models: int = 4, features: int = 5
) -> None:
    """Add *count* entries of the *days* before *until* to the ledger; make it, where there is none.

    Args:
        path: the ledger's file.
        count: how many.
        until: the instant after the last one; the start of a day in UTC.
        days: how many days they are spread over.
        models: how many models are called, at most 4.
        features: how many features call each.
    """
    with open_ledger(f"sqlite:///{path}") as ledger:
        ledger.sweep(until)
    span = timedelta(days=days)
    step = max(1, span // timedelta(microseconds=count))
    facts = {"start": micros(until - span), "step": step, "models": models, "features": features}
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")  # made again when the machine fails
        for first in range(0, count, BATCH):
            last = min(first + BATCH, count) - 1
            with db:
                db.execute(ENTRIES, {**facts, "first": first, "last": last})
        with db:
            for statement in (TOTALS, TOTALS_BY_PERSON):
                db.execute(statement, {**facts, "first": 0, "last": count - 1})
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--until", type=_day, default=datetime(2026, 4, 1, tzinfo=UTC))
    parser.add_argument("--days", type=int, default=31)
    asked = parser.parse_args(arguments)
    if asked.count < 1 or asked.days < 1:
        parser.error("COUNT and --days must be 1 or more")
    fill(asked.path, asked.count, until=asked.until, days=asked.days)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
