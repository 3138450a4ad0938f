import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins import Usage
from llmcost_plugins.alerts.outbox import KEPT_TRYING
from llmcost_plugins.budgets import Budget, parse_budgets
from llmcost_plugins.checkup import Checkup, Fact, examine
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.ledger.database import SCHEMA_VERSION
from llmcost_plugins.pricing.layouts import pack
from llmcost_plugins.settings import Settings
from llmcost_plugins.testing import FakeClock
from tests.unit.trackers import NOON, make_tracker, spec

USED = Usage(input=1000, output=100)
posix_only = pytest.mark.skipif(os.name != "posix", reason="there are no such permissions")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder / "ledger.db"


@pytest.fixture
def seen(place: Path) -> Callable[..., Checkup]:
    def look(now: datetime = NOON, **settings: Any) -> Checkup:
        return examine(Settings.from_env(ledger=f"sqlite:///{place}", **settings), now)

    return look


@pytest.fixture
def store(place: Path) -> Any:
    with open_ledger(f"sqlite:///{place}") as store:
        yield store


Look = Callable[..., Checkup]


def fact(checkup: Checkup, section: str, name: str) -> Fact:
    (found,) = (one for one in checkup.facts if (one.section, one.name) == (section, name))
    return found


def found(checkup: Checkup) -> list[str]:
    assert all(one.remedy for one in checkup.findings)
    return [f"{one.section}: {one.name}" for one in checkup.findings]


def test_a_sound_ledger_has_no_findings(seen: Look, store: Ledger, clock: FakeClock) -> None:
    make_tracker(store, clock).start(spec()).finish(USED)
    checkup = seen()
    assert (found(checkup), checkup.unreadable) == ([], "")
    assert fact(checkup, "ledger", "writable").value == "yes"
    assert fact(checkup, "ledger", "schema").value.startswith(f"{SCHEMA_VERSION} ")
    assert "1 entries" in fact(checkup, "ledger", "size").value
    assert fact(checkup, "records", "unpriced").value == "none in 30 days"


