"""Each ledger against a model of it in plain Python, over any order of verbs."""

import tempfile
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llmcost_plugins.budgets import Bucket, Budget, BudgetBook, Subject
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Call, Charge, Hold, HoldResult, Ledger, Outcome, Status
from llmcost_plugins.ledger.memory import MemoryLedger
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.usage import Usage

Standing = tuple[int, int, int]
"""What a bucket has spent, what it holds, and for how many calls."""

LEASE = timedelta(minutes=20)
BUDGETS = [
    Budget("global", "0.000000100", "day"),
    Budget("user:*", "0.000000040", "hour"),
    Budget("user:u1+team:*", "0.000000060"),
    Budget("run", "0.000000030"),
    Budget("team:a", "0.000000005", "day", "warn"),
    Budget("team:*", "90 tokens", "day"),
    Budget("user:u2", "6 requests"),
]
# Processes need not know the same budgets, nor agree on their limits.
BOOKS = [
    BudgetBook(BUDGETS),
    BudgetBook(BUDGETS[3:]),
    BudgetBook([Budget("global", "0.000000050", "day"), *BUDGETS[1:4]]),
]
IDS = st.integers(0, 12).map(str)
AMOUNTS = st.integers(0, 30)


@dataclass
class Line:
    """An entry of the model: what it cost, and what each bucket was charged."""

    call: Call
    status: Status
    charge: Charge
    charged: dict[str, int]


@dataclass
class State:
    """A bucket of the model."""

    bucket: Bucket
    filled: int
    spent: int
    largest_limit: int


