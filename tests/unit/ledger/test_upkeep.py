# ruff: noqa: S608 - the SQL of these tests has no input

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmcost_plugins.budgets import Bucket, Budget, BudgetKey
from llmcost_plugins.errors import ConfigurationError, LedgerUnavailable, Refusal
from llmcost_plugins.ledger import Call, Entry, Status
from llmcost_plugins.ledger import erasure as erasing
from llmcost_plugins.ledger import upkeep as upkeep_module
from llmcost_plugins.ledger.bucket_keys import match_of
from llmcost_plugins.ledger.database import Database
from llmcost_plugins.ledger.named_sql import named_sql
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.ledger.upkeep import DatabaseFacts, Difference, Vacuumed
from llmcost_plugins.periods import Period
from llmcost_plugins.testing.ledger_contract import (
    LEASE,
    NOON,
    USD,
    buckets_of,
    make_call,
    make_hold,
    outcome,
)
from llmcost_plugins.usage import Trust, Usage

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
NAME = "Zebulon Quux"
BUDGETS = (
    Budget("global", 1000, "month"),
    Budget("user:*", 1000, "day"),
    Budget("team:*", "9M tokens", "day"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SQLiteLedger]:
    with SQLiteLedger(path) as ledger:
        yield ledger


def make(ledger: SQLiteLedger, at: datetime = NOON, cost: int = USD, **labels: str) -> Call:
    """Make a call that is held and settled."""
    call = make_call(at, **labels)
    # A long lease: calls of other days must not end it.
    hold = replace(make_hold(call, cost, *BUDGETS, tokens=12), lease_until=NOON + DAY)
    assert ledger.hold(hold).refusal is None
    assert ledger.settle(call, outcome(cost))
    return call


def fill(ledger: SQLiteLedger) -> None:
    """Make calls of all kinds: two by day, from a week ago on."""
    for days in range(8):
        at = NOON - days * DAY
        make(ledger, at, user="u1", team="a", session=f"s{days}")
        make(ledger, at, 5, user="u2", team="b")
    lost = make_call(NOON - 2 * DAY, user="u1", team="a")
    ledger.hold(make_hold(lost, 9, *BUDGETS, tokens=70))
    ledger.sweep(NOON - DAY)
    assert ledger.settle(lost, outcome(4))
    ledger.hold(make_hold(make_call(user="u2", team="a"), 11, *BUDGETS, tokens=3))
    refusal = Refusal("user:u1", "day", 1, 1, 0, 0, 5, None, may_fall_back=True)
    for _ in range(3):
        ledger.record_refusal(make_call(NOON - DAY, user="u1", team="a"), refusal)
    first = next(iter(ledger.entries()))
    change = outcome(-3, status=Status.CORRECTION, fingerprint="new", mends=Trust.PROVIDER)
    assert ledger.correct(first, replace(change, usage=Usage()))
    cached = outcome(0, status=Status.CACHED, saved=7)
    ledger.settle(make_call(user="u3"), cached)
    unpriced = outcome(0, usage=Usage(input=3, trust=Trust.UNPRICED))
    ledger.record(make_call(NOON - 3 * DAY, user="u3"), unpriced, buckets_of(make_call(), *BUDGETS))


def spoil(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def state_of(ledger: SQLiteLedger) -> dict[str, tuple[int, int, int]]:
    rows = ledger._database.read(
        lambda db: db.execute("SELECT key, spent, held, holds FROM buckets").fetchall()
    )
    return {key: (spent, held, holds) for key, spent, held, holds in rows}


def bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_ledger_that_is_not_there_has_no_differences_and_is_not_made(path: Path) -> None:
    ledger = SQLiteLedger(path)
    assert ledger.upkeep.verify() == []
    assert ledger.upkeep.purge(NOON, who="me", at=NOON) == 0
    assert ledger.upkeep.erase_user("u1", who="me", at=NOON) == 0
    assert ledger.upkeep.vacuum() == Vacuumed(0, 0)
    assert ledger.upkeep.database_facts() is None
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        ledger.upkeep.backup(path.with_name("copy.db"))
    assert not path.parent.exists()


def test_an_empty_ledger_is_clean(ledger: SQLiteLedger) -> None:
    ledger.sweep(NOON)
    assert ledger.upkeep.verify() == []


def test_a_ledger_of_all_kinds_of_entries_is_clean(ledger: SQLiteLedger) -> None:
    fill(ledger)
    assert ledger.upkeep.verify() == []


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Asia/Tokyo"])
def test_sums_by_person_are_checked_by_the_days_of_the_time_zone(path: Path, zone: str) -> None:
    with SQLiteLedger(path, zone=ZoneInfo(zone)) as ledger:
        # Over a change of daylight saving time in New York.
        for hours in range(0, 24 * 20, 3):
            make(ledger, NOON - timedelta(hours=hours, minutes=20), user="u1")
        assert ledger.upkeep.verify() == []
        make_call_of_yesterday_late = NOON.replace(hour=0) - timedelta(minutes=1)
        make(ledger, make_call_of_yesterday_late, user="u1")
        assert ledger.upkeep.verify() == []
    with SQLiteLedger(path, zone=ZoneInfo("Pacific/Honolulu")) as ledger:
        assert {"totals_by_person"} == {
            difference.what.split()[3] for difference in ledger.upkeep.verify()
        }


CALLS = "the call 'c1'"
GLOBAL = "the bucket 'global' per month from 2026-03-01T00:00:00+00:00"
TEAM = "the bucket 'team:a' per day from 2026-03-10T00:00:00+00:00"
SUMS = (
    "the sums in totals of model 'gpt-4o', provider 'openai', team 'a', status 'ok', from "
    "2026-03-10T12:00:00+00:00"
)
PERSON = (
    "the sums in totals_by_person of user 'u1', session 's1', status 'ok', from "
    "2026-03-10T00:00:00+00:00"
)
ADD_A_SUM = (
    "INSERT INTO totals_by_person SELECT slot, 'u9', '', status, 1, 0, 0, 0, 0, 0, 0, 0 "
    "FROM totals_by_person"
)
MAKE_A_CORRECTION = (
    "UPDATE entries SET status = 'correction', buckets = '{\"x\":1}', cost = 0 WHERE call_id = 'c1'"
)
MISSING = "the bucket 'x', which calls were charged to"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE buckets SET spent = spent + 500000000 WHERE pattern = 'global'",
            [Difference(f"spent in {GLOBAL}", "2 USD", "2.5 USD")],
        ),
        (
            "UPDATE buckets SET filled = 1 WHERE pattern = 'team:*'",
            [Difference(f"spent in {TEAM}", "25 tokens", "24 tokens")],
        ),
        (
            "UPDATE buckets SET held = 0 WHERE pattern = 'global'",
            [Difference(f"held in {GLOBAL}", "3 USD", "0 USD")],
        ),
        (
            "UPDATE buckets SET holds = 4 WHERE pattern = 'global'",
            [Difference(f"calls in flight in {GLOBAL}", "1", "4")],
        ),
        (
            "DELETE FROM totals",
            [
                Difference(
                    SUMS,
                    "2 calls, 2 USD, 20 prompt tokens, 4 completion tokens",
                    "0 calls, 0 USD, 0 prompt tokens, 0 completion tokens",
                )
            ],
        ),
        (
            "UPDATE totals SET saved = 7, fallback_saved = -20, inexact = 1, unpriced = 2",
            [
                Difference(
                    SUMS,
                    "0 USD saved, 0 USD saved by fallback, 0 inexact, 0 unpriced",
                    "0.000000007 USD saved, -0.00000002 USD saved by fallback, 1 inexact, "
                    "2 unpriced",
                )
            ],
        ),
        (
            "UPDATE totals_by_person SET calls = 3",
            [Difference(PERSON, "2 calls", "3 calls")],
        ),
        (
            ADD_A_SUM,
            [
                Difference(
                    PERSON.replace("user 'u1', session 's1'", "user 'u9'"), "0 calls", "1 calls"
                )
            ],
        ),
        (
            MAKE_A_CORRECTION,
            None,
        ),
        (
            "UPDATE holds SET call_id = 'c1'",
            [Difference(CALLS, "a hold or an entry", "both")],
        ),
        (
            "UPDATE holds SET buckets = '{\"x\":1}'",
            [
                Difference(f"held in {GLOBAL}", "0 USD", "3 USD"),
                Difference(f"calls in flight in {GLOBAL}", "0", "1"),
                Difference(MISSING, "there", "missing"),
            ],
        ),
        (
            "UPDATE entries SET labels = 'alas' WHERE call_id = 'c1'",
            [Difference("the entry of the call 'c1'", "JSON", "text that is no JSON")],
        ),
        (
            "UPDATE holds SET buckets = ''",
            [Difference("the hold of the call 'h1'", "JSON", "text that is no JSON")],
        ),
        (
            "DROP INDEX entries_at",
            [Difference("the index 'entries_at' of schema 4", "there", "missing")],
        ),
        (
            "CREATE TRIGGER ours AFTER DELETE ON told BEGIN SELECT 1; END",
            [Difference("the trigger 'ours' of schema 4", "missing", "there")],
        ),
        (
            "ALTER TABLE told ADD COLUMN more TEXT",
            [
                Difference(
                    "the table 'told' of schema 4",
                    "the columns bucket, threshold, at",
                    "the columns bucket, threshold, at, more",
                )
            ],
        ),
    ],
)
def test_each_kind_of_difference_is_named(
    ledger: SQLiteLedger, path: Path, statement: str, expected: list[Difference] | None
) -> None:
    budgets = Budget("global", 10, "month"), Budget("team:*", "90 tokens", "day")
    for call_id in ("c1", "c2"):
        call = replace(make_call(user="u1", team="a", session="s1"), id=call_id)
        ledger.hold(make_hold(call, USD, *budgets))
        ledger.settle(call, outcome(USD))
    ledger.hold(make_hold(replace(make_call(), id="h1"), 3 * USD, budgets[0]))
    assert ledger.upkeep.verify() == []
    spoil(path, statement)
    found = ledger.upkeep.verify()
    if expected is None:
        assert found[0] == Difference("the correction 'c1'", "an entry that it corrects", "none")
        assert Difference(MISSING, "there", "missing") in found
    else:
        assert found == expected


