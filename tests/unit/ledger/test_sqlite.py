import os
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import ConfigurationError, LedgerUnavailable
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.ledger.database import (
    APPLICATION_ID,
    BUSY_TIMEOUT_S,
    LOG_PAGES,
    PAGE_BYTES,
    SCHEMA_VERSION,
)
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.testing.ledger_contract import NOON, USD, make_call, make_hold, outcome


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_one(ledger: Ledger) -> None:
    call = make_call()
    ledger.hold(make_hold(call, USD, Budget("global", 1000)))
    ledger.settle(call, outcome(USD))


def refused(path: Path) -> str:
    """Use the ledger in every way; return the one message that all of them give."""
    ledger = SQLiteLedger(path)
    uses = (
        lambda: ledger.hold(make_hold(make_call(), 1, Budget("global", 1))),
        lambda: ledger.settle(make_call(), outcome(1)),
        lambda: ledger.sweep(NOON),
    )
    messages = set()
    for use in uses:
        with pytest.raises(LedgerUnavailable) as caught:
            use()
        messages.add(str(caught.value))
    (message,) = messages
    assert repr(str(path)) in message
    assert "LLMCOST_LEDGER" in message
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.db"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_created_belongs_to_its_user_alone(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with SQLiteLedger(path) as ledger:
            write_one(ledger)
            assert list(ledger.entries())
            files = sorted(file.name for file in path.parent.iterdir())
            assert files == ["ledger.db", "ledger.db-shm", "ledger.db-wal"]
            assert {mode(file) for file in path.parent.iterdir()} == {0o600}
            assert mode(path.parent) == 0o700
    finally:
        os.umask(before)


def test_a_folder_that_exists_keeps_its_mode(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    path.parent.chmod(0o755)
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
    assert mode(path.parent) == 0o755
    assert mode(path) == 0o600


def test_nothing_is_created_before_the_first_use(path: Path) -> None:
    SQLiteLedger(path).close()
    assert not path.parent.exists()


def test_a_ledger_is_left_in_one_file_when_closed(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
    assert [file.name for file in path.parent.iterdir()] == ["ledger.db"]


def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
        held = make_call()
        ledger.hold(make_hold(held, USD, Budget("global", 1000)))
    with SQLiteLedger(path) as ledger:
        (state,) = ledger.statuses(NOON)
        assert (state.spent, state.held, state.holds) == (USD, USD, 1)
        assert ledger.settle(held, outcome(5))


def test_a_copy_that_lost_write_ahead_logging_gets_it_back(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
    with closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    with SQLiteLedger(copy) as ledger:
        write_one(ledger)
        assert copy.with_name("copy.db-wal").exists()


@pytest.mark.parametrize(("query", "level"), [("", 1), ("?sync=normal", 1), ("?sync=full", 2)])
def test_the_url_says_how_durable_a_commit_is(path: Path, query: str, level: int) -> None:
    ledger = SQLiteLedger.from_url(f"sqlite:///{path}{query}")
    with ledger, ledger._database.writing() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (level,)


@pytest.mark.parametrize("query", ["", "?sync=full"])
def test_some_hundred_calls_share_the_wait_for_the_disk(path: Path, query: str) -> None:
    with SQLiteLedger.from_url(f"sqlite:///{path}{query}") as ledger:
        for _ in range(300):
            write_one(ledger)
        # The log was not copied into the file yet: from then on it is written anew.
        pages = path.with_name("ledger.db-wal").stat().st_size // PAGE_BYTES
        assert 1500 < pages < LOG_PAGES
    assert not path.with_name("ledger.db-wal").exists()


def test_a_relative_path_and_a_home_are_understood(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert SQLiteLedger.from_url("sqlite:///x.db").path == Path("x.db")
    assert SQLiteLedger.from_url("sqlite:///~/x.db").path == own_home / "x.db"
    assert SQLiteLedger.from_url("sqlite:////a/b.db").path == Path("/a/b.db")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///?sync=full",
        "sqlite:///x.db?sync=none",
        "sqlite:///~no-such-user/x.db",
        "postgres:///x",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_ledger(url)
    assert f"LLMCOST_LEDGER={url!r}" in str(caught.value)


def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database at all, but long enough to have a header\n" * 100)
    before = path.read_bytes()
    assert "restore a backup, or move it away" in refused(path)
    assert path.read_bytes() == before
    assert list(tmp_path.glob("ledger.db*")) == [path]


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION, 7])
@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_file_of_another_program_is_refused_and_left_as_it_is(
    tmp_path: Path, version: int, journal: str
) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {journal}")
        db.execute("CREATE TABLE entries (id INTEGER)")
        db.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    assert "another program" in refused(path)
    assert path.read_bytes() == before
    assert list(tmp_path.glob("other.db*")) == [path]


def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    message = refused(path)
    assert "Upgrade llmcost-plugins" in message
    assert f"schema {SCHEMA_VERSION + 1}" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        "status = 'teleported'",
        """usage = '{"quantum":5}'""",
        "labels = '{broken'",
        "tags = '3'",
        "usage = '[]'",
    ],
)
def test_an_entry_that_this_version_cannot_read_is_named(tmp_path: Path, change: str) -> None:
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(f"UPDATE entries SET {change}")  # noqa: S608 - of this test
        said = "an entry that cannot be read .id 1: .*newer version"
        with pytest.raises(LedgerUnavailable, match=said):
            list(ledger.entries())
        if "usage" not in change:  # which is given as it is, since millions of rows are read so
            with pytest.raises(LedgerUnavailable, match=said):
                list(ledger.used())