@dataclass
class Held:
    """A hold of the model."""

    call: Call
    charge: Charge
    lease_until: datetime
    keys: dict[str, int] = field(default_factory=dict)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = self.open(Path(self.folder.name))
        self.now = datetime(2026, 3, 10, 22, 10, tzinfo=UTC)
        self.holds: dict[str, Held] = {}
        self.lines: list[Line] = []
        self.states: dict[str, State] = {}
        self.calls: dict[str, Call] = {}

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @abstractmethod
    def open(self, folder: Path) -> Ledger:
        """Open an empty ledger."""

    @abstractmethod
    def standing(self) -> dict[str, Standing]:
        """Look at every bucket, of past periods as well, without the sweep that `statuses` does."""

    def call(self, call_id: str, user: str, team: str) -> Call:
        labels = make_labels({"user": user, "team": team})
        made = Call(call_id, self.now, "m", "m", "p", labels, f"run-{user}")
        # The same id is the same call, at a later try as well.
        return replace(self.calls.setdefault(call_id, made), at=self.now)

    @staticmethod
    def belongs(bucket: Bucket, call: Call) -> bool:
        return (
            "run" not in bucket.match
            and bucket.match.items() <= {**call.labels.values, "model": "m"}.items()
            and (bucket.starts_at is None or call.at >= bucket.starts_at)
            and (bucket.resets_at is None or call.at < bucket.resets_at)
        )

    def state(self, bucket: Bucket, but: str = "") -> State:
        if bucket.key not in self.states:
            mine = [line for line in self.lines if self.belongs(bucket, line.call)]
            counted = [
                line.charge._replace(requests=0)
                if line.status is Status.CORRECTION
                else line.charge
                for line in mine
            ]
            spent = sum(charge.of(bucket.unit) for charge in counted)
            self.states[bucket.key] = State(bucket, spent, spent, bucket.limit)
            for held in self.holds.values():
                if self.belongs(bucket, held.call) and held.call.id != but:
                    held.keys[bucket.key] = held.charge.of(bucket.unit)
            # Calls in flight join a new bucket also where they are more than its limit.
            joined = spent + sum(self.held_in(bucket.key))
            self.states[bucket.key].largest_limit = max(bucket.limit, joined)
        found = self.states[bucket.key]
        found.largest_limit = max(found.largest_limit, bucket.limit)
        return found

    def held_in(self, key: str) -> list[int]:
        return [held.keys[key] for held in self.holds.values() if key in held.keys]

    def expected(self, key: str) -> Standing:
        held = self.held_in(key)
        return self.states[key].spent, sum(held), len(held)

    def lose(self) -> int:
        lost = [held for held in self.holds.values() if held.lease_until <= self.now]
        for held in lost:
            del self.holds[held.call.id]
            for key, amount in held.keys.items():
                self.states[key].spent += amount
            # Nobody knows the tokens, so the entry has none; the buckets keep what was held.
            charge = Charge(held.charge.usd, 0, 1)
            self.lines.append(Line(held.call, Status.LOST, charge, dict(held.keys)))
        return len(lost)

    def end(self, call: Call, charge: Charge) -> bool:
        held = self.holds.pop(call.id, None)
        earlier = [line for line in self.lines if line.call.id == call.id]
        status = Status.OK
        if held is not None:
            charged = {key: charge.of(self.states[key].bucket.unit) for key in held.keys}
        elif not earlier:
            charged = {}
        elif [line.status for line in earlier] == [Status.LOST]:
            status, lost = Status.CORRECTION, earlier[0]
            charged = {
                key: charge.of(self.states[key].bucket.unit) - amount
                for key, amount in lost.charged.items()
            }
            charge = charge._replace(usd=charge.usd - lost.charge.usd)
        else:
            return False
        for key, amount in charged.items():
            self.states[key].spent += amount
        self.lines.append(Line(call, status, charge, charged))
        return True

    def check(
        self, result: HoldResult, call_id: str, buckets: list[Bucket], more: dict[str, int]
    ) -> bool:
        """Compare a verdict with the model's; return whether the hold was granted."""
        over = {}
        for bucket in buckets:
            state = self.state(bucket, call_id)
            held = self.held_in(bucket.key)
            needed = more[bucket.key]
            if needed and state.spent + sum(held) + needed > bucket.limit:
                over[bucket.key] = (bucket, state.spent, sum(held), len(held))
        blocking = {key: o for key, o in over.items() if o[0].budget.on_exceed != "warn"}
        assert (result.refusal is None) == (not blocking)
        if result.refusal is None:
            named = {(warning.scope, warning.unit) for warning in result.warnings}
            assert named == {(o[0].scope, o[0].unit) for o in over.values()}
            return True
        refusal = result.refusal
        shown = (refusal.scope, refusal.unit, refusal.spent, refusal.held, refusal.holds)
        assert shown in [(b.scope, b.unit, s, h, n) for b, s, h, n in blocking.values()]
        return False

    @rule(minutes=st.sampled_from([0, 1, 5, 25, 70, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(minutes=st.sampled_from([1, 30, 61]))
    def the_clock_is_set_back(self, minutes: int) -> None:
        self.now -= timedelta(minutes=minutes)

    @rule(
        id_=IDS,
        user=st.sampled_from(["u1", "u2"]),
        team=st.sampled_from("ab"),
        amount=AMOUNTS,
        book=st.sampled_from(BOOKS),
    )
    def hold(self, id_: str, user: str, team: str, amount: int, book: BudgetBook) -> None:
        call = self.call(id_, user, team)
        subject = Subject(call.model, call.provider, call.labels, call.run)
        charge = Charge(amount, 2 * amount)
        hold = Hold(call, charge, book.buckets(subject, self.now), self.now + LEASE, "me")
        result = self.ledger.hold(hold)
        self.lose()
        if id_ in self.holds or any(line.call.id == id_ for line in self.lines):
            assert result.refusal is None
            return
        wanted = {bucket.key: charge.of(bucket.unit) for bucket in hold.buckets}
        if self.check(result, id_, list(hold.buckets), wanted):
            self.holds[id_] = Held(call, charge, hold.lease_until, wanted)

    @rule(id_=IDS, amount=AMOUNTS, book=st.sampled_from(BOOKS))
    def extend(self, id_: str, amount: int, book: BudgetBook) -> None:
        held = self.holds.get(id_)
        if held is None:
            return
        call = held.call
        subject = Subject(call.model, call.provider, call.labels, call.run)
        charge = Charge(amount, 2 * amount)
        buckets = book.buckets(subject, call.at)
        result = self.ledger.extend(Hold(call, charge, buckets, held.lease_until, "me"))
        wanted = {bucket.key: charge.of(bucket.unit) for bucket in buckets}
        more = {
            key: amount - held.keys.get(key, 0)
            for key, amount in wanted.items()
            if amount > held.keys.get(key, -1)
        }
        if self.check(result, id_, [b for b in buckets if b.key in more], more):
            for key, added in more.items():
                held.keys[key] = held.keys.get(key, 0) + added
            if more:
                usd, tokens = (
                    max(held.charge.usd, charge.usd),
                    max(held.charge.tokens, charge.tokens),
                )
                held.charge = Charge(usd, tokens)

    @rule(ids=st.lists(IDS, max_size=4), minutes=st.integers(0, 30))
    def renew(self, ids: list[str], minutes: int) -> None:
        until = self.now + timedelta(minutes=minutes)
        renewed = [self.holds[id_] for id_ in set(ids) if id_ in self.holds]
        later = [held for held in renewed if held.lease_until < until]
        assert self.ledger.renew(ids, until) == len(later)
        for held in later:
            held.lease_until = until

    @rule(id_=IDS, share=st.integers(0, 100))
    def settle(self, id_: str, share: int) -> None:
        held = self.holds.get(id_)
        call = held.call if held else self.calls.get(id_)
        if call is None:
            return
        lost = [line.charge.usd for line in self.lines if line.call.id == id_]
        most = held.charge.usd if held else lost[0] if lost else 30
        cost = most * share // 100
        outcome = Outcome(Status.OK, Usage(input=cost, output=cost), cost, self.now)
        settled = self.ledger.settle(call, outcome)
        assert (settled is not None) == self.end(call, Charge(cost, 2 * cost))
        if settled is not None:
            assert all(self.states[key].spent == spent for key, spent in settled.spent.items())

    @rule(id_=IDS, cost=AMOUNTS, book=st.sampled_from(BOOKS))
    def record(self, id_: str, cost: int, book: BudgetBook) -> None:
        call = self.call(f"recorded-{id_}", "u1", "a")
        subject = Subject(call.model, call.provider, call.labels, call.run)
        buckets = book.buckets(subject, call.at)
        outcome = Outcome(Status.OK, Usage(input=cost, output=cost), cost, self.now)
        known = any(line.call.id == call.id for line in self.lines)
        assert self.ledger.record(call, outcome, buckets) == (not known)
        if not known:
            charge = Charge(cost, 2 * cost)
            for bucket in buckets:
                state = self.state(bucket)
                # Nothing can be refused any more: the limit is what was spent.
                state.spent += charge.of(bucket.unit)
                state.largest_limit = max(state.largest_limit, state.spent) + 10**6
            charged = {bucket.key: charge.of(bucket.unit) for bucket in buckets}
            self.lines.append(Line(call, Status.OK, charge, charged))

    @rule(id_=IDS)
    def release(self, id_: str) -> None:
        held = self.holds.pop(id_, None)
        assert self.ledger.release(id_) == (held is not None)

    @rule()
    def sweep(self) -> None:
        assert self.ledger.sweep(self.now) == self.lose()

    @rule()
    def statuses(self) -> None:
        shown = self.ledger.statuses(self.now)
        self.lose()
        expected = {
            key: (state.bucket.scope, state.bucket.unit, *self.expected(key))
            for key, state in self.states.items()
            if (state.bucket.starts_at or self.now) <= self.now
            and (state.bucket.resets_at is None or self.now < state.bucket.resets_at)
        }
        assert {s.key: (s.scope, s.unit, s.spent, s.held, s.holds) for s in shown} == expected

    @rule()
    def reopen(self) -> None:
        self.ledger.close()

    @invariant()
    def every_bucket_stands_as_in_the_model(self) -> None:
        assert self.standing() == {key: self.expected(key) for key in self.states}

    @invariant()
    def no_bucket_is_overspent(self) -> None:
        for key, state in self.states.items():
            # What was spent and held before the bucket was known may be more than its limit.
            joined = state.filled or any(line.charge.usd for line in self.lines)
            if state.bucket.budget.on_exceed != "warn" and not joined:
                assert state.spent + sum(self.held_in(key)) <= state.largest_limit

    @invariant()
    def what_a_bucket_spent_is_the_sum_of_the_entries_that_name_it(self) -> None:
        for key, state in self.states.items():
            named = sum(line.charged.get(key, 0) for line in self.lines)
            assert state.spent == state.filled + named

    @invariant()
    def the_entries_are_those_of_the_model(self) -> None:
        entries = sorted(
            (e.call.id, e.outcome.status, e.outcome.cost) for e in self.ledger.entries()
        )
        expected = sorted((line.call.id, line.status, line.charge.usd) for line in self.lines)
        assert entries == expected
        (total,) = self.ledger.totals([])
        assert total.cost == sum(line.charge.usd for line in self.lines)

    @invariant()
    def the_holds_are_those_of_the_model(self) -> None:
        assert {hold.call.id: (hold.charge, hold.buckets) for hold in self.ledger.holds()} == {
            call_id: (held.charge, held.keys) for call_id, held in self.holds.items()
        }


class SQLiteMachine(LedgerMachine):
    def open(self, folder: Path) -> Ledger:
        self.store = SQLiteLedger(folder / "ledger.db")
        return self.store

    def standing(self) -> dict[str, Standing]:
        query = "SELECT key, spent, held, holds FROM buckets"
        rows = self.store._database.read(lambda db: db.execute(query).fetchall())
        return {key: (spent, held, holds) for key, spent, held, holds in rows}


class MemoryMachine(LedgerMachine):
    def open(self, folder: Path) -> Ledger:  # noqa: ARG002 - it needs none
        self.store = MemoryLedger()
        return self.store

    def standing(self) -> dict[str, Standing]:
        return {key: (c.spent, c.held, c.holds) for key, c in self.store._counts.items()}


TestSQLite = SQLiteMachine.TestCase
TestMemory = MemoryMachine.TestCase
TestSQLite.settings = TestMemory.settings = settings(max_examples=100, stateful_step_count=40)