def test_an_entry_that_is_there_twice_is_named(ledger: SQLiteLedger, path: Path) -> None:
    call = make(ledger)
    columns = ledger._database.read(
        lambda db: [row[1] for row in db.execute("PRAGMA table_info(entries)") if row[1] != "id"]
    )
    names = ", ".join(columns)
    spoil(
        path,
        "DROP INDEX entries_call",
        f"INSERT INTO entries ({names}) SELECT {names} FROM entries",
        "CREATE INDEX entries_call ON entries (call_id, status = 'correction')",
    )
    assert ledger.upkeep.verify()[0] == Difference(
        f"the call {call.id!r}", "one entry", "2 entries"
    )


def test_a_repricing_without_its_original_is_named(ledger: SQLiteLedger, path: Path) -> None:
    fill(ledger)
    (repriced,) = [e.call.id for e in ledger.entries() if "|repriced|" in e.call.id]
    original = repriced.partition("|")[0]
    spoil(path, f"UPDATE entries SET call_id = 'other' WHERE call_id = '{original}'")
    assert ledger.upkeep.verify() == [
        Difference(f"the correction {repriced!r}", "an entry that it corrects", "none")
    ]


def test_a_damaged_page_is_named(ledger: SQLiteLedger, path: Path) -> None:
    for _ in range(300):
        make(ledger)
    ledger.close()
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute(
            "SELECT pageno FROM dbstat WHERE name = 'entries_at' AND pagetype = 'leaf' LIMIT 1"
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size + 8)
        file.write(b"\xff" * 200)
    found = ledger.upkeep.verify()
    assert {(difference.what, difference.expected) for difference in found} == {
        ("the file", "sound")
    }
    assert any(str(page) in difference.found for difference in found)


