"""The completion cache beside LangChain's own, in the same run."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from llmcost_langchain import CompletionCache, FallbackRouter
from llmcost_plugins import CostTracker
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.cache import CachedAnswer
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.cache.entries import pack
from tests.benchmarks.bench_calls import BUDGETS, PricedFake
from tests.benchmarks.harness import compare, tell

FEW, MANY = 1_000, 1_000_000
ANSWER = AIMessage(
    "It is about 384,400 km away. " * 10,
    response_metadata={"model_name": "gpt-4o-2024-08-06", "finish_reason": "stop"},
    usage_metadata={"input_tokens": 500, "output_tokens": 100, "total_tokens": 600},
)
STORED: list[Any] = [ChatGeneration(message=ANSWER)]
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PROMPT = "How far is the moon? " * 40


@pytest.fixture
def core(tmp_path: Path) -> Iterator[CoreCache]:
    made = CoreCache(tmp_path / "cache", ttl=timedelta(days=1))
    yield made
    made.close()


def sqlite_cache(folder: Path) -> BaseCache:
    community = pytest.importorskip("langchain_community.cache")
    made: BaseCache = community.SQLiteCache(str(folder / "langchain.db"))
    return made


def in_memory(_: Path) -> BaseCache:
    return InMemoryCache()


@pytest.mark.parametrize("other", [in_memory, sqlite_cache])
def test_look_up_and_store(
    core: CoreCache, tmp_path: Path, other: Callable[[Path], BaseCache]
) -> None:
    ours, theirs = CompletionCache(core), other(tmp_path)
    name, numbers = type(theirs).__name__, count()
    for cache in (ours, theirs):
        cache.update(PROMPT, "model", STORED)
    measured = compare(lambda: theirs.lookup(PROMPT, "model"), lambda: ours.lookup(PROMPT, "model"))
    tell("look-up and decoding", name, measured, "60 us")
    measured = compare(
        lambda: theirs.update(f"{PROMPT}{next(numbers)}", "model", STORED),
        lambda: ours.update(f"{PROMPT}{next(numbers)}", "model", STORED),
    )
    tell("a store", name, measured, "1x of SQLiteCache")


@pytest.mark.parametrize("other", [in_memory, sqlite_cache])
def test_an_invoke_that_hits(
    core: CoreCache, tmp_path: Path, other: Callable[[Path], BaseCache]
) -> None:
    theirs = other(tmp_path)
    hit = FakeListChatModel(responses=["hello there"], cache=CompletionCache(core))
    base = FakeListChatModel(responses=["hello there"], cache=theirs)
    for model in (hit, base):
        model.invoke("hi")
    measured = compare(lambda: base.invoke("hi"), lambda: hit.invoke("hi"))
    tell(
        "invoke answered from the disk cache", type(theirs).__name__, measured, "1x of SQLiteCache"
    )


def test_a_hit_of_the_router(core: CoreCache, tmp_path: Path) -> None:
    bare = PricedFake(responses=["hello there"])
    tracker = CostTracker.from_env(
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}", budgets=parse_budgets(BUDGETS)
    )
    router = FallbackRouter(models=[bare], tracker=tracker, cache=CompletionCache(core))
    router.invoke("hi")
    measured = compare(lambda: bare.invoke("hi"), lambda: router.invoke("hi"))
    tell("a hit of the router, with its entry", "a bare invoke", measured, "1x")
    assert core.counts.misses == 1
    tracker.close()


def fill(cache: CoreCache, number: int) -> None:
    """Store that many answers, as diskcache would, in one transaction."""
    cache.put(key(0), CachedAnswer(answer="hi", at=NOW))
    row = "INSERT INTO Cache (key, raw, store_time, expire_time, access_time, mode, value)"
    with closing(sqlite3.connect(cache.folder / "cache.db")) as db, db:
        db.executemany(
            f"{row} VALUES (?, 1, ?, 9e9, 0, 1, ?)",
            (
                (key(n), n, pack(key(n), CachedAnswer(answer="hi", at=NOW)))
                for n in range(1, number)
            ),
        )


def key(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**256:064x}"


def test_a_million_entries_are_as_fast_as_a_thousand(tmp_path: Path) -> None:
    few, many = (CoreCache(tmp_path / name, ttl=timedelta(days=1)) for name in ("few", "many"))
    fill(few, FEW)
    fill(many, MANY)
    numbers = count(2)

    def get(cache: CoreCache, size: int) -> None:
        assert cache.get(key(next(numbers) * 7919 % size), NOW) is not None

    def put(cache: CoreCache) -> None:
        assert cache.put(key(MANY + next(numbers)), CachedAnswer(answer="hi", at=NOW))

    measured = compare(lambda: get(few, FEW), lambda: get(many, MANY))
    tell("get among a million", "a thousand", measured, "2x")
    measured = compare(lambda: put(few), lambda: put(many))
    tell("put among a million", "a thousand", measured, "2x")
    few.close()
    many.close()
