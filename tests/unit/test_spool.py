import json
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Ledger, Status, open_ledger
from llmcost_plugins.spool import Spool
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage
from tests.unit.trackers import make_tracker, spec

USED = Usage(input=1000, output=100)
BUDGET = Budget("global", 1, "day")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def tracker_of(ledger: Ledger, clock: FakeClock, folder: Path, **facts: object) -> CostTracker:
    return make_tracker(ledger, clock, BUDGET, spool=[folder], **facts)


def break_ledger(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.write_bytes(b"no database" * 100)


def mend_ledger(path: Path) -> None:
    path.with_suffix(".away").replace(path)


def test_an_entry_that_the_ledger_cannot_take_waits_and_is_replayed_once(
    ledger: Ledger, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    tracker = tracker_of(ledger, clock, folder)
    call = tracker.start(spec())
    ledger.close()
    break_ledger(tmp_path / "ledger.db")
    outcome = call.finish(USED)
    assert outcome is not None
    assert tracker.failures == 1
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    mend_ledger(tmp_path / "ledger.db")
    text = file.read_text()
    tracker.start(spec()).release()
    assert list(folder.iterdir()) == []
    assert [entry.outcome for entry in ledger.entries()] == [outcome]
    (status,) = tracker.budgets()
    assert status.spent * 10**9 == 3_500_000
    assert status.held == 0
    file.write_text(text)
    tracker.start(spec()).release()
    assert len(list(ledger.entries())) == 1


def test_under_a_budget_a_call_is_refused_while_the_ledger_cannot_be_used(
    ledger: Ledger, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database" * 100)
    with pytest.raises(LedgerUnavailable):
        tracker_of(ledger, clock, folder).start(spec())


def test_without_a_budget_a_call_goes_on_and_its_entry_waits(
    ledger: Ledger, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database" * 100)
    tracker = make_tracker(ledger, clock, spool=[folder])
    assert tracker.start(spec()).finish(USED) is not None
    assert len(list(folder.glob("*.jsonl"))) == 1


def test_allowed_calls_are_charged_to_their_budgets_when_the_ledger_is_back(
    ledger: Ledger, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    tracker = tracker_of(ledger, clock, folder, allow_without_ledger=True)
    tracker.start(spec()).finish(USED)
    ledger.close()
    break_ledger(tmp_path / "ledger.db")
    for _ in range(2):
        assert tracker.start(spec()).finish(USED) is not None
    call = tracker.start(spec())
    mend_ledger(tmp_path / "ledger.db")
    call.finish(USED)
    tracker.start(spec()).release()
    (status,) = tracker.budgets()
    assert status.spent * 10**9 == 4 * 3_500_000
    assert ledger.totals([])[0].calls == 4


def test_a_call_that_was_lost_meanwhile_is_corrected_by_its_waiting_entry(
    ledger: Ledger, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    tracker = tracker_of(ledger, clock, folder)
    call = tracker.start(spec())
    ledger.close()
    break_ledger(tmp_path / "ledger.db")
    call.finish(Usage(input=1000))
    mend_ledger(tmp_path / "ledger.db")
    clock.advance(901)
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as other:
        assert other.sweep(clock()) == 1
    tracker.start(spec()).release()
    statuses = [entry.outcome.status for entry in ledger.entries()]
    assert statuses == [Status.LOST, Status.CORRECTION]
    assert ledger.totals([])[0].cost == 2_500_000


def test_the_second_folder_is_used_when_the_first_cannot_be(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    spool = Spool([tmp_path / "file" / "spool", tmp_path / "second"])
    call = make_tracker(ledger, clock, BUDGET).start(spec())
    outcome = call.finish(USED)
    assert outcome is not None
    assert not spool.waits(clock())
    assert spool.add(call.call, outcome, call.buckets).parent == tmp_path / "second"
    assert spool.waits(clock())
    assert spool.replay(ledger) == 0  # the ledger knows it
    assert not spool.waits(clock())


@pytest.mark.parametrize("step", [1, -1])
def test_what_another_process_has_put_there_is_noticed_within_a_second(
    ledger: Ledger, clock: FakeClock, folder: Path, step: int
) -> None:
    call = make_tracker(ledger, clock, BUDGET).start(spec())
    outcome = call.finish(USED)
    assert outcome is not None
    mine, others = Spool([folder]), Spool([folder])
    assert not mine.waits(clock())
    others.add(call.call, outcome, call.buckets)
    clock.set(clock() + timedelta(seconds=step))
    assert mine.waits(clock())
    assert mine.waits(clock())


def test_an_entry_that_no_folder_takes_is_an_error(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    call = make_tracker(ledger, clock, BUDGET).start(spec())
    outcome = call.finish(USED)
    assert outcome is not None
    for folders in ([tmp_path / "file" / "spool"], []):
        with pytest.raises(OSError, match=r"."):
            Spool(folders).add(call.call, outcome, call.buckets)


def test_a_line_that_was_cut_is_kept_apart_and_the_others_are_replayed(
    ledger: Ledger, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    tracker = tracker_of(ledger, clock, folder)
    call = tracker.start(spec())
    ledger.close()
    break_ledger(tmp_path / "ledger.db")
    call.finish(USED)
    mend_ledger(tmp_path / "ledger.db")
    (file,) = folder.iterdir()
    whole = file.read_text()
    file.write_text(whole + whole[:50] + "\n" + json.dumps({"v": 1, "id": "x"}) + "\n")
    tracker.start(spec()).release()
    assert ledger.totals([])[0].calls == 1
    (kept,) = folder.iterdir()
    assert kept.name.endswith(".damaged")
    assert len(kept.read_text().splitlines()) == 2
    tracker.start(spec()).release()
    assert list(folder.iterdir()) == [kept]


def test_what_the_ledger_does_not_take_stays(
    ledger: Ledger, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    tracker = tracker_of(ledger, clock, folder, allow_without_ledger=True)
    call = tracker.start(spec())
    ledger.close()
    break_ledger(tmp_path / "ledger.db")
    call.finish(USED)
    for _ in range(3):
        tracker.start(spec())
    assert len(list(folder.glob("*.jsonl*"))) == 1
    mend_ledger(tmp_path / "ledger.db")
    tracker.start(spec()).release()
    assert list(folder.glob("*.jsonl*")) == []
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (1,)