def test_a_file_that_is_no_database_cannot_be_verified(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, but long enough to have a header\n" * 100)
    with pytest.raises(LedgerUnavailable, match="restore a backup"):
        SQLiteLedger(path).upkeep.verify()


def test_what_a_new_bucket_was_filled_with_belongs_to_what_it_spent(ledger: SQLiteLedger) -> None:
    for _ in range(3):
        ledger.settle(make_call(user="u1"), outcome(USD))
    make(ledger, user="u1")
    rows = ledger._database.read(
        lambda db: db.execute("SELECT spent, filled FROM buckets WHERE unit = 'usd'").fetchall()
    )
    assert rows == [(4 * USD, 3 * USD)] * 2
    assert ledger.upkeep.verify() == []


def test_entries_may_name_a_block_whose_bucket_was_dropped_but_holds_may_not(
    ledger: SQLiteLedger, path: Path
) -> None:
    (bucket,) = buckets_of(make_call(), Budget("run", 5))
    block = replace(bucket, key="block|b1", scope="block:b1", match={"block": "b1"})
    call, held = make_call(), make_call()
    for one in (call, held):
        hold = replace(make_hold(one, 3, Budget("run", 5)), buckets=[block])
        assert ledger.hold(hold).refusal is None
    ledger.settle(call, outcome(2))
    spoil(path, "DELETE FROM buckets")
    assert ledger.upkeep.verify() == [
        Difference("the bucket 'block|b1', which calls were charged to", "there", "missing")
    ]
    ledger.release(held.id)
    assert ledger.upkeep.verify() == []


def test_a_ledger_of_the_first_version_is_clean_once_it_is_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    at = int(NOON.timestamp()) * 1_000_000
    entry = (
        "'ok', 'provider', 'm', 'm', NULL, 'p', 'r1', '{}', '[]', '{}', 7, 0, NULL, NULL, '', ''"
    )
    day, sums = at - at % 86_400_000_000, "'ok', 2, 14, 0, 0, 0, 0, 0, 0"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(Path(__file__).with_name("schema_1.sql").read_text("utf-8"))
    spoil(
        path,
        f"INSERT INTO entries VALUES (1, 'c1', {at}, {at}, {entry}, '[\"global|total|\"]', 1)",
        f"INSERT INTO entries VALUES (2, 'c2', {at}, {at}, {entry}, '[\"global|total|\"]', 1)",
        f"INSERT INTO totals VALUES ({at}, 'm', 'p', '', '', '', {sums})",
        f"INSERT INTO totals_by_person VALUES ({day}, '', '', {sums})",
        "INSERT INTO buckets VALUES ('global|total|', 'global', 'global', 'total', NULL, NULL, 25,"
        " 6, 1)",
        "INSERT INTO buckets VALUES ('run|total||r', 'run:r', 'run', 'total', NULL, NULL, 3, 0, 0)",
        f"INSERT INTO holds VALUES ('h1', 6, {at}, 'me', '[\"global|total|\"]', {at}, 'm', 'm',"
        " 'p', 'r1', '{}', '[]')",
        "PRAGMA application_id = 0x4C4C4D43",
        "PRAGMA user_version = 1",
    )
    with SQLiteLedger(path) as ledger:
        assert ledger.upkeep.verify() == []
        rows = ledger._database.read(
            lambda db: db.execute("SELECT spent, filled FROM buckets ORDER BY key").fetchall()
        )
        assert rows == [(25, 11), (3, 3)]


def test_a_purge_deletes_what_is_older_and_keeps_every_sum(ledger: SQLiteLedger) -> None:
    fill(ledger)
    buckets, totals = state_of(ledger), ledger.totals(["slot", "user"])
    before = NOON - 3 * DAY
    old = [entry for entry in ledger.entries() if entry.call.at < before]
    young = [entry for entry in ledger.entries() if entry.call.at >= before]
    assert ledger.upkeep.purge(before, who="me", at=NOON) == len(old) == 9
    assert list(ledger.entries()) == young
    assert state_of(ledger) == buckets
    by_day = [ledger.totals(by) for by in (["slot"], ["user", "session"], ["model", "team"])]
    assert by_day[0][0].group == ("2026-03-03T12:00:00+00:00",)
    assert sum(total.cost for total in by_day[1]) == sum(total.cost for total in by_day[2])
    assert sum(total.cost for total in totals) == sum(total.cost for total in by_day[0])
    assert ledger.upkeep.verify() == []


def test_the_instant_itself_is_kept(ledger: SQLiteLedger) -> None:
    make(ledger, NOON)
    assert ledger.upkeep.purge(NOON, who="me", at=NOON) == 0
    assert ledger.changes() == []
    assert ledger.upkeep.purge(NOON + timedelta(microseconds=1), who="me", at=NOON + DAY) == 1
    assert list(ledger.entries()) == []
    assert ledger.upkeep.verify() == []


def test_a_purge_within_a_half_hour_leaves_the_sums_of_that_to_be_as_they_are(
    ledger: SQLiteLedger, path: Path
) -> None:
    for minutes in (0, 20, 40):
        make(ledger, NOON + timedelta(minutes=minutes))
    at = NOON + timedelta(minutes=10)
    assert ledger.upkeep.purge(at, who="me", at=at) == 1
    assert ledger.upkeep.verify() == []
    spoil(path, "UPDATE totals SET calls = 9")
    (found,) = ledger.upkeep.verify()
    assert "from 2026-03-10T12:30:00+00:00" in found.what


def test_a_purge_is_noted_and_can_be_repeated(ledger: SQLiteLedger) -> None:
    fill(ledger)
    assert ledger.upkeep.purge(NOON - 3 * DAY, who="me", at=NOON) == 9
    assert ledger.upkeep.purge(NOON - 3 * DAY, who="me", at=NOON) == 0
    (change,) = ledger.changes()
    assert (change.at, change.who) == (NOON, "me")
    assert change.what == "entries before 2026-03-07T12:00:00+00:00"
    assert (change.before, change.after) == ("9 entries", "deleted")
    facts = ledger.upkeep.database_facts()
    assert facts is not None
    assert facts.purged_before == NOON - 3 * DAY
    # An earlier instant does not make older sums checkable again.
    ledger.record(make_call(NOON - 9 * DAY), outcome(1), ())
    assert ledger.upkeep.purge(NOON - 8 * DAY, who="me", at=NOON) == 1
    facts = ledger.upkeep.database_facts()
    assert facts is not None
    assert facts.purged_before == NOON - 3 * DAY
    assert ledger.upkeep.verify() == []


def test_the_future_cannot_be_purged(ledger: SQLiteLedger) -> None:
    make(ledger)
    with pytest.raises(ConfigurationError) as caught:
        ledger.upkeep.purge(NOON + DAY, who="me", at=NOON)
    assert "2026-03-11T12:00:00+00:00, which is in the future" in str(caught.value)
    assert "the latest that works is 2026-03-10T12:00:00+00:00" in str(caught.value)


@pytest.mark.parametrize(
    ("budget", "zone", "latest"),
    [
        (Budget("global", 9, "year"), "UTC", None),
        (Budget("team:*+feature:*+model:*", 9, "month"), "UTC", None),
        (Budget("user:*", 9, "month"), "UTC", None),
        (Budget("user:*", 9, "month"), "America/New_York", None),
        (Budget("session:*", 9, "month"), "UTC", None),
        (Budget("user:*", 9, "hour"), "UTC", "2026-03-10T12:00:00+00:00"),
        (Budget("user:*+team:*", 9, "month"), "UTC", "2026-03-01T00:00:00+00:00"),
        (Budget("user:*+model:*", 9, "week"), "UTC", "2026-03-09T00:00:00+00:00"),
        (Budget("tenant:acme", 9, "month"), "UTC", "2026-03-01T00:00:00+00:00"),
        (Budget("team:*", 9, "day"), "Asia/Kathmandu", "2026-03-09T18:15:00+00:00"),
        (Budget("user:*+team:*", 9), "UTC", None),
    ],
)
def test_what_a_new_bucket_must_be_filled_with_is_not_purged(
    path: Path, budget: Budget, zone: str, latest: str | None
) -> None:
    at, tz = NOON + timedelta(minutes=10), ZoneInfo(zone)
    with SQLiteLedger(path, zone=tz) as ledger:
        labels = {"user": "u1", "team": "a", "feature": "f", "session": "s", "tenant": "acme"}
        call = make_call(at, **labels)
        ledger.record(call, outcome(5), buckets_in(tz, call, budget))
        if latest is None:
            assert ledger.upkeep.purge(at, who="me", at=at) == 0
            assert ledger.upkeep.purge(at + DAY / 24, who="me", at=at + DAY / 24) == 1
            return
        with pytest.raises(ConfigurationError) as caught:
            ledger.upkeep.purge(at, who="me", at=at)
        assert repr(budget.scope) in str(caught.value)
        assert f"{latest}, which is the latest that works" in str(caught.value)
        assert len(list(ledger.entries())) == 1
        early = make_call(datetime.fromisoformat(latest) - timedelta(microseconds=1), **labels)
        ledger.settle(early, outcome(5))
        assert ledger.upkeep.purge(datetime.fromisoformat(latest), who="me", at=at) == 1
        assert [entry.call.id for entry in ledger.entries()] == [call.id]
        # The period over, nothing has to be filled any more.
        assert ledger.upkeep.purge(at, who="me", at=at + 40 * DAY) == 0
        assert ledger.upkeep.purge(at + DAY, who="me", at=at + 40 * DAY) == 1


def buckets_in(zone: ZoneInfo, call: Call, *budgets: Budget) -> list[Bucket]:
    from llmcost_plugins.budgets import BudgetBook, Subject

    subject = Subject(call.model, call.provider, call.labels, call.run)
    return BudgetBook(budgets, zone).buckets(subject, call.at)


def test_a_bucket_made_after_a_purge_knows_what_was_spent_before_it(ledger: SQLiteLedger) -> None:
    for team in "ab":
        ledger.settle(make_call(NOON - 5 * DAY, team=team), outcome(7))
        ledger.settle(make_call(NOON - DAY, team=team), outcome(20))
    budget = Budget("team:*", 1, "month")
    ledger.hold(make_hold(make_call(team="a"), 1, budget))
    assert ledger.upkeep.purge(NOON - 2 * DAY, who="me", at=NOON) == 2
    ledger.hold(make_hold(make_call(team="b"), 1, budget))
    assert {state.scope: state.spent for state in ledger.statuses(NOON)} == {
        "team:a": 27,
        "team:b": 27,
    }
    assert ledger.upkeep.verify() == []


def test_a_correction_and_what_it_corrects_go_together(
    ledger: SQLiteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmcost_plugins.ledger.purging.BATCH", 1)
    old = NOON - 5 * DAY
    lost = make_call(old)
    ledger.hold(make_hold(lost, 9, *BUDGETS))
    ledger.sweep(NOON)
    # The time of a late settle may be another than that of the hold.
    ledger.settle(replace(lost, at=NOON), outcome(4))
    ledger.settle(repriced := make_call(old), outcome(4))
    change = outcome(2, status=Status.CORRECTION, fingerprint="new")
    ledger.correct(Entry(replace(repriced, at=NOON), outcome(4)), change)
    plain = make(ledger, old)
    assert ledger.upkeep.purge(NOON - DAY, who="me", at=NOON) == 1
    assert {entry.call.id for entry in ledger.entries()} == {
        lost.id,
        repriced.id,
        f"{repriced.id}|repriced|new",
    }
    assert plain.id not in {entry.call.id for entry in ledger.entries()}
    assert ledger.upkeep.verify() == []
    assert ledger.upkeep.purge(NOON + DAY, who="me", at=NOON + DAY) == 4
    assert list(ledger.entries()) == []
    assert ledger.upkeep.verify() == []


PURGE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from llmcost_plugins.ledger import purging
from llmcost_plugins.ledger.sqlite import SQLiteLedger

purging.BATCH = 3
now = datetime(2026, 3, 11, tzinfo=UTC)
print(SQLiteLedger(Path(sys.argv[1])).upkeep.purge(now, who="me", at=now))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_purge_that_is_killed_leaves_a_ledger_that_agrees_with_itself(
    ledger: SQLiteLedger, path: Path
) -> None:
    for n in range(500):
        make(ledger, NOON - n * DAY / 40, user=f"u{n % 7}", team="a")
    buckets = state_of(ledger)

    def left() -> int:
        facts = ledger.upkeep.database_facts()
        assert facts is not None
        return facts.entries

    process = subprocess.Popen([sys.executable, "-c", PURGE, str(path)], stdout=subprocess.PIPE)
    while left() == 500:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert process.stdout is not None
    process.stdout.close()
    remaining = left()
    assert 0 < remaining < 500
    assert state_of(ledger) == buckets
    assert ledger.upkeep.verify() == []
    assert ledger.upkeep.purge(NOON + DAY, who="me", at=NOON + DAY) == remaining
    assert state_of(ledger) == buckets
    assert ledger.upkeep.verify() == []
    assert [change.before for change in ledger.changes()] == ["500 entries", f"{remaining} entries"]


def test_a_person_leaves_no_trace_in_the_files(ledger: SQLiteLedger, path: Path) -> None:
    with ledger._database.writing() as db:
        db.execute("PRAGMA secure_delete = OFF")
    theirs = {"user": NAME, "team": "a", "session": "zeb-1", "email": NAME, "tenant": "acme"}
    for n in range(30):
        labels = make_call(NOON, **theirs).labels
        call = Call(
            f"{NAME}-{n}", NOON - n * DAY, "m", "m", "p", replace(labels, tags=(NAME,)), NAME
        )
        ledger.hold(make_hold(call, USD, *BUDGETS, Budget("session:*", 99), Budget("run", 99)))
        if n == 3:
            ledger.sweep(NOON + DAY)
        ledger.settle(call, outcome(USD, detail=f"said {NAME}"))
        make(ledger, NOON - n * DAY, 5, user="other", team="a", session="open")
    refusal = Refusal(f"user:{NAME}", "day", 1, 1, 0, 0, 5, None, may_fall_back=True)
    ledger.record_refusal(make_call(NOON, **theirs), refusal)
    first = next(iter(ledger.entries()))
    change = outcome(2, status=Status.CORRECTION, fingerprint="new", detail=f"{NAME}-29 repriced")
    assert ledger.correct(first, change)
    ledger.hold(make_hold(released := make_call(NOON, **theirs), 3, *BUDGETS))
    ledger.release(released.id)
    ledger.hold(make_hold(make_call(NOON, **theirs), 3, *BUDGETS, Budget(f"user:{NAME}+team:a", 9)))
    ledger.tell(
        f"user:*|day|2026-03-10T00:00:00+00:00|{NAME}", "0.8", NOON, f'{{"scope": "user:{NAME}"}}'
    )
    own = Budget(f"team:a+user:{NAME}", 5, "day")
    ledger.set_budget(own.key, own, who="me", at=NOON)
    ledger.set_budget(own.key, None, who="me", at=NOON)
    kept = Budget("user:other", 5, "day")
    ledger.set_budget(kept.key, kept, who="me", at=NOON)
    assert ledger.upkeep.verify() == []
    totals = {by: ledger.totals([by]) for by in ("model", "team", "status", "slot")}
    spent = {key: state for key, state in state_of(ledger).items() if NAME not in key}
    assert NAME.encode() in bytes_in(path.parent)

    assert ledger.upkeep.erase_user(NAME, who="me", at=NOON) == 33

    assert NAME.encode() not in bytes_in(path.parent)
    assert b"zeb-1" not in bytes_in(path.parent)
    assert ledger.upkeep.verify() == []
    assert {by: ledger.totals([by]) for by in totals} == totals
    users = {total.group: total for total in ledger.totals(["user", "session"])}
    assert set(users) == {("(erased)", ""), ("other", "open")}
    assert users["(erased)", ""].cost == 30 * USD + 2
    assert (users["(erased)", ""].calls, users["(erased)", ""].refused) == (30, 1)
    state = state_of(ledger)
    assert {key: state.get(key) for key in spent if "session" not in key} == {
        key: value for key, value in spent.items() if "session" not in key
    }
    erased = [entry for entry in ledger.entries() if entry.call.labels.values["user"] == "(erased)"]
    assert {entry.call.run for entry in erased} == {"(erased)", "r1"}
    assert {entry.outcome.detail for entry in erased} == {""}
    assert {entry.call.labels.tags for entry in erased} == {()}
    assert erased[0].call.labels.values == {
        "user": "(erased)",
        "team": "a",
        "email": "(erased)",
        "tenant": "acme",
    }
    assert ledger.budgets() == {kept.key: kept}


def test_what_is_erased_is_overwritten_before_the_file_is_written_anew(
    ledger: SQLiteLedger, path: Path
) -> None:
    for _ in range(50):
        make(ledger, user=NAME)
    ledger.close()
    assert NAME.encode() in path.read_bytes()
    with closing(Database(path, full_sync=False)) as reader:
        with ledger._database.writing() as db:
            db.execute("PRAGMA secure_delete = OFF")
        days, sql = ledger._days, named_sql("upkeep.sql")
        assert erasing.Erasure(NAME, reader, ledger._writing, sql, days).run("me", NOON) == 50
    ledger.close()
    assert NAME.encode() not in path.read_bytes()


def test_the_audit_says_who_was_erased_by_a_short_hash_only(ledger: SQLiteLedger) -> None:
    budget = Budget('user:"a; b"+team:x', "5.50", "day")
    other = Budget('user:"a; b c"', 5, "day")
    for one in (budget, other):
        ledger.set_budget(one.key, one, who="me", at=NOON)
    ledger.set_budget(budget.key, None, who="me", at=NOON)
    make(ledger, user="a; b")
    ledger.hold(make_hold(make_call(user="a; b"), 3, *BUDGETS))
    assert ledger.upkeep.erase_user("a; b", who="admin", at=NOON + DAY) == 1
    assert [(change.what, change.before, change.after) for change in ledger.changes()] == [
        ("budget team:x+user:(erased) per day in usd", "", "team:x+user:(erased)=5.5/day:fallback"),
        ('budget user:"a; b c" per day in usd', "", 'user:"a; b c"=5/day:fallback'),
        (
            "budget team:x+user:(erased) per day in usd",
            "team:x+user:(erased)=5.5/day:fallback",
            "none",
        ),
        ("the user with the hash 1961e7", "1 entries, 1 calls in flight", "erased"),
    ]
    assert (ledger.changes()[-1].at, ledger.changes()[-1].who) == (NOON + DAY, "admin")
    assert list(ledger.budgets()) == [BudgetKey(other.scope, Period.DAY, other.unit)]


@pytest.mark.parametrize("user", ["", "(erased)"])
def test_what_can_be_nobodys_name_is_refused(ledger: SQLiteLedger, user: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be erased"):
        ledger.upkeep.erase_user(user, who="me", at=NOON)


@pytest.mark.parametrize("user", ["u1", "a|b", 'a"b', "a\\b", "a+team:b", "u*", "%", "ü"])
def test_people_with_similar_names_are_left_alone(ledger: SQLiteLedger, user: str) -> None:
    others = [f"{user}2", f"x{user}", f"{user}+team:a", "u", "team:b"]
    for name in (user, *others):
        make(ledger, user=name, team="b")
    before = {total.group: total.cost for total in ledger.totals(["user"])}
    assert ledger.upkeep.erase_user(user, who="me", at=NOON) == 1
    after = {total.group: total.cost for total in ledger.totals(["user"])}
    assert after == {("(erased)",) if key == (user,) else key: n for key, n in before.items()}
    keys = {match_of(key).get("user") for key in state_of(ledger)}
    assert keys == {*others, None}
    assert ledger.upkeep.verify() == []


def test_a_label_that_sums_are_kept_by_stays_even_with_that_value(ledger: SQLiteLedger) -> None:
    make(ledger, user="a", team="a")
    assert ledger.upkeep.erase_user("a", who="me", at=NOON) == 1
    assert [total.group for total in ledger.totals(["team", "user"])] == [("a", "(erased)")]
    assert [match_of(key) for key in state_of(ledger)] == [{}, {"team": "a"}]
    assert ledger.upkeep.verify() == []


def test_a_session_shared_with_others_keeps_its_bucket(ledger: SQLiteLedger) -> None:
    budget = Budget("session:*", 9)
    for user, session in (("u1", "mine"), ("u1", "ours"), ("u2", "ours")):
        call = make_call(user=user, session=session)
        ledger.hold(make_hold(call, 3, budget))
        ledger.settle(call, outcome(2))
    ledger.upkeep.erase_user("u1", who="me", at=NOON)
    (state,) = ledger.statuses(NOON)
    assert (state.scope, state.spent) == ("session:ours", 4)
    assert ledger.upkeep.verify() == []


def test_a_call_in_flight_ends_as_it_would_have(ledger: SQLiteLedger) -> None:
    budgets = *BUDGETS, Budget("user:u1+team:*", 9), Budget("run+user:*", 9)
    call = make_call(user="u1", team="a")
    ledger.hold(make_hold(call, 30, *budgets))
    lost = make_call(user="u1", team="a")
    ledger.hold(make_hold(lost, 5, *budgets))
    make(ledger, user="u1", team="a")
    assert ledger.upkeep.erase_user("u1", who="me", at=NOON) == 1
    assert ledger.upkeep.verify() == []
    assert {hold.call.labels.values["user"] for hold in ledger.holds()} == {"(erased)"}
    scopes = {state.scope: (state.pattern, state.held) for state in ledger.statuses(NOON)}
    assert {scope: found for scope, found in scopes.items() if "user" in scope} == {
        "user:(erased)": ("user:*", 35),
        "user:(erased)+team:a": ("user:(erased)+team:*", 35),
        "run:r1+user:(erased)": ("run+user:*", 35),
    }
    settled = ledger.settle(call, outcome(20))
    assert settled is not None
    assert sorted(settled.spent.values())[:2] == [20, 20]
    # It is written as its process knows it; the lost one as the ledger does.
    assert ledger.sweep(NOON + LEASE) == 1
    assert [entry.call.labels.values["user"] for entry in ledger.entries()] == [
        "(erased)",
        "u1",
        "(erased)",
    ]
    assert ledger.upkeep.verify() == []
    assert ledger.upkeep.erase_user("u1", who="me", at=NOON) == 1
    assert ledger.upkeep.verify() == []
    assert ledger.upkeep.erase_user("u1", who="me", at=NOON) == 0


def test_an_entry_of_someone_else_in_the_bucket_of_the_person_is_not_erased(
    ledger: SQLiteLedger,
) -> None:
    budget = Budget("user:*", 9)
    ledger.record(make_call(user="u2"), outcome(5), buckets_of(make_call(user="u1"), budget))
    assert ledger.upkeep.erase_user("u1", who="me", at=NOON) == 0
    assert [entry.call.labels.values["user"] for entry in ledger.entries()] == ["u2"]
    assert state_of(ledger) == {}
    assert ledger.upkeep.verify() == []


def test_a_purged_person_is_erased_from_the_sums(ledger: SQLiteLedger) -> None:
    for days in range(6):
        make(ledger, NOON - days * DAY, user="u1")
    ledger.upkeep.purge(NOON - 2 * DAY, who="me", at=NOON)
    assert ledger.upkeep.erase_user("u1", who="me", at=NOON) == 3
    (total,) = ledger.totals(["user"])
    assert (total.group, total.calls, total.cost) == (("(erased)",), 6, 6 * USD)
    assert ledger.upkeep.verify() == []


def test_entries_that_come_in_meanwhile_are_erased_as_well(
    ledger: SQLiteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 2)
    for _ in range(5):
        make(ledger, user="u1")
    late = iter([7, 1])
    pause = time.sleep

    def more(seconds: float) -> None:
        for _ in range(next(late, 0)):
            make(ledger, user="u1")
        pause(seconds)

    monkeypatch.setattr("llmcost_plugins.ledger.erasure.time.sleep", more)
    assert ledger.upkeep.erase_user("u1", who="me", at=NOON) == 13
    assert [total.group for total in ledger.totals(["user"])] == [("(erased)",)]
    assert ledger.upkeep.verify() == []


def test_an_erasure_that_stops_in_the_middle_can_be_done_again(
    ledger: SQLiteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 2)
    for n in range(5):
        make(ledger, user="u1", session=f"s{n}")
    buckets = state_of(ledger)

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("llmcost_plugins.ledger.erasure.time.sleep", stop)
        with pytest.raises(KeyboardInterrupt):
            ledger.upkeep.erase_user("u1", who="me", at=NOON)
    assert ledger.upkeep.verify() == []
    assert state_of(ledger) == buckets
    assert {total.group for total in ledger.totals(["user"]) if total.calls} == {
        ("(erased)",),
        ("u1",),
    }
    assert ledger.upkeep.erase_user("u1", who="me", at=NOON) == 3
    assert [total.group for total in ledger.totals(["user", "session"])] == [("(erased)", "")]
    assert ledger.upkeep.verify() == []


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_connection_deletes_afterwards_as_before(ledger: SQLiteLedger, level: int) -> None:
    make(ledger, user="u1")
    with ledger._database.writing() as db:
        db.execute(f"PRAGMA secure_delete = {'FAST' if level == 2 else level}")
    ledger.upkeep.erase_user("u1", who="me", at=NOON)
    with ledger._database.writing() as db:
        assert db.execute("PRAGMA secure_delete").fetchone() == (level,)


def test_a_reader_of_the_old_state_is_named_when_the_log_cannot_be_emptied(
    ledger: SQLiteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmcost_plugins.ledger.database.BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(upkeep_module, "_PATIENCE_S", 0.05)
    make(ledger, user=NAME)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM entries").fetchone()
        with pytest.raises(LedgerUnavailable, match="reads its old state"):
            ledger.upkeep.erase_user(NAME, who="me", at=NOON)
        reader.execute("COMMIT")
    assert NAME.encode() in bytes_in(path.parent)
    assert ledger.upkeep.erase_user(NAME, who="me", at=NOON) == 0
    assert NAME.encode() not in bytes_in(path.parent)


WRITER = """
import itertools, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from llmcost_plugins.budgets import Budget
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.testing.ledger_contract import NOON, make_call, make_hold, outcome
from dataclasses import replace

budgets = Budget("global", 1000, "month"), Budget("user:*", 1000, "day")
ledger = SQLiteLedger(Path(sys.argv[1]))
print("ready", flush=True)
for n in itertools.count():
    if Path(sys.argv[2]).exists():
        break
    at = NOON - timedelta(hours=n % 200)
    call = replace(make_call(at, user=f"u{n % 3}", session=f"s{n}"), id=f"other-{n}")
    hold = replace(make_hold(call, 10, *budgets), lease_until=NOON + timedelta(days=1))
    assert ledger.hold(hold).refusal is None
    assert ledger.settle(call, outcome(7))
print(n, flush=True)
"""


def while_others_write(ledger: SQLiteLedger, work: Callable[[], None]) -> int:
    """Do *work* while threads and a process write; return how many calls they have made."""
    flag = ledger.path.with_name("stop")
    counts: list[int] = []

    def write(name: int) -> None:
        n = 0
        while not flag.exists():
            make(ledger, NOON - (n % 9) * DAY, 7, user=f"u{n % 3}", team=f"t{name}")
            n += 1
        counts.append(n)

    ledger.sweep(NOON)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(ledger.path), str(flag)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    threads = [threading.Thread(target=write, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        flag.touch()
        for thread in threads:
            thread.join()
        made = process.stdout.read()
        process.stdout.close()
        assert process.wait() == 0
    assert len(counts) == 3
    return sum(counts) + int(made)


def test_verifying_sees_one_state_while_others_write(ledger: SQLiteLedger) -> None:
    found: list[Difference] = []

    def work() -> None:
        for _ in range(15):
            found.extend(ledger.upkeep.verify())

    assert while_others_write(ledger, work) > 15
    assert found == []


def test_a_purge_and_erasures_while_others_write_lose_nothing(ledger: SQLiteLedger) -> None:
    fill(ledger)
    deleted = 0

    def work() -> None:
        nonlocal deleted
        for days in (6, 5, 4):
            deleted += ledger.upkeep.purge(NOON - days * DAY, who="me", at=NOON)
            for user in ("u1", "u2"):
                ledger.upkeep.erase_user(user, who="me", at=NOON)
            assert ledger.upkeep.verify() == []
        ledger.upkeep.vacuum()

    before = sum(1 for _ in ledger.entries())
    made = while_others_write(ledger, work)
    assert ledger.upkeep.verify() == []
    assert sum(1 for _ in ledger.entries()) == before + made - deleted
    (total,) = ledger.totals([])
    assert total.calls == before - 3 + made  # without two corrections and a refusal
    for user in ("u1", "u2"):
        ledger.upkeep.erase_user(user, who="me", at=NOON)
    users = {total.group[0] for total in ledger.totals(["user"])}
    assert users == {"(erased)", "u0", "u3"}
    assert ledger.upkeep.verify() == []


def test_a_backup_is_a_ledger_that_only_its_user_can_read(
    ledger: SQLiteLedger, tmp_path: Path
) -> None:
    fill(ledger)
    copy = tmp_path / "copy.db"
    before = os.umask(0)
    try:
        ledger.upkeep.backup(copy)
    finally:
        os.umask(before)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.db", "data", "home"]
    with SQLiteLedger(copy) as other:
        assert list(other.entries()) == list(ledger.entries())
        assert state_of(other) == state_of(ledger)
        assert other.upkeep.verify() == []
        make(other)


def test_a_backup_while_others_write_agrees_with_itself(
    ledger: SQLiteLedger, tmp_path: Path
) -> None:
    copies = [tmp_path / f"copy-{n}.db" for n in range(5)]

    def work() -> None:
        for copy in copies:
            ledger.upkeep.backup(copy)

    while_others_write(ledger, work)
    counts = []
    for copy in copies:
        with SQLiteLedger(copy) as other:
            assert other.upkeep.verify() == []
            counts.append(sum(1 for _ in other.entries()))
    assert counts == sorted(counts)


def test_a_backup_takes_the_place_of_nothing(ledger: SQLiteLedger, tmp_path: Path) -> None:
    make(ledger)
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("keep me")
    with suppress(OSError):  # not everyone may make one on Windows
        link.symlink_to(tmp_path / "nowhere")
    for path in (there, link, tmp_path, ledger.path):
        with pytest.raises(ConfigurationError, match="a name that is free"):
            ledger.upkeep.backup(path)
    assert there.read_text() == "keep me"


def test_a_backup_to_no_place_is_named(ledger: SQLiteLedger, tmp_path: Path) -> None:
    make(ledger)
    path = tmp_path / "missing" / "copy.db"
    with pytest.raises(ConfigurationError) as caught:
        ledger.upkeep.backup(path)
    assert f"the backup {str(path)!r} cannot be written: No such file" in str(caught.value)


def test_a_backup_whose_name_is_taken_in_the_last_moment_is_named(
    ledger: SQLiteLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(ledger)
    path = tmp_path / "copy.db"
    to_disk = upkeep_module._to_disk

    def slow(file: Path, flags: int) -> None:
        to_disk(file, flags)
        path.mkdir()

    monkeypatch.setattr(upkeep_module, "_to_disk", slow)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        ledger.upkeep.backup(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.db", "data", "home"]


def test_a_vacuum_gives_back_what_a_purge_has_left(ledger: SQLiteLedger, path: Path) -> None:
    for n in range(400):
        make(ledger, NOON - n * DAY / 100)
    ledger.upkeep.purge(NOON, who="me", at=NOON)
    done = ledger.upkeep.vacuum()
    assert done.before > 2 * done.after
    assert done.after == path.stat().st_size
    assert path.with_name("ledger.db-wal").stat().st_size == 0
    assert ledger.upkeep.verify() == []
    make(ledger)


def test_the_facts_of_the_file(ledger: SQLiteLedger, path: Path) -> None:
    ledger.sweep(NOON)
    size = path.stat().st_size + path.with_name("ledger.db-wal").stat().st_size
    expected = DatabaseFacts(path, size, 0o600, 4, "wal", 0, 0, None, None)
    assert ledger.upkeep.database_facts() == expected
    make(ledger)
    make(ledger, NOON - DAY)
    ledger.hold(make_hold(make_call(), 1, *BUDGETS))
    facts = ledger.upkeep.database_facts()
    assert facts is not None
    assert (facts.entries, facts.holds, facts.oldest) == (2, 1, NOON - DAY)


@pytest.mark.parametrize("value", ["u1", "a|b", "a\\b", "\\|", "|", 'a"b', "a+team:b", "x\\"])
def test_the_key_of_a_bucket_says_what_it_counts(value: str) -> None:
    call = make_call(user=value, team="t|", run=f"{value}|x")
    budgets = [
        Budget("global", 1),
        Budget("user:*", 1, "day"),
        Budget("run+user:*", "5 requests"),
        Budget("team:*+user:*", "1k tokens", "hour"),
        Budget('user:"a|b"', 1),
    ]
    for bucket in buckets_of(call, *budgets):
        assert match_of(bucket.key) == bucket.match


def test_a_key_without_a_grammar_says_nothing() -> None:
    assert match_of("(erased)|1") == {}
    assert match_of("") == {}


class UpkeepMachine(RuleBasedStateMachine):
    """Whatever is done in whatever order, the ledger agrees with itself."""

    ids = st.integers(0, 9).map(str)
    users = st.sampled_from(["u1", "u2", "9"])

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(erasing, "BATCH", 2)
        self.patch.setattr("llmcost_plugins.ledger.purging.BATCH", 2)
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = SQLiteLedger(Path(self.folder.name) / "ledger.db")
        self.now = datetime(2026, 3, 10, 22, 10, tzinfo=UTC)
        self.calls: dict[str, Call] = {}
        self.cost = 0

    def teardown(self) -> None:
        self.patch.undo()
        self.ledger.close()
        self.folder.cleanup()

    def call(self, id_: str, user: str) -> Call:
        made = make_call(self.now, user=user, team=f"t{id_}", session=f"s-{user}", run=f"r-{user}")
        return self.calls.setdefault(id_, replace(made, id=f"{user}-{id_}"))

    def budgets(self) -> tuple[Budget, ...]:
        return (
            Budget("global", 1, "day"),
            Budget("user:*", 1, "hour"),
            Budget("user:u1", "900 tokens"),
            Budget("user:*+team:*", "100 requests", "month"),
            Budget("session:*", 1),
            Budget("run", 1),
        )

    @rule(minutes=st.sampled_from([1, 10, 45, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(id_=ids, user=users, amount=st.integers(0, 30), skip=st.integers(0, 5))
    def hold(self, id_: str, user: str, amount: int, skip: int) -> None:
        hold = make_hold(self.call(id_, user), amount, *self.budgets()[skip:], tokens=amount)
        self.ledger.hold(hold)

    @rule(id_=ids, amount=st.integers(0, 60), skip=st.integers(0, 5))
    def extend(self, id_: str, amount: int, skip: int) -> None:
        if id_ in self.calls:
            hold = make_hold(self.calls[id_], amount, *self.budgets()[skip:], tokens=amount)
            self.ledger.extend(hold)

    @rule(id_=ids, cost=st.integers(0, 30))
    def settle(self, id_: str, cost: int) -> None:
        if id_ in self.calls:
            self.ledger.settle(self.calls[id_], outcome(cost, preferred_cost=40))

    @rule(id_=ids, user=users, cost=st.integers(0, 30), skip=st.integers(0, 5))
    def record(self, id_: str, user: str, cost: int, skip: int) -> None:
        call = self.call(f"r{id_}", user)
        self.ledger.record(call, outcome(cost), buckets_of(call, *self.budgets()[skip:]))

    @rule(id_=ids)
    def release(self, id_: str) -> None:
        if id_ in self.calls:
            self.ledger.release(self.calls[id_].id)

    @rule()
    def sweep(self) -> None:
        self.ledger.sweep(self.now)

    @rule(place=st.integers(0, 20), change=st.integers(-5, 5), fingerprint=st.sampled_from("ab"))
    def correct(self, place: int, change: int, fingerprint: str) -> None:
        entries = list(self.ledger.entries())
        if entries:
            facts = {"status": Status.CORRECTION, "usage": Usage(), "fingerprint": fingerprint}
            self.ledger.correct(entries[place % len(entries)], outcome(change, **facts))

    @rule(user=users)
    def refuse(self, user: str) -> None:
        refusal = Refusal(f"user:{user}", "day", 1, 1, 0, 0, 5, None, may_fall_back=True)
        self.ledger.record_refusal(make_call(self.now, user=user), refusal)

    def sums(self) -> dict[str, list[object]]:
        return {by: list(self.ledger.totals([by])) for by in ("slot", "team", "status")}

    @rule(minutes=st.sampled_from([0, 15, 60, 1000, 3000]))
    def purge(self, minutes: int) -> None:
        state, sums = state_of(self.ledger), self.sums()
        before = self.now - timedelta(minutes=minutes)
        try:
            self.ledger.upkeep.purge(before, who="me", at=self.now)
        except ConfigurationError as error:
            found = re.search(r"since (\S+), which is the latest that works", str(error))
            assert found is not None
            before = datetime.fromisoformat(found[1])
            self.ledger.upkeep.purge(before, who="me", at=self.now)
        assert (state_of(self.ledger), self.sums()) == (state, sums)
        old = [entry for entry in self.ledger.entries() if entry.call.at < before]
        # Kept for the sake of a correction, or of what was corrected.
        young = {e.call.id.partition("|")[0] for e in self.ledger.entries() if e not in old}
        assert all(entry.call.id.partition("|")[0] in young for entry in old)

    @rule(user=users)
    def erase(self, user: str) -> None:
        sums = self.sums()
        self.ledger.upkeep.erase_user(user, who="me", at=self.now)
        assert self.sums() == sums
        assert user not in {total.group[0] for total in self.ledger.totals(["user"])}
        assert not any(match_of(key).get("user") == user for key in state_of(self.ledger))

    @precondition(lambda self: self.ledger.exists())
    @rule()
    def backup_and_reopen(self) -> None:
        copy = Path(self.folder.name) / "copy.db"
        self.ledger.upkeep.backup(copy)
        self.ledger.close()
        copy.replace(self.ledger.path)

    @invariant()
    def the_ledger_agrees_with_itself(self) -> None:
        assert self.ledger.upkeep.verify() == []


TestUpkeep = UpkeepMachine.TestCase
TestUpkeep.settings = settings(max_examples=40, stateful_step_count=30)