def test_no_ledger_is_made_and_no_network_asked(
    seen: Look, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    checkup = seen(alert_webhook="https://alerts.example.com/x", alert_secret="word")
    assert found(checkup) == []
    assert "nothing is recorded" in fact(checkup, "ledger", "size").value
    assert list(place.parent.iterdir()) == []


def test_settings_say_where_they_come_from_and_no_secret(
    seen: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMCOST_ALERT_SECRET", "hush-hush")
    monkeypatch.setenv("LLMCOST_ALERT_WEBHOOK", "https://me:pass@hooks.example.com/T0/key?k=v")
    monkeypatch.setenv("LLMCOST_CACHE_TTL", "1000000.5")
    checkup = seen(unknown_model="ceiling:10,30.5")
    named = [
        fact(checkup, "settings", name)
        for name in ("alert_secret", "alert_webhook", "cache_ttl", "unknown_model", "prices")
    ]
    assert [(one.value, one.source) for one in named] == [
        ("set, not shown", "environment"),
        ("https://hooks.example.com/…", "environment"),
        ("1000000.5 s", "environment"),
        ("ceiling:10,30.5", "code"),
        ("-", "default"),
    ]
    assert not any("hush" in str(one) or "key" in one.value for one in checkup.facts)


def test_every_setting_is_shown(seen: Look) -> None:
    shown = {one.name for one in seen().facts if one.section == "settings"}
    assert shown == {*Settings.model_fields, "enabled"}


def test_a_switch_that_is_neither_on_nor_off_is_found(
    seen: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMCOST_ENABLED", "perhaps")
    assert found(seen()) == ["settings: enabled"]


@posix_only
def test_a_ledger_that_others_can_read_or_replace_is_found(
    seen: Look, store: Ledger, clock: FakeClock, place: Path
) -> None:
    make_tracker(store, clock).record_usage("gpt-4o", USED)
    store.close()
    place.chmod(0o644)
    place.parent.chmod(0o770)
    checkup = seen()
    assert found(checkup)[:1] == ["ledger: mode of ledger.db"]
    assert found(checkup)[-1:] == ["ledger: mode of its folder"]
    assert fact(checkup, "ledger", "mode of ledger.db").remedy == f"chmod 600 {str(place)!r}"


def test_a_locked_ledger_is_found(seen: Look, store: Ledger, clock: FakeClock, place: Path) -> None:
    make_tracker(store, clock).record_usage("gpt-4o", USED)
    with closing(sqlite3.connect(place, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert found(seen()) == ["ledger: writable"]


@pytest.fixture
def own_place(unprivileged: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a user without rights a home, too."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(unprivileged))
    return unprivileged


@posix_only
def test_a_ledger_that_may_only_be_read_is_found(own_place: Path, clock: FakeClock) -> None:
    place = own_place / "own" / "ledger.db"
    with open_ledger(f"sqlite:///{place}") as store:
        make_tracker(store, clock).record_usage("gpt-4o", USED)
    place.chmod(0o400)
    checkup = examine(Settings.from_env(ledger=f"sqlite:///{place}"), NOON)
    assert (found(checkup), checkup.unreadable) == (["ledger: writable"], "")


@posix_only
def test_a_place_where_no_ledger_can_be_made_is_found(own_place: Path) -> None:
    folder = own_place / "folder"
    folder.mkdir(mode=0o555)
    closed = Settings.from_env(ledger=f"sqlite:///{folder}/a/ledger.db")
    assert found(examine(closed, NOON)) == ["ledger: writable"]
    folder.chmod(0)
    checkup = examine(closed, NOON)
    assert (found(checkup), bool(checkup.unreadable)) == (["ledger: readable"], True)


def test_names_that_no_file_can_have_are_found(seen: Look, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300)
    assert found(seen(cache_dir=long, spool=long)) == ["cache: size"]


def test_an_older_ledger_is_found_and_left_as_it_is(
    seen: Look, store: Ledger, clock: FakeClock, place: Path
) -> None:
    make_tracker(store, clock).record_usage("gpt-4o", USED)
    store.close()
    with closing(sqlite3.connect(place)) as db:
        db.execute("PRAGMA user_version = 2")
    assert found(seen()) == ["ledger: file"]
    with closing(sqlite3.connect(place)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    place.write_bytes(b"")
    assert found(seen()) == ["ledger: file"]
    assert place.read_bytes() == b""


@pytest.mark.parametrize("content", [b"no database" * 100, b""], ids=["damaged", "folder"])
def test_a_ledger_that_cannot_be_read_is_found_among_the_rest(
    seen: Look, place: Path, content: bytes
) -> None:
    if content:
        place.write_bytes(content)
    else:
        place.mkdir()
    checkup = seen()
    assert (found(checkup), bool(checkup.unreadable)) == (["ledger: readable"], True)
    assert fact(checkup, "cache", "size").value == "nothing is cached yet"


def test_holds_whose_lease_has_ended_are_found_and_not_swept(
    seen: Look, store: Ledger, clock: FakeClock
) -> None:
    make_tracker(store, clock).start(spec())
    assert found(seen()) == []
    assert found(seen(NOON + timedelta(hours=1))) == ["ledger: expired holds"]
    assert len(store.holds()) == 1


def test_lost_calls_are_news_for_a_day(seen: Look, store: Ledger, clock: FakeClock) -> None:
    make_tracker(store, clock).start(spec())
    store.sweep(NOON + timedelta(hours=1))
    assert found(seen(NOON + timedelta(hours=2))) == ["records: lost"]
    later = seen(NOON + timedelta(days=2))
    assert found(later) == []
    assert fact(later, "records", "lost").value == "1 in 30 days, 0 in the last"


def test_models_without_a_price_are_found_for_30_days(
    seen: Look, store: Ledger, clock: FakeClock
) -> None:
    make_tracker(store, clock).record_usage("house-model-of-nobody", USED)
    checkup = seen()
    assert found(checkup) == ["records: unpriced"]
    assert "house-model-of-nobody" in checkup.findings[0].finding
    assert found(seen(NOON + timedelta(days=31))) == []


def test_a_budget_that_the_ledger_changes_is_found(seen: Look, store: Ledger) -> None:
    mine = parse_budgets("global=5/day; user:*=1/day; run=1")
    for changed in (Budget("global", 7, "day"), Budget("team:a", 3)):
        store.set_budget(changed.key, changed, who="me", at=NOON)
    gone = mine[1].key
    store.set_budget(gone, None, who="me", at=NOON)
    checkup = seen(budgets=mine)
    assert found(checkup) == ["budgets: global per day in usd", "budgets: user:* per day in usd"]
    assert "global=5/day:fallback" in checkup.findings[0].finding
    assert checkup.findings[1].value == "none"
    sources = {one.name: one.source for one in checkup.facts if one.section == "budgets"}
    assert sources["run per total in usd"] == "code"
    assert sources["team:a per total in usd"] == "ledger"
    store.set_budget(mine[0].key, mine[0], who="me", at=NOON)
    store.unset_budget(gone, who="me", at=NOON)
    assert found(seen(budgets=mine)) == []


def test_what_waits_in_the_spool_is_found(seen: Look, place: Path, clock: FakeClock) -> None:
    folders = Settings.from_env(ledger=f"sqlite:///{place}").spool_folders()
    place.mkdir()
    with open_ledger(f"sqlite:///{place}") as store:
        tracker = make_tracker(store, clock, spool=folders)
        for _ in range(3):
            tracker.record_usage("gpt-4o", USED)
    place.rmdir()
    (folders[0] / "host-1.damaged").write_text("{\n")
    checkup = seen()
    assert found(checkup) == ["records: waiting in the spool", "records: damaged in the spool"]
    assert fact(checkup, "records", "waiting in the spool").value == "3 entries"
    assert not place.exists()


def test_alerts_that_were_not_delivered_are_found(
    seen: Look, store: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(store, clock, Budget("global", "0.004", "day"))
    tracker.start(spec()).finish(USED)
    hook = {"alert_webhook": "https://alerts.example.com/x", "alert_secret": "word"}
    assert found(seen()) == found(seen(**hook)) == []
    old = seen(NOON + KEPT_TRYING + timedelta(hours=1), **hook)
    assert found(old) == ["alerts: not delivered"]
    alert = store.claim_alert(NOON, NOON + timedelta(minutes=1))
    assert alert is not None
    store.alert_failed(alert, NOON + timedelta(minutes=1), "it answered 500")
    checkup = seen()
    assert found(checkup) == ["alerts: not delivered"]
    assert "500" in checkup.findings[0].finding


@posix_only
def test_a_cache_that_others_can_read_is_found(seen: Look, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o755)
    (folder / "cache.db").write_bytes(b"12345")
    checkup = seen(cache_dir=folder)
    assert found(checkup) == ["cache: mode"]
    assert fact(checkup, "cache", "size").value.startswith("5 of ")
    assert found(seen(cache_dir=folder / "cache.db")) == ["cache: size"]


def test_old_prices_are_found(seen: Look) -> None:
    fetched = datetime(2999, 1, 1, 12, tzinfo=UTC)
    header = {"fetched_at": fetched.isoformat(), "from": "x", "litellm_at_hand": "999"}
    path = Settings.from_env().fetched_prices
    path.parent.mkdir(parents=True)
    path.write_bytes(pack({**header, "sha256": "ab" * 32}, {"m": {"input_cost_per_token": 1}}))
    assert fact(seen(fetched), "prices", "age").value == "0 days"
    assert found(seen(fetched + timedelta(days=91))) == ["prices: age"]


def test_prices_that_cannot_be_used_are_found(seen: Look, tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('["gpt-4o"]\ninput_cost_per_token = "dear"\n')
    assert found(seen(prices=own)) == ["prices: catalog"]


def test_a_ledger_without_a_file_has_nothing_to_look_after() -> None:
    checkup = examine(Settings.from_env(ledger="memory://"), NOON)
    assert found(checkup) == []
    assert "gone with its process" in fact(checkup, "ledger", "file").value


def test_failures_of_the_bookkeeping_are_findings_for_a_day(
    seen: Look, store: Ledger, clock: FakeClock, place: Path
) -> None:
    folders = Settings.from_env(ledger=f"sqlite:///{place}").spool_folders()
    tracker = make_tracker(store, clock, spool=folders)
    for _ in range(3):
        tracker.note_failure("a call to %r could not be followed", "gpt-4o")
    checkup = seen()
    assert found(checkup) == ["records: failure"]
    assert fact(checkup, "records", "failure").finding == "a call to … could not be followed"
    counted = "failures of the bookkeeping"
    assert fact(checkup, "records", counted).value == "1 in 30 days, 1 in the last"
    later = seen(NOON + timedelta(days=2))
    assert found(later) == []
    assert fact(later, "records", counted).value == "1 in 30 days, 0 in the last"
    assert fact(seen(NOON + timedelta(days=31)), "records", counted).value.startswith("0 in")
