"""What a call costs more with us: against the bare framework, and against the same SQL by hand."""

import itertools
import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import FakeListChatModel
from langchain_core.language_models.base import LangSmithParams

from llmcost_langchain import CompletionCache, CostCallbackHandler, FallbackRouter
from llmcost_plugins import CostTracker, Usage
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.labels import make_labels
from llmcost_plugins.pricing import CallSize
from tests.benchmarks.harness import compare, tell

BUDGETS = "global=1000000/month; user:*=100000/day; model:gpt-4o=100000/day"


class PricedFake(FakeListChatModel):
    """A fake model that says it is gpt-4o, so that it has a price."""

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"], params["ls_model_name"] = "openai", "gpt-4o"
        params["ls_max_tokens"] = 100
        return params


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[CostTracker]:
    made = CostTracker.from_env(
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}", budgets=parse_budgets(BUDGETS)
    )
    yield made
    made.close()


def test_handler_on_a_bare_call(tracker: CostTracker) -> None:
    model = PricedFake(responses=["hello there"])
    config: Any = {"callbacks": [CostCallbackHandler(tracker)], "metadata": {"user": "u1"}}
    bare: Any = {"metadata": {"user": "u1"}}
    measured = compare(lambda: model.invoke("hi", bare), lambda: model.invoke("hi", config))
    tell("invoke with handler, three budgets, SQLite", "a bare invoke", measured, "2x")


def test_router_on_a_bare_call(tracker: CostTracker) -> None:
    model = PricedFake(responses=["hello there"])
    router = FallbackRouter(models=[model], tracker=tracker)
    measured = compare(lambda: model.invoke("hi"), lambda: router.invoke("hi"))
    tell("invoke through the router, two budgets, SQLite", "a bare invoke", measured, "3x")


def test_hold_and_settle_against_the_same_sql_by_hand(tracker: CostTracker, tmp_path: Path) -> None:
    ids = itertools.count()
    labels = make_labels({"user": "u1"})
    size, usage = CallSize(1000, 100), Usage(input=500, output=50)

    def ours() -> None:
        spec = CallSpec(f"c{next(ids)}", "gpt-4o", "openai", size, labels)
        tracker.start(spec).finish(usage)

    ours()
    by_hand = _by_hand(tmp_path)
    measured = compare(by_hand, ours)
    tell("hold + settle with three budgets", "the same SQL by hand", measured, "1.5x")


def _by_hand(tmp_path: Path) -> Any:
    """Return a function that runs the statements of one hold and one settle, and nothing else."""
    db = sqlite3.connect(tmp_path / "hand.db", isolation_level=None)
    db.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
        "CREATE TABLE b (key TEXT PRIMARY KEY, spent INT, held INT) WITHOUT ROWID;"
        "CREATE TABLE h (id TEXT PRIMARY KEY, amount INT, lease INT, keys TEXT) WITHOUT ROWID;"
        "CREATE INDEX lease ON h (lease);"
        "CREATE TABLE e (id INTEGER PRIMARY KEY, call TEXT UNIQUE, at INT, cost INT, facts TEXT);"
        "CREATE INDEX at ON e (at);"
        "CREATE TABLE t (slot INT, model TEXT, calls INT, cost INT, PRIMARY KEY (slot, model));"
        "CREATE TABLE p (slot INT, user TEXT, calls INT, cost INT, PRIMARY KEY (slot, user));"
    )
    keys = json.dumps(["global", "user", "model"])
    db.execute("INSERT INTO b SELECT value, 0, 0 FROM json_each(?)", (keys,))
    ids = itertools.count()
    chosen = "key IN (SELECT value FROM json_each(?))"
    facts = "x" * 300

    def run() -> None:
        call = f"c{next(ids)}"
        db.execute("BEGIN IMMEDIATE")
        db.execute("SELECT id FROM h WHERE lease < 0").fetchall()
        db.execute("SELECT 1 FROM h WHERE id = ?", (call,)).fetchone()
        db.execute(f"SELECT * FROM b WHERE {chosen}", (keys,)).fetchall()
        db.execute(f"UPDATE b SET held = held + 1 WHERE {chosen}", (keys,))
        db.execute("INSERT INTO h VALUES (?, 1, 1, ?)", (call, keys))
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM h WHERE id = ? RETURNING amount, keys", (call,)).fetchall()
        db.execute(f"UPDATE b SET held = held - 1, spent = spent + 1 WHERE {chosen}", (keys,))
        db.execute("INSERT INTO e (call, at, cost, facts) VALUES (?, 1, 1, ?)", (call, facts))
        for table in ("t", "p"):
            db.execute(
                f"INSERT INTO {table} VALUES (1, 'm', 1, 1) "
                "ON CONFLICT DO UPDATE SET calls = calls + 1, cost = cost + 1"
            )
        db.execute("COMMIT")

    return run


def test_cache_hit(tmp_path: Path) -> None:
    ours = CompletionCache(CoreCache(tmp_path / "cache", ttl=timedelta(days=1)))
    bare = FakeListChatModel(responses=["hello there"])
    hit = FakeListChatModel(responses=["hello there"], cache=ours)
    memory = FakeListChatModel(responses=["hello there"], cache=InMemoryCache())
    for model in (hit, memory):
        model.invoke("hi")
    measured = compare(lambda: bare.invoke("hi"), lambda: hit.invoke("hi"))
    tell("invoke answered from the disk cache", "a bare invoke", measured, "as near 1x as can be")
    measured = compare(lambda: memory.invoke("hi"), lambda: hit.invoke("hi"))
    tell("the same", "InMemoryCache", measured, "(for comparison)")
    ours.close()