def columns(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the columns of every table and view, without their order numbers."""
    with closing(sqlite3.connect(path)) as db:
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE sql NOT NULL")
        ]
        return {n: [row[1:] for row in db.execute(f"PRAGMA table_info({n})")] for n in names}


@pytest.fixture
def first_version(path: Path) -> Path:
    """Make a ledger as schema 1 was, with an entry and what was summed of it."""
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(Path(__file__).with_name("schema_1.sql").read_text("utf-8"))
        at = int(NOON.timestamp()) * 1_000_000
        usage = '{"input":1,"cache_read":2,"cache_write_5m":4,"cache_write_1h":8,"audio_in":16,'
        usage += '"output":32,"reasoning":64,"audio_out":128,"service_tier":"flex"}'
        db.execute(
            "INSERT INTO entries VALUES (1, 'c1', ?, ?, 'ok', 'provider', 'gpt-4o', 'gpt-4o', NULL,"
            " 'openai', 'r1', '{}', '[]', ?, 7, 0, NULL, NULL, 'f', '', '[\"global|total|\"]', 1)",
            (at, at, usage),
        )
        db.execute(
            "INSERT INTO totals VALUES (?, 'gpt-4o', 'openai', '', '', '', 'ok', 1, 7, 0, 0, 31,"
            " 224, 0, 0)",
            (at,),
        )
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    return path


def test_a_ledger_of_the_first_version_is_brought_up_to_date(
    first_version: Path, tmp_path: Path
) -> None:
    ledger = SQLiteLedger(first_version)
    write_one(ledger)
    entries = list(ledger.entries())
    assert [(entry.outcome.cost, entry.outcome.lines) for entry in entries] == [(7, ()), (USD, ())]
    assert entries[0].outcome.usage.service_tier == "flex"
    for by in (["model"], ["model", "user"]):
        (total,) = ledger.totals(by)
        assert (total.calls, total.cost, total.prompt_tokens) == (2, 7 + USD, 31 + 10)
        assert (total.completion_tokens, total.inexact, total.unpriced) == (224 + 2, 0, 0)
    ledger.close()
    new = SQLiteLedger(tmp_path / "new.db")
    new.statuses(NOON)
    new.close()
    assert columns(first_version) == columns(new.path)


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(first_version: Path) -> None:
    with closing(sqlite3.connect(first_version)) as db:
        db.execute("CREATE TABLE learned (in_the_way)")
    before = columns(first_version)
    with pytest.raises(LedgerUnavailable, match="learned"):
        SQLiteLedger(first_version).statuses(NOON)
    assert columns(first_version) == before


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep me")
    assert "cannot be created" in refused(tmp_path / "file" / "ledger.db")
    assert (tmp_path / "file").read_text() == "keep me"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
def test_a_place_that_takes_no_files_is_named() -> None:
    assert "cannot be created" in refused(Path("/proc/llmcost/ledger.db"))


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    assert "Check that this user can" in refused(tmp_path / "ledger.db")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_folder_without_the_right_to_write_is_named(unprivileged: Path) -> None:
    folder = unprivileged / "folder"
    folder.mkdir(mode=0o555)
    assert "cannot be created: Permission denied" in refused(folder / "ledger.db")
    assert list(folder.iterdir()) == []


def test_a_name_that_no_file_can_have_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300) / "ledger.db"
    assert "cannot be created: File name too long" in refused(path)
    with pytest.raises(LedgerUnavailable, match="File name too long"):
        SQLiteLedger(path).exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_file_that_may_only_be_read_is_named(unprivileged: Path) -> None:
    path = unprivileged / "ledger.db"
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
    path.chmod(0o400)
    before = path.read_bytes()
    with SQLiteLedger(path) as ledger:
        assert len(list(ledger.entries())) == 1
        with pytest.raises(LedgerUnavailable, match=r"ledger\.db.*Check that this user can"):
            write_one(ledger)
    assert path.read_bytes() == before


def test_a_ledger_that_cannot_be_opened_leaves_no_open_files(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"damaged" * 1000)
    ledger = SQLiteLedger(path)
    for _ in range(5):
        with pytest.raises(LedgerUnavailable):
            ledger.sweep(NOON)
    assert not ledger._database._opened


def remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete files that are open")
@pytest.mark.parametrize("with_its_log", [True, False])
def test_a_ledger_that_was_deleted_is_begun_anew_by_all_that_use_it(
    path: Path, caplog: pytest.LogCaptureFixture, with_its_log: bool
) -> None:
    with SQLiteLedger(path) as early, SQLiteLedger(path) as late:
        write_one(early)
        write_one(late)
        assert len(list(early.entries())) == 2
        remove(path) if with_its_log else path.unlink()
        budget = Budget("global", "0.001")
        first, second = make_call(), make_call()
        assert late.hold(make_hold(first, USD // 1000, budget)).refusal is None
        refusal = early.hold(make_hold(second, USD // 1000, budget)).refusal
        assert refusal is not None
        assert refusal.held == USD // 1000
        assert [hold.call for hold in early.holds()] == [first]
        late.settle(first, outcome(7))
    assert caplog.text.count("was deleted or replaced while in use") == 3  # early reads, too
    with SQLiteLedger(path) as again:
        assert [entry.outcome.cost for entry in again.entries()] == [7]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not replace files that are open")
def test_a_backup_that_is_put_in_place_is_used_by_those_that_run(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
        (kept,) = ledger.entries()
        backup = path.with_name("backup.db")
        ledger.upkeep.backup(backup)
        late = make_call()
        ledger.hold(make_hold(late, 1, Budget("global", 1000)))
        ledger.settle(late, outcome(1))
        remove(path)
        backup.rename(path)
        assert list(ledger.entries()) == [kept]
        assert ledger.settle(late, outcome(1)) is not None


@pytest.mark.skipif(os.name == "nt", reason="Windows does not replace files that are open")
def test_a_ledger_that_is_replaced_by_something_else_is_refused_until_it_is_back(
    path: Path,
) -> None:
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
        (kept,) = ledger.entries()
        ledger.upkeep.backup(path.with_name("backup.db"))
        remove(path)
        path.write_bytes(b"damaged" * 1000)
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="no ledger"):
                ledger.sweep(NOON)
            with pytest.raises(LedgerUnavailable, match="no ledger"):
                list(ledger.entries())
        path.with_name("backup.db").replace(path)
        assert ledger.sweep(NOON) == 0
        assert list(ledger.entries()) == [kept]


FILLS_THE_DISK = """
import resource, sys
from pathlib import Path
from llmcost_plugins import Budget, CostTracker, LedgerUnavailable, Usage
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import CallSize

folder = Path(sys.argv[1])
ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}")
tracker = CostTracker(ledger, [Budget("global", 1)], spool=[folder / "spool"])
call = lambda name: tracker.start(CallSpec(name, "gpt-4o", "openai", CallSize(1000, 100)))
paid = call("paid")
# What a full disk does to one file: it cannot grow any more.
size = (folder / "ledger.db-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
paid.finish(Usage(input=1000, output=100))
try:
    call("refused")
except LedgerUnavailable as error:
    print(error)
print(tracker.failures)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
call("next").release()
print([(entry.call.id, entry.outcome.cost) for entry in ledger.entries()])
print([(status.spent, status.held) for status in tracker.budgets()])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_refuses_calls_and_what_was_paid_is_entered_when_there_is_room(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLS_THE_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    message, failures, entries, statuses = done.stdout.splitlines()
    assert "cannot be used" in message
    assert failures == "1"
    assert entries == "[('paid', 3500000)]"
    assert statuses == "[(Decimal('0.0035'), Decimal('0'))]"


def test_a_lock_that_another_holds_for_too_long_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmcost_plugins.ledger.database.BUSY_TIMEOUT_S", 0.05)
    with SQLiteLedger(path) as ledger:
        write_one(ledger)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerUnavailable, match="Another process kept it locked"):
                ledger.sweep(NOON)
            other.execute("ROLLBACK")
        write_one(ledger)
    assert BUSY_TIMEOUT_S == 10


def test_a_failure_in_the_middle_of_a_verb_leaves_nothing_half_written(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        call = make_call(user="u1")
        ledger.hold(make_hold(call, USD, Budget("global", 1000)))
        with ledger._database.writing() as db:
            db.execute("ALTER TABLE totals_by_person RENAME TO hidden")
        with pytest.raises(LedgerUnavailable, match="totals_by_person"):
            ledger.settle(call, outcome(5))
        with ledger._database.writing() as db:
            db.execute("ALTER TABLE hidden RENAME TO totals_by_person")
        (state,) = ledger.statuses(NOON)
        assert (state.spent, state.held, state.holds) == (0, USD, 1)
        assert list(ledger.entries()) == []
        assert ledger.settle(call, outcome(5))


def test_an_interrupt_inside_a_verb_gives_the_lock_back(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        with pytest.raises(KeyboardInterrupt), ledger._database.writing():
            raise KeyboardInterrupt
        write_one(ledger)


def test_a_call_that_cannot_be_settled_after_a_verb_is_logged_and_the_verb_is_not_to_blame(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SQLiteLedger(path) as ledger:
        call = make_call()
        ledger.hold(make_hold(call, USD, Budget("global", 1000)))
        with ledger._writing() as db:
            ledger.settle(call, outcome(5))
            db.execute("ALTER TABLE totals_by_person RENAME TO hidden")
        assert f"the call {call.id} could not be settled" in caplog.text
        with ledger._database.writing() as db:
            db.execute("ALTER TABLE hidden RENAME TO totals_by_person")
        assert [held.call for held in ledger.holds()] == [call]


def test_sums_by_user_keep_the_days_of_the_ledgers_time_zone(path: Path) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    midnight = datetime(2026, 3, 11, tzinfo=zone)
    with SQLiteLedger(path, zone=zone) as ledger:
        for at, cost in ((midnight - timedelta(seconds=1), 1), (midnight, 20)):
            ledger.settle(make_call(at, user="u1"), outcome(cost))
        found = ledger.totals(["slot", "user"])
        assert [(total.group, total.cost) for total in found] == [
            (("2026-03-09T15:00:00+00:00", "u1"), 1),
            (("2026-03-10T15:00:00+00:00", "u1"), 20),
        ]
        (total,) = ledger.totals(["user"], since=midnight, until=midnight + timedelta(days=1))
        assert total.cost == 20


def test_a_span_that_cuts_a_day_of_a_user_is_exact_to_the_half_hour(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        for hour, cost in ((9, 1), (10, 20), (11, 300)):
            at = datetime(2026, 3, 10, hour, 40, tzinfo=UTC)
            ledger.settle(make_call(at, user="u1"), outcome(cost))
        since = datetime(2026, 3, 10, 10, 30, tzinfo=UTC)
        (total,) = ledger.totals(["user"], since=since)
        assert total.cost == 320
        (total,) = ledger.totals(["user"], since=since, until=since + timedelta(hours=1))
        assert total.cost == 20


def test_thirty_two_threads_share_one_ledger(path: Path) -> None:
    ready = threading.Barrier(32)

    def work(_: int) -> None:
        ready.wait()
        for _ in range(10):
            write_one(ledger)

    with SQLiteLedger(path) as ledger, ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(32)))
        (total,) = ledger.totals([])
        assert (total.calls, total.cost) == (320, 320 * USD)
        (state,) = ledger.statuses(NOON)
        assert (state.spent, state.held, state.holds) == (320 * USD, 0, 0)


WRITE = """
import os, sys, threading
from datetime import UTC, datetime
from pathlib import Path
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Call, Outcome, Status
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.usage import Usage

now = datetime(2026, 3, 10, 12, tzinfo=UTC)
ledger = SQLiteLedger(Path(sys.argv[1]))

def write(call_id):
    call = Call(call_id, now, "gpt-4o", "gpt-4o", "openai", Labels(), "run")
    assert ledger.settle(call, Outcome(Status.OK, Usage(input=1), 1, now))
"""

FORK = """
write("first")
stop = threading.Event()

def busy():
    while not stop.is_set():
        ledger.sweep(now)
        list(ledger.entries())

threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
told, tell = os.pipe()
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        os.close(tell)
        for n in range(20):
            write(f"{child}-{n}")
        os.read(told, 1)  # ends when the parent has closed the ledger
        for n in range(20, 40):
            write(f"{child}-{n}")
        os._exit(0)
    children.append(pid)
stop.set()
for thread in threads:
    thread.join()
write("parent")
ledger.close()
os.close(tell)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
print(len(list(ledger.entries())))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_of_a_busy_process_loses_no_entry(path: Path) -> None:
    done = subprocess.run(
        # Python 3.12 warns of every fork with threads about.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", WRITE + FORK, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["162"]


OPEN = """
print("ready", flush=True)
sys.stdin.readline()
write(sys.argv[2])
ledger.close()
"""


def test_eight_processes_may_create_the_same_ledger_at_once(path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE + OPEN, str(path), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert errors == [""] * 8
    with SQLiteLedger(path) as ledger:
        assert sorted(entry.call.id for entry in ledger.entries()) == list("01234567")
