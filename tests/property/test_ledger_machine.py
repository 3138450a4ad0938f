"""The ledger against a model of it in plain Python, over any order of verbs."""

import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llmcost_plugins.budgets import Bucket, Budget, BudgetBook, Subject
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Call, Hold, Outcome, Status
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.usage import Usage

LEASE = timedelta(minutes=20)
NANO = Budget("global", "0.000000100", "day")
BOOK = BudgetBook(
    [
        NANO,
        Budget("user:*", "0.000000040", "hour"),
        Budget("user:u1+team:*", "0.000000060"),
        Budget("run", "0.000000030"),
        Budget("team:a", "0.000000005", "day", "warn"),
    ]
)
IDS = st.integers(0, 12).map(str)
MONEY = st.integers(0, 30)


@dataclass
class Line:
    """An entry of the model."""

    call: Call
    status: Status
    cost: int
    keys: frozenset[str]


@dataclass
class State:
    """A bucket of the model."""

    bucket: Bucket
    filled: int
    spent: int
    held: dict[str, int] = field(default_factory=dict)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = SQLiteLedger(Path(self.folder.name) / "ledger.db")
        self.now = datetime(2026, 3, 10, 22, 10, tzinfo=UTC)
        self.holds: dict[str, Hold] = {}
        self.lines: list[Line] = []
        self.states: dict[str, State] = {}
        self.calls: dict[str, Call] = {}

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    # ------------------------------------------------------------------ the model

    def call(self, call_id: str, user: str, team: str) -> Call:
        labels = make_labels({"user": user, "team": team})
        made = Call(call_id, self.now, "m", "m", "p", labels, f"run-{user}")
        # The same id is the same call, at a later try as well.
        return replace(self.calls.setdefault(call_id, made), at=self.now)

    def matching(self, bucket: Bucket) -> int:
        if "run" in bucket.match:
            return 0
        return sum(
            line.cost
            for line in self.lines
            if bucket.match.items() <= {**line.call.labels.values, "model": "m"}.items()
            and (bucket.starts_at is None or line.call.at >= bucket.starts_at)
            and (bucket.resets_at is None or line.call.at < bucket.resets_at)
        )

    def lose(self) -> int:
        lost = [hold for hold in self.holds.values() if hold.lease_until <= self.now]
        for hold in lost:
            self.end(hold.call, Status.LOST, hold.amount)
        return len(lost)

    def end(self, call: Call, status: Status, cost: int) -> bool:
        hold = self.holds.pop(call.id, None)
        earlier = [line for line in self.lines if line.call.id == call.id]
        if hold is not None:
            keys = frozenset(bucket.key for bucket in hold.buckets)
        elif not earlier:
            keys = frozenset()
        elif [line.status for line in earlier] == [Status.LOST]:
            status, keys, cost = Status.CORRECTION, earlier[0].keys, cost - earlier[0].cost
        else:
            return False
        for key in keys:
            self.states[key].held.pop(call.id, None)
            self.states[key].spent += cost
        self.lines.append(Line(call, status, cost, keys))
        return True

    # ------------------------------------------------------------------ the verbs

    @rule(minutes=st.sampled_from([0, 1, 5, 25, 70, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(id_=IDS, user=st.sampled_from(["u1", "u2"]), team=st.sampled_from("ab"), amount=MONEY)
    def hold(self, id_: str, user: str, team: str, amount: int) -> None:
        call = self.call(id_, user, team)
        subject = Subject(call.model, call.provider, call.labels, call.run)
        hold = Hold(call, amount, BOOK.buckets(subject, self.now), self.now + LEASE, "me")
        result = self.ledger.hold(hold)
        self.lose()
        if id_ in self.holds or any(line.call.id == id_ for line in self.lines):
            assert result.refusal is None
            return
        over = {}
        for bucket in hold.buckets:
            spent = self.matching(bucket)
            state = self.states.setdefault(bucket.key, State(bucket, spent, spent))
            held = sum(state.held.values())
            if amount and state.spent + held + amount > bucket.limit:
                over[bucket.scope] = (bucket, state.spent, held, len(state.held))
        blocking = {s: o for s, o in over.items() if o[0].budget.on_exceed != "warn"}
        assert (result.refusal is None) == (not blocking)
        if result.refusal is None:
            assert {warning.scope for warning in result.warnings} == set(over)
            self.holds[id_] = hold
            for bucket in hold.buckets:
                self.states[bucket.key].held[id_] = amount
        else:
            _, spent, held, holds = blocking[result.refusal.scope]
            shown = (result.refusal.spent, result.refusal.held, result.refusal.holds)
            assert shown == (spent, held, holds)

    @rule(id_=IDS, share=st.integers(0, 100))
    def settle(self, id_: str, share: int) -> None:
        hold = self.holds.get(id_)
        call = hold.call if hold else self.calls.get(id_)
        if call is None:
            return
        lost = [line.cost for line in self.lines if line.call.id == id_]
        most = hold.amount if hold else lost[0] if lost else 30
        cost = most * share // 100
        outcome = Outcome(Status.OK, Usage(input=1), cost, self.now)
        assert self.ledger.settle(call, outcome) == self.end(call, Status.OK, cost)

    @rule(id_=IDS)
    def release(self, id_: str) -> None:
        hold = self.holds.pop(id_, None)
        for state in self.states.values():
            state.held.pop(id_, None)
        assert self.ledger.release(id_) == (hold is not None)

    @rule()
    def sweep(self) -> None:
        assert self.ledger.sweep(self.now) == self.lose()

    @rule()
    def reopen(self) -> None:
        self.ledger.close()

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def every_bucket_stands_as_in_the_model(self) -> None:
        rows = self.ledger._database.read(
            lambda db: db.execute("SELECT key, spent, held, holds FROM buckets").fetchall()
        )
        assert {key: (spent, held, holds) for key, spent, held, holds in rows} == {
            key: (state.spent, sum(state.held.values()), len(state.held))
            for key, state in self.states.items()
        }

    @invariant()
    def no_bucket_is_overspent(self) -> None:
        for state in self.states.values():
            if state.bucket.budget.on_exceed != "warn":
                limit = max(state.bucket.limit, state.filled)
                assert state.spent + sum(state.held.values()) <= limit

    @invariant()
    def what_a_bucket_spent_is_the_sum_of_the_entries_that_name_it(self) -> None:
        for key, state in self.states.items():
            named = sum(line.cost for line in self.lines if key in line.keys)
            assert state.spent == state.filled + named

    @invariant()
    def the_entries_are_those_of_the_model(self) -> None:
        entries = sorted(
            (e.call.id, e.outcome.status, e.outcome.cost) for e in self.ledger.entries()
        )
        assert entries == sorted((line.call.id, line.status, line.cost) for line in self.lines)
        (total,) = self.ledger.totals([])
        assert total.cost == sum(line.cost for line in self.lines)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=100, stateful_step_count=40)
