import json
import logging
import os
import pickle
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import diskcache
import pytest
from diskcache.core import MODE_PICKLE, MODE_RAW

from llmcost_plugins.budgets import Subject
from llmcost_plugins.cache import (
    Asked,
    CacheCounts,
    CachedAnswer,
    CacheRules,
    CompletionCache,
    upkeep,
)
from llmcost_plugins.labels import make_labels
from llmcost_plugins.testing.ledger_contract import NOON

ANSWER = {"text": "Zoë says hi", "usage": {"input": 3}}

SUBJECT = Subject("gpt-4o", "openai", make_labels({"user": "u1"}), "r")


def put(cache: CompletionCache, key: str, answer: Any = ANSWER) -> bool:
    return cache.put(key, CachedAnswer(answer=answer, at=NOON))


def got(cache: CompletionCache, key: str, now: datetime = NOON) -> Any:
    found = cache.get(key, now)
    return None if found is None else found.answer


class Payload:
    """A pickle that touches a file when it is loaded."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.touched,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path) -> Iterator[CompletionCache]:
    cache = CompletionCache(folder, ttl=timedelta(days=1))
    yield cache
    cache.close()


def plant(folder: Path, key: Any, value: Any, *, raw: int = 1, mode: int = MODE_RAW) -> None:
    """Put a row into the file behind the back of the cache."""
    with closing(sqlite3.connect(folder / "cache.db")) as db, db:
        db.execute("DELETE FROM Cache WHERE key = ?", (key,))
        db.execute(
            "INSERT INTO Cache (key, raw, store_time, access_time, tag, mode, filename, value)"
            " VALUES (?, ?, 0, 0, NULL, ?, NULL, ?)",
            (key, raw, mode, value),
        )


def rows(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / "cache.db")) as db:
        return db.execute("SELECT key FROM Cache").fetchall()


def packed(envelope: object) -> bytes:
    body = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
    return blake2b(body, digest_size=16).digest() + body


def test_a_stored_answer_is_given_back(cache: CompletionCache, folder: Path) -> None:
    key = cache.key({"prompt": "hi"})
    assert got(cache, key) is None
    assert put(cache, key)
    assert got(cache, key) == ANSWER
    cache.close()
    assert got(CompletionCache(folder, ttl=timedelta(days=1)), key) == ANSWER
    assert cache.counts == CacheCounts(hits=1, misses=1, stored=1)


def test_the_order_of_a_requests_keys_does_not_matter(cache: CompletionCache) -> None:
    one = {"model": "m", "options": {"a": 1, "b": [1, 2]}}
    other = {"options": {"b": [1, 2], "a": 1}, "model": "m"}
    assert cache.key(one) == cache.key(other)


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "hi "},
        {"prompt": ["hi"]},
        {"prompt": "hi", "temperature": 0},
        {"prompt": "hi", "n": None},
        {"Prompt": "hi"},
    ],
)
def test_whatever_differs_in_a_request_gives_another_key(
    cache: CompletionCache, other: dict[str, Any]
) -> None:
    assert cache.key({"prompt": "hi"}) != cache.key(other)


def test_a_lone_surrogate_has_a_key(cache: CompletionCache) -> None:
    assert cache.key({"prompt": "\ud800"}) != cache.key({"prompt": "\ud801"})


@pytest.mark.parametrize("value", [object(), {1}, {(1,): 2}, float("nan"), float("inf")])
def test_a_request_without_canonical_json_is_refused(cache: CompletionCache, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        cache.key({"prompt": value})


def test_a_namespace_keeps_tenants_apart(folder: Path) -> None:
    ours, theirs = (
        CompletionCache(folder, ttl=timedelta(days=1), namespace=name) for name in ("a", "b")
    )
    request = {"prompt": "hi"}
    put(ours, ours.key(request))
    assert got(theirs, theirs.key(request)) is None
    assert got(ours, ours.key(request)) == ANSWER


def test_an_answer_is_forgotten_after_its_time_to_live(folder: Path) -> None:
    cache = CompletionCache(folder, ttl=timedelta(0))
    put(cache, "key")
    assert got(cache, "key") is None
    assert cache.counts == CacheCounts(misses=1, stored=1)


def test_an_answer_that_is_no_json_is_not_stored(cache: CompletionCache) -> None:
    assert not put(cache, "key", {"text": object()})
    assert cache.counts.failed == 1


def test_clearing_forgets_everything_and_says_how_much(cache: CompletionCache) -> None:
    for key in "abc":
        put(cache, key)
    assert cache.clear() == 3
    assert got(cache, "a") is None


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_what_is_created_belongs_to_its_user_alone(
    cache: CompletionCache, folder: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        put(cache, "key")
        assert got(cache, "key") == ANSWER
        files = list(folder.iterdir())
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert {file.name for file in files} == {
            "cache.db",
            "cache.db-wal",
            "cache.db-shm",
        }
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_large_answer_lies_in_the_database_too(cache: CompletionCache, folder: Path) -> None:
    answer = {"text": "x" * 5_000_000}
    assert put(cache, "key", answer)
    assert got(cache, "key") == answer
    assert all(file.name.startswith("cache.db") for file in folder.rglob("*"))


def test_the_oldest_answers_go_when_the_size_is_reached(folder: Path) -> None:
    size = 1_000_000
    cache = CompletionCache(folder, ttl=timedelta(days=1), size=size)
    for n in range(100):
        put(cache, f"key-{n}", {"text": "x" * 50_000})
    assert got(cache, "key-0") is None
    assert got(cache, "key-99") is not None
    cache.close()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1.5 * size


def test_threads_share_a_cache(cache: CompletionCache) -> None:
    def work(n: int) -> bool:
        put(cache, f"key-{n}", n)
        return bool(got(cache, f"key-{n}") == n)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(200)))
    assert cache.counts == CacheCounts(hits=200, stored=200)


def test_a_planted_pickle_is_not_run(cache: CompletionCache, folder: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    payload = pickle.dumps(Payload(touched))
    put(cache, "key")
    plant(folder, "key", payload, mode=MODE_PICKLE)
    # The same row runs in diskcache's own cache, so the payload is a working one.
    with diskcache.Cache(str(folder)) as theirs:
        theirs.get("key")
    assert touched.exists()
    touched.unlink()

    assert got(cache, "key") is None
    assert not touched.exists()
    assert cache.counts.rejected == 1
    assert rows(folder) == []


def test_a_planted_pickled_key_is_not_run(
    cache: CompletionCache, folder: Path, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    put(cache, "key")
    plant(folder, pickle.dumps(Payload(touched)), b"value", raw=0)
    with diskcache.Cache(str(folder)) as theirs:
        list(theirs)
    assert touched.exists()
    touched.unlink()

    assert got(cache, "key") == ANSWER
    assert put(cache, "key")
    assert cache.clear() == 2
    assert not touched.exists()


COLUMNS = ("key", "raw", "store_time", "expire_time", "access_time", "access_count", "tag", "size")


@pytest.mark.parametrize("mode", [0, MODE_RAW, 2, 3, MODE_PICKLE])
@pytest.mark.parametrize("column", [*COLUMNS, "mode", "filename", "value", "Settings.value"])
def test_a_pickle_planted_in_any_column_is_not_run(
    cache: CompletionCache, folder: Path, tmp_path: Path, column: str, mode: int
) -> None:
    touched = tmp_path / "touched"
    for key in ("key", "other"):
        put(cache, key)
    cache.close()
    payload = pickle.dumps(Payload(touched))
    with closing(sqlite3.connect(folder / "cache.db")) as db, db:
        if column == "Settings.value":
            db.execute("UPDATE Settings SET value = ? WHERE key = 'hits'", (payload,))
        else:
            db.execute("UPDATE Cache SET mode = ?, raw = 0 WHERE key = 'key'", (mode,))
            sql = f"UPDATE Cache SET {column} = ? WHERE key = 'key'"  # noqa: S608 - named above
            db.execute(sql, (payload,))
    opened = CompletionCache(folder, ttl=timedelta(days=1))
    for _ in range(2):
        assert got(opened, "key") in (None, "again", ANSWER)
        opened.put("key", CachedAnswer(answer="again", at=NOON))
    assert got(opened, "other") == ANSWER
    opened.close()
    list(upkeep.rows(folder, 10**9))
    upkeep.remove(folder, 10**9, lambda row: bool(row.fault))
    opened.clear()
    opened.close()
    assert not touched.exists()


@pytest.mark.parametrize("mode", [1, 2, 3, MODE_PICKLE, 99])
def test_a_file_that_a_planted_row_names_is_neither_read_nor_removed(
    cache: CompletionCache, folder: Path, tmp_path: Path, mode: int
) -> None:
    put(cache, "key")
    victim, touched = tmp_path / "victim", tmp_path / "touched"
    victim.write_bytes(pickle.dumps(Payload(touched)))
    with closing(sqlite3.connect(folder / "cache.db")) as db, db:
        db.execute("UPDATE Cache SET mode = ?, value = NULL, filename = '../victim'", (mode,))
    assert got(cache, "key") is None
    assert cache.counts.rejected == 1
    assert rows(folder) == []
    assert victim.exists()
    assert not touched.exists()


GOOD = {
    "v": 2,
    "key": "key",
    "at": "2026-03-10T12:00:00+00:00",
    "ns": "",
    "model": "gpt-4o",
    "provider": None,
    "served": None,
    "feature": "",
    "usage": {"input": 3},
    "trust": "provider",
    "cost": 7500,
    "answer": "hi",
}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"short",
        packed(GOOD)[:-1],
        packed(GOOD)[1:],
        b"\0" * 16 + json.dumps(GOOD).encode(),
        packed({**GOOD, "v": 1}),
        packed({**GOOD, "v": 3}),
        packed({**GOOD, "key": "other"}),
        packed({**GOOD, "usage": {"gold": 3}}),
        packed({**GOOD, "usage": {"input": "3"}}),
        packed({**GOOD, "usage": 3}),
        packed({**GOOD, "trust": "none"}),
        packed({**GOOD, "at": "2026-03-10T12:00:00"}),
        packed({**GOOD, "at": 3}),
        packed({**GOOD, "model": 3}),
        packed({**GOOD, "served": 3}),
        packed({**GOOD, "cost": "3"}),
        packed({"v": 2, "key": "key"}),
        packed({"answer": "hi"}),
        packed([1, 2]),
        packed("text"),
        packed(b"no json"),
        packed(b"\xff\xfe"),
        packed(b"[" * 100_000),
        "text",
        7,
        None,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_damaged_or_foreign_row_is_a_miss_counted_and_removed(
    cache: CompletionCache, folder: Path, value: object
) -> None:
    put(cache, "key")
    plant(folder, "key", value)
    assert got(cache, "key") is None
    assert cache.counts == CacheCounts(misses=1, stored=1, rejected=1)
    assert rows(folder) == []
    assert put(cache, "key")
    assert got(cache, "key") == ANSWER


def test_a_row_like_ours_is_accepted(cache: CompletionCache, folder: Path) -> None:
    put(cache, "key")
    plant(folder, "key", packed(GOOD))
    assert got(cache, "key") == "hi"


def unusable(tmp_path: Path, kind: str) -> Path:
    folder = tmp_path / "cache"
    if kind == "a file in the way":
        folder.write_text("")
    elif kind == "no such place":
        return Path("/proc/llmcost/cache")
    else:
        folder.mkdir()
        (folder / "cache.db").write_bytes(b"damaged" * 1000)
    return folder


@pytest.mark.parametrize("kind", ["a file in the way", "no such place", "damaged"])
def test_a_cache_that_cannot_be_used_is_a_miss_logged_once_and_counted(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = unusable(tmp_path, kind)
    cache = CompletionCache(folder, ttl=timedelta(days=1))
    with caplog.at_level(logging.WARNING, "llmcost_plugins"):
        for _ in range(3):
            assert got(cache, "key") is None
            assert not put(cache, "key")
    cache.close()
    assert cache.counts == CacheCounts(misses=3, failed=6)
    (record,) = caplog.records
    assert repr(str(folder)) in record.getMessage()


def test_one_answer_can_be_removed(cache: CompletionCache) -> None:
    put(cache, "a")
    put(cache, "b")
    assert cache.delete("a")
    assert not cache.delete("a")
    assert (got(cache, "a"), got(cache, "b")) == (None, ANSWER)


def test_a_pickled_cache_is_the_same_folder_with_the_same_settings(folder: Path) -> None:
    made = CompletionCache(
        folder, ttl=timedelta(hours=1), namespace="a", after_tools=True, skip=iter(["user:*"])
    )
    put(made, "k")
    copy = pickle.loads(pickle.dumps(made))
    assert got(copy, "k") == ANSWER
    assert got(copy, "k", NOON + timedelta(hours=2)) is None
    assert copy.key({"x": 1}) == made.key({"x": 1})
    asked = Asked(answers_tools=True)
    assert copy.rules.reason_against(asked, lambda: SUBJECT, NOON) == "a rule says so"
    made.close()
    copy.close()


def test_results_of_tools_are_cached_where_that_is_switched_on() -> None:
    asked = Asked(answers_tools=True)
    assert CacheRules().reason_against(asked, lambda: SUBJECT, NOON) == "results of tools"
    assert not CacheRules(after_tools=True).reason_against(asked, lambda: SUBJECT, NOON)
