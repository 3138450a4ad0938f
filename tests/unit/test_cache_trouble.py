"""The cache when something is wrong: the chain goes on, it is logged once and counted."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.cache import CachedAnswer, CompletionCache
from llmcost_plugins.cache.visits import run
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.testing.ledger_contract import NOON

DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path) -> Iterator[CompletionCache]:
    made = CompletionCache(folder, ttl=DAY, patience=timedelta(seconds=5))
    yield made
    made.close()


def key(number: int = 0) -> str:
    return f"{number:064x}"


def entry(answer: Any = "hi", at: datetime = NOON) -> CachedAnswer:
    return CachedAnswer(answer=answer, at=at)


def now() -> datetime:
    return NOON


def ask(cache: CompletionCache, number: int = 0, answer: Any = "hi") -> bool:
    """Visit, answer if nobody else has, and tell whether the answer was there."""
    with run(cache.visit(key(number), now)) as visit:
        if visit.found is not None:
            assert visit.found.answer == answer
            return True
        visit.keep(entry(answer), Labels())
    return False


def test_a_folder_deleted_while_in_use_is_made_anew(cache: CompletionCache, folder: Path) -> None:
    assert [ask(cache), ask(cache)] == [False, True]
    shutil.rmtree(folder)
    ask(cache, 1)
    assert [ask(cache, 1), ask(cache, 1)] == [True, True]
    assert folder.is_dir()
    with closing(sqlite3.connect(folder / "cache.db")) as db:
        assert db.execute("SELECT count(*) FROM Cache").fetchall() == [(1,)]


def test_a_file_replaced_while_in_use_is_used(cache: CompletionCache, folder: Path) -> None:
    ask(cache)
    other = CompletionCache(folder.parent / "other", ttl=DAY)
    ask(other, 7)
    other.close()
    shutil.rmtree(folder)
    shutil.copytree(other.folder, folder)
    ask(cache, 1)
    assert ask(cache, 7)


@pytest.mark.skipif(os.name == "nt", reason="limits of files are POSIX's")
def test_a_full_disk_costs_only_the_saving(
    cache: CompletionCache, caplog: pytest.LogCaptureFixture
) -> None:
    import resource

    ask(cache)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        large = "x" * 1_000_000
        assert [ask(cache, n, large) for n in (1, 1, 2)] == [False] * 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ask(cache)
    assert cache.counts.failed == 3
    assert len(caplog.records) == 1
    assert [ask(cache, 1, "later"), ask(cache, 1, "later")] == [False, True]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_folder_is_a_miss(cache: CompletionCache, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    assert [ask(cache), ask(cache)] == [False, False]
    assert cache.counts.failed > 0


def test_where_nothing_can_be_kept_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CompletionCache(tmp_path / "file" / "cache", ttl=DAY)
    with (
        run(cache.visit(key(), now)) as one,
        run(cache.visit(key(), now)) as other,
        ThreadPoolExecutor() as pool,
    ):
        third = pool.submit(lambda: run(cache.visit(key(), now))).result(timeout=30)
        assert one.found is other.found is third.found is None
    cache.close()


def test_a_value_larger_than_a_quarter_of_the_cache_is_not_stored(folder: Path) -> None:
    cache = CompletionCache(folder, ttl=DAY, size=100_000)
    ask(cache)
    assert not cache.put(key(1), entry("x" * 30_000))
    assert cache.counts.skipped == {"larger than a quarter of the cache": 1}
    assert ask(cache)
    cache.close()


@pytest.mark.parametrize(
    ("later", "found"),
    [
        (timedelta(0), True),
        (timedelta(hours=23), True),
        (timedelta(hours=24), False),
        (timedelta(days=9999), False),
        (timedelta(minutes=-4), True),
        (timedelta(minutes=-6), False),
        (timedelta(days=-9999), False),
    ],
    ids=str,
)
def test_a_clock_that_jumps_makes_no_answer_last_longer(
    cache: CompletionCache, later: timedelta, found: bool
) -> None:
    cache.put(key(), entry())
    assert (cache.get(key(), NOON + later) is not None) is found


@pytest.mark.parametrize(
    "namespace",
    ["", " ", "a/b", "../..", "é\0\n", "\ud800", "{", "{}", "{a b}", "x" * 10_000, "%s"],
)
def test_a_namespace_may_have_any_characters(folder: Path, namespace: str) -> None:
    cache = CompletionCache(folder, ttl=DAY, namespace=namespace)
    other = CompletionCache(folder, ttl=DAY, namespace=f"{namespace}.")
    request = {"prompt": "hi"}
    with run(cache.visit(cache.key(request), now)) as visit:
        visit.keep(entry(), Labels())
    found = cache.get(cache.key(request), NOON)
    assert found is not None
    assert found.namespace == namespace
    assert other.get(other.key(request), NOON) is None
    cache.close()
    other.close()


def test_labels_of_a_namespace_cannot_be_mistaken_for_each_other(folder: Path) -> None:
    cache = CompletionCache(folder, ttl=DAY, namespace="{team}/{user}")
    labels = [
        make_labels({"team": "a/b", "user": "c"}),
        make_labels({"team": "a", "user": "b/c"}),
        make_labels({"team": "{user}", "user": "a"}),
        make_labels({"user": "a"}),
        Labels(),
    ]
    assert len({cache.key({}, one) for one in labels}) == len(labels)
    assert cache.namespace_of(labels[0]) == "a/b/c"


def test_a_version_with_another_format_shares_the_folder(
    cache: CompletionCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"prompt": "hi"}
    cache.put(cache.key(request), entry("ours"))
    newer = CompletionCache(folder, ttl=DAY)
    for module in ("keys", "entries"):
        monkeypatch.setattr(f"llmcost_plugins.cache.{module}.FORMAT", 99)
    newer.put(newer.key(request), entry("theirs"))
    theirs = newer.get(newer.key(request), NOON)
    monkeypatch.undo()
    ours = cache.get(cache.key(request), NOON)
    newer.close()
    assert theirs is not None
    assert ours is not None
    assert (ours.answer, theirs.answer) == ("ours", "theirs")
    assert cache.counts.rejected == 0


def test_patience_ends_and_the_request_is_sent_all_the_same(folder: Path) -> None:
    cache = CompletionCache(folder, ttl=DAY, patience=timedelta(seconds=0.05))
    with run(cache.visit(key(), now)), ThreadPoolExecutor() as pool:
        other = pool.submit(lambda: run(cache.visit(key(), now))).result(timeout=30)
        assert other.found is None
    cache.close()


def test_a_failed_leader_hands_over_to_one_who_waits(cache: CompletionCache) -> None:
    def fail() -> None:
        with run(cache.visit(key(), now)) as visit:
            assert visit.stores
            msg = "the provider failed"
            raise RuntimeError(msg)

    with ThreadPoolExecutor() as pool:
        with pytest.raises(RuntimeError):
            fail()
        assert sorted(pool.map(lambda _: ask(cache), range(6))) == [False] + [True] * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_does_not_lead_what_its_parent_leads(cache: CompletionCache) -> None:
    with run(cache.visit(key(), now)) as visit:
        child = os.fork()
        if child == 0:
            led = cache.flights.claim(key())
            os._exit(1 if led else 0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        visit.keep(entry(), Labels())
    assert ask(cache)
