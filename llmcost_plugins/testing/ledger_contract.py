"""What every ledger must do, as tests for the authors of a store.

Derive a class in your tests and say how to make an empty ledger::

    class TestMyLedger(LedgerContract):
        @pytest.fixture
        def make_ledger(self, tmp_path):
            return lambda zone: MyLedger(tmp_path, zone=zone)
"""

# ruff: noqa: D102, PLR2004, S101 - tests: their names are the sentences, pytest needs the asserts

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import ConfigurationError, Refusal
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.ledger import (
    GROUPS,
    Call,
    Entry,
    Learned,
    Ledger,
    Outcome,
    Status,
    original_id,
)
from llmcost_plugins.pricing.cost import Line
from llmcost_plugins.testing.bucket_contract import KATHMANDU, BucketContract
from llmcost_plugins.testing.ledger_facts import (
    LEASE,
    NOON,
    USD,
    as_sums,
    bucket,
    buckets_of,
    make_call,
    make_hold,
    outcome,
    sums,
    write_all_sorts,
)
from llmcost_plugins.usage import Trust, Usage

__all__ = [
    "LEASE",
    "NOON",
    "USD",
    "LedgerContract",
    "bucket",
    "buckets_of",
    "make_call",
    "make_hold",
    "outcome",
]


class LedgerContract(BucketContract):
    """The tests. Override the fixture `make_ledger`."""

    @pytest.fixture
    def make_ledger(self) -> Callable[[tzinfo], Ledger]:
        """Return what makes an empty ledger of a time zone; it is called once in a test."""
        msg = "override the fixture `make_ledger`: return what makes an empty ledger of a time zone"
        raise NotImplementedError(msg)

    @pytest.fixture
    def ledger(self, make_ledger: Callable[[tzinfo], Ledger]) -> Iterator[Ledger]:
        """Yield an empty ledger whose time zone is UTC."""
        with make_ledger(UTC) as ledger:
            yield ledger

    def test_a_hold_sets_money_aside_in_every_bucket(self, ledger: Ledger) -> None:
        call = make_call(user="u1")
        budgets = Budget("global", 10, "month"), Budget("user:*", 2, "day")
        assert ledger.hold(make_hold(call, USD, *budgets)).refusal is None
        for scope in ("global", "user:u1"):
            state = bucket(ledger, scope)
            assert (state.spent, state.held, state.holds) == (0, USD, 1)

    def test_a_hold_that_takes_exactly_what_is_left_is_granted(self, ledger: Ledger) -> None:
        budget = Budget("global", 2)
        for _ in range(2):
            assert ledger.hold(make_hold(make_call(), USD, budget)).refusal is None
        assert ledger.hold(make_hold(make_call(), 1, budget)).refusal is not None

    def test_a_refusal_in_one_bucket_leaves_all_as_they_were(self, ledger: Ledger) -> None:
        wide, narrow = Budget("global", 10), Budget("team:*", 1)
        first = make_call(team="a")
        ledger.hold(make_hold(first, USD, wide, narrow))
        assert ledger.hold(make_hold(make_call(team="a"), 1, wide, narrow)).refusal is not None
        assert bucket(ledger, "global").held == bucket(ledger, "team:a").held == USD
        assert bucket(ledger, "global").holds == bucket(ledger, "team:a").holds == 1

    def test_a_refusal_says_all_its_numbers(self, ledger: Ledger) -> None:
        budget = Budget("user:*", 5, "day", "raise")
        spent, held, refused = (make_call(user="u1") for _ in range(3))
        ledger.hold(make_hold(spent, USD, budget))
        ledger.settle(spent, outcome(2 * USD))
        ledger.hold(make_hold(held, USD, budget))
        refusal = ledger.hold(make_hold(refused, 4 * USD, budget)).refusal
        assert refusal == Refusal(
            scope="user:u1",
            period="day",
            limit=5 * USD,
            spent=2 * USD,
            held=USD,
            holds=1,
            needed=4 * USD,
            resets_at=datetime(2026, 3, 11, tzinfo=UTC),
            may_fall_back=False,
        )

    def test_the_reported_reason_is_one_that_waiting_cannot_solve(self, ledger: Ledger) -> None:
        busy, spent_up = Budget("global", 3), Budget("team:*", 2)
        call = make_call(team="a")
        ledger.hold(make_hold(call, USD, busy, spent_up))
        ledger.settle(call, outcome(2 * USD))
        ledger.hold(make_hold(make_call(), USD, busy))
        refusal = ledger.hold(make_hold(make_call(team="a"), USD, busy, spent_up)).refusal
        assert refusal is not None
        assert refusal.scope == "team:a"
        assert not refusal.only_holds_stand_in_the_way

    def test_falling_back_needs_the_leave_of_every_refusing_budget(self, ledger: Ledger) -> None:
        budgets = Budget("global", 0), Budget("team:*", 0, "day", "raise")
        refusal = ledger.hold(make_hold(make_call(team="a"), 1, *budgets)).refusal
        assert refusal is not None
        assert not refusal.may_fall_back

    def test_a_budget_that_warns_lets_the_call_pass_and_counts_it(self, ledger: Ledger) -> None:
        budget = Budget("global", 1, on_exceed="warn")
        call = make_call()
        result = ledger.hold(make_hold(call, 2 * USD, budget))
        assert result.refusal is None
        assert [warning.needed for warning in result.warnings] == [2 * USD]
        ledger.settle(call, outcome(2 * USD))
        assert bucket(ledger, "global").spent == 2 * USD

    def test_a_call_that_costs_nothing_fits_when_all_is_spent(self, ledger: Ledger) -> None:
        call, budget = make_call(), Budget("global", 1)
        ledger.hold(make_hold(call, USD, budget))
        ledger.settle(call, outcome(3 * USD))
        assert ledger.hold(make_hold(make_call(), 0, budget)).refusal is None
        assert ledger.hold(make_hold(make_call(), 1, budget)).refusal is not None

    def test_a_call_without_buckets_is_held_and_settled(self, ledger: Ledger) -> None:
        call = make_call()
        assert ledger.hold(make_hold(call, USD)).refusal is None
        assert ledger.settle(call, outcome(5))
        assert [entry.outcome.cost for entry in ledger.entries()] == [5]

    def test_the_same_hold_again_is_the_same_hold(self, ledger: Ledger) -> None:
        hold = make_hold(make_call(), USD, Budget("global", 1))
        for _ in range(3):
            assert ledger.hold(hold).refusal is None
        state = bucket(ledger, "global")
        assert (state.held, state.holds) == (USD, 1)

    def test_holding_a_call_again_after_its_end_counts_nothing_twice(self, ledger: Ledger) -> None:
        call, budget = make_call(), Budget("global", 10)
        ledger.hold(make_hold(call, USD, budget))
        ledger.settle(call, outcome(USD))
        assert ledger.hold(make_hold(call, USD, budget)).refusal is None
        assert not ledger.settle(call, outcome(USD))
        state = bucket(ledger, "global")
        assert (state.spent, state.held, state.holds) == (USD, 0, 0)

    def test_holding_a_call_again_after_it_was_lost_counts_nothing_twice(
        self, ledger: Ledger
    ) -> None:
        call, budget = make_call(), Budget("global", 10)
        ledger.hold(make_hold(call, USD, budget))
        late = replace(call, at=NOON + 2 * LEASE)
        assert ledger.hold(make_hold(late, USD, budget)).refusal is None
        assert ledger.settle(call, outcome(USD // 2))
        state = bucket(ledger, "global", late.at)
        assert (state.spent, state.held, state.holds) == (USD // 2, 0, 0)
        assert sum(entry.outcome.cost for entry in ledger.entries()) == USD // 2

    def test_threads_cannot_overspend_a_bucket(self, ledger: Ledger) -> None:
        budget = Budget("global", 10)

        def one_call(_: int) -> bool:
            call = make_call()
            if ledger.hold(make_hold(call, USD, budget)).refusal is not None:
                return False
            return ledger.settle(call, outcome(USD)) is not None

        with ThreadPoolExecutor(16) as pool:
            granted = sum(pool.map(one_call, range(64)))
        state = bucket(ledger, "global")
        assert granted == 10
        assert (state.spent, state.held, state.holds) == (10 * USD, 0, 0)

    def test_a_new_bucket_knows_what_its_period_has_spent(self, ledger: Ledger) -> None:
        yesterday = NOON - timedelta(days=1)
        for at, cost in ((yesterday, 100), (NOON, 20), (NOON, 3)):
            ledger.settle(make_call(at, user="u1"), outcome(cost))
        ledger.settle(make_call(user="u2"), outcome(5000))
        ledger.settle(make_call(), outcome(70_000))
        for budget, spent in (
            (Budget("user:*", 1, "day"), 23),
            (Budget("user:u1", 1, "month"), 123),
            (Budget("global", 1, "day"), 75_023),
            (Budget("model:gpt-4o", 1, "total"), 75_123),
            (Budget("model:*+user:*", 1, "total"), 123),
            (Budget("provider:openai+user:u1", 1, "day"), 23),
        ):
            call = make_call(NOON, user="u1")
            ledger.hold(make_hold(call, 0, budget))
            ledger.release(call.id)
            found = [s for s in ledger.statuses(NOON) if s.pattern == budget.scope]
            assert [s.spent for s in found if s.period is budget.per] == [spent], budget

    def test_the_last_instant_of_a_period_counts_and_the_first_of_the_next_does_not(
        self, ledger: Ledger
    ) -> None:
        midnight = datetime(2026, 3, 11, tzinfo=UTC)
        for at, cost in ((midnight - timedelta(microseconds=1), 7), (midnight, 100)):
            ledger.settle(make_call(at), outcome(cost))
        ledger.hold(make_hold(make_call(NOON), 0, Budget("global", 1, "day")))
        assert bucket(ledger, "global", NOON).spent == 7

    def test_each_period_has_a_bucket_of_its_own(self, ledger: Ledger) -> None:
        budget = Budget("global", 1, "day")
        today, tomorrow = make_call(NOON), make_call(NOON + timedelta(days=1))
        ledger.hold(make_hold(today, USD, budget))
        ledger.settle(today, outcome(USD))
        assert ledger.hold(make_hold(make_call(NOON), 1, budget)).refusal is not None
        assert ledger.hold(make_hold(tomorrow, USD, budget)).refusal is None
        assert bucket(ledger, "global", tomorrow.at).spent == 0

    def test_each_run_has_a_bucket_that_starts_at_zero(self, ledger: Ledger) -> None:
        budget = Budget("run", 1)
        ledger.settle(make_call(run="a"), outcome(USD))
        first, second = make_call(run="a"), make_call(run="b")
        assert ledger.hold(make_hold(first, USD, budget)).refusal is None
        assert ledger.hold(make_hold(second, USD, budget)).refusal is None
        assert ledger.hold(make_hold(make_call(run="a"), 1, budget)).refusal is not None

    def test_values_that_look_alike_joined_have_buckets_of_their_own(self, ledger: Ledger) -> None:
        budget = Budget("team:*+feature:*", 1)
        one = make_call(team="a+feature:b", feature="c")
        other = make_call(team="a", feature="b+feature:c")
        assert ledger.hold(make_hold(one, USD, budget)).refusal is None
        assert ledger.hold(make_hold(other, USD, budget)).refusal is None

    def test_only_buckets_of_the_current_periods_are_shown(self, ledger: Ledger) -> None:
        for at in (NOON, NOON + timedelta(days=1)):
            ledger.hold(make_hold(make_call(at), 1, Budget("global", 1, "day"), Budget("run", 1)))
        shown = {(s.scope, s.resets_at) for s in ledger.statuses(NOON)}
        assert shown == {("global", datetime(2026, 3, 11, tzinfo=UTC)), ("run:r1", None)}

    def test_settling_replaces_the_hold_by_the_true_cost(self, ledger: Ledger) -> None:
        call = make_call(user="u1")
        ledger.hold(make_hold(call, USD, Budget("global", 10), Budget("user:*", 2, "day")))
        assert ledger.settle(call, outcome(123))
        for scope in ("global", "user:u1"):
            state = bucket(ledger, scope)
            assert (state.spent, state.held, state.holds) == (123, 0, 0)

    def test_a_call_may_cost_more_than_its_hold(self, ledger: Ledger) -> None:
        call, budget = make_call(), Budget("global", 1)
        ledger.hold(make_hold(call, USD, budget))
        assert ledger.settle(call, outcome(3 * USD))
        assert bucket(ledger, "global").spent == 3 * USD
        refusal = ledger.hold(make_hold(make_call(), 1, budget)).refusal
        assert refusal is not None
        assert refusal.spent == 3 * USD

    def test_settling_twice_counts_once(self, ledger: Ledger) -> None:
        call = make_call()
        ledger.hold(make_hold(call, USD, Budget("global", 1)))
        assert ledger.settle(call, outcome(5))
        assert not ledger.settle(call, outcome(7))
        assert bucket(ledger, "global").spent == 5
        assert [entry.outcome.cost for entry in ledger.entries()] == [5]

    def test_a_call_that_was_never_held_is_recorded(self, ledger: Ledger) -> None:
        assert ledger.settle(make_call(), outcome(5))
        assert not list(ledger.statuses(NOON))
        assert [entry.outcome.cost for entry in ledger.entries()] == [5]

    def test_a_release_gives_the_money_back_and_writes_nothing(self, ledger: Ledger) -> None:
        call, budget = make_call(), Budget("global", 1)
        ledger.hold(make_hold(call, USD, budget))
        assert ledger.release(call.id)
        assert not ledger.release(call.id)
        state = bucket(ledger, "global")
        assert (state.spent, state.held, state.holds) == (0, 0, 0)
        assert list(ledger.entries()) == []
        assert ledger.hold(make_hold(call, USD, budget)).refusal is None

    def test_what_was_written_is_read_back(self, ledger: Ledger) -> None:
        labels = Labels(make_labels({"user": "Zoë \\ 'x' \"y\"", "größe": "7"}).values, ("a", "ß"))
        at = NOON + timedelta(microseconds=1)
        call = Call("id-1", at, "gpt-4o", "openai/gpt-4o", "openai", labels, "run-1")
        done = Outcome(
            status=Status.ABORTED,
            usage=Usage(
                input=1,
                cache_read=2,
                image_out=3,
                other={"web_search": 4, "cache_write_12h": 5},
                service_tier="flex",
                region="eu",
                stated_cost=Decimal("0.000000001"),
                trust=Trust.ESTIMATED,
            ),
            cost=9,
            finished_at=at + timedelta(hours=1),
            served="gpt-4o-2024-08-06",
            saved=10,
            preferred_model="gpt-5",
            preferred_cost=11,
            fingerprint="abc",
            detail="stopped; by 'user'",
            lines=(
                Line("input", 1, 25 * 10**17),
                Line("web_search", 4, 10**22),
                Line("citation", 0, 1),
            ),
            mends=Trust.UNPRICED,
        )
        ledger.settle(call, done)
        assert list(ledger.entries()) == [Entry(call, done)]

    def test_an_entry_is_corrected_by_another_one_that_the_same_buckets_count(
        self, ledger: Ledger
    ) -> None:
        call = make_call(user="u1")
        ledger.hold(make_hold(call, USD, Budget("global", 9), Budget("user:*", 9, "day")))
        ledger.settle(call, outcome(0, usage=Usage(input=5, trust=Trust.UNPRICED)))
        (entry,) = ledger.entries()
        change = outcome(
            7,
            status=Status.CORRECTION,
            usage=Usage(),
            fingerprint="f1",
            mends=Trust.UNPRICED,
            lines=(Line("input", 5, 14 * 10**14),),
        )
        assert ledger.correct(entry, change) is True
        assert ledger.correct(entry, change) is False
        assert ledger.correct(entry, replace(change, fingerprint="f2", cost=-3, mends=None)) is True
        assert ledger.correct(replace(entry, call=make_call()), change) is False
        entries = list(ledger.entries())
        assert entries[0] == entry
        assert [one.outcome.cost for one in entries] == [0, 7, -3]
        assert [original_id(one.call.id) for one in entries] == [call.id] * 3
        assert len({one.call.id for one in entries}) == 3
        assert [bucket(ledger, scope).spent for scope in ("global", "user:u1")] == [4, 4]
        (total,) = ledger.totals([])
        assert (total.calls, total.cost, total.prompt_tokens, total.unpriced) == (1, 4, 5, 0)

    def test_what_is_learned_of_a_model_is_the_largest_ratio(self, ledger: Ledger) -> None:
        assert ledger.learned() == {}
        assert ledger.learn("gpt-4o", "bytes", 250_000) == Learned(250_000, 1)
        assert ledger.learn("gpt-4o", "bytes", 900_000) == Learned(900_000, 2)
        assert ledger.learn("gpt-4o", "bytes", 100_000) == Learned(900_000, 3)
        ledger.learn("claude", "o200k_base", 1_400_000)
        assert ledger.learned() == {
            ("gpt-4o", "bytes"): Learned(900_000, 3),
            ("claude", "o200k_base"): Learned(1_400_000, 1),
        }

    def test_a_hold_is_lost_when_its_lease_has_ended(self, ledger: Ledger) -> None:
        call = make_call()
        ledger.hold(make_hold(call, USD, Budget("global", 1)))
        assert ledger.sweep(NOON + LEASE - timedelta(microseconds=1)) == 0
        assert ledger.sweep(NOON + LEASE) == 1
        assert ledger.sweep(NOON + LEASE) == 0
        (entry,) = ledger.entries()
        assert (entry.outcome.status, entry.outcome.cost) == (Status.LOST, USD)
        assert entry.outcome.usage.trust is Trust.ESTIMATED
        assert entry.call == call
        state = bucket(ledger, "global")
        assert (state.spent, state.held, state.holds) == (USD, 0, 0)

    def test_the_next_hold_of_anyone_sweeps(self, ledger: Ledger) -> None:
        ledger.hold(make_hold(make_call(user="u1"), USD, Budget("user:*", 1)))
        ledger.hold(make_hold(make_call(NOON + LEASE, user="u2"), USD, Budget("user:*", 1)))
        assert [entry.outcome.status for entry in ledger.entries()] == [Status.LOST]

    def test_the_question_how_budgets_stand_sweeps(self, ledger: Ledger) -> None:
        ledger.hold(make_hold(make_call(), USD, Budget("global", 1)))
        assert bucket(ledger, "global", NOON + LEASE).spent == USD

    def test_the_question_how_budgets_stand_writes_nothing_if_so_asked(
        self, ledger: Ledger
    ) -> None:
        ledger.hold(make_hold(make_call(), USD, Budget("global", 1)))
        (state,) = ledger.statuses(NOON + LEASE, sweep=False)
        assert (state.spent, state.held, state.holds) == (0, USD, 1)
        assert list(ledger.entries()) == []

    def test_a_late_settle_corrects_what_was_counted_as_lost(self, ledger: Ledger) -> None:
        call = make_call()
        ledger.hold(make_hold(call, USD, Budget("global", 1)))
        ledger.sweep(NOON + LEASE)
        done = outcome(30, preferred_model="gpt-5", preferred_cost=100)
        assert ledger.settle(call, done)
        assert not ledger.settle(call, done)
        lost, correction = ledger.entries()
        assert lost.outcome.status is Status.LOST
        assert correction.outcome.status is Status.CORRECTION
        assert correction.call == call
        assert correction.outcome.cost == 30 - USD
        assert correction.outcome.usage == done.usage
        assert bucket(ledger, "global").spent == 30
        (total,) = ledger.totals([])
        assert (total.calls, total.cost, total.prompt_tokens) == (1, 30, 10)
        assert (total.fallback_saved, total.inexact) == (0, 0)

    def test_equal_refusals_within_a_minute_are_one_entry_with_a_count(
        self, ledger: Ledger
    ) -> None:
        refusal = Refusal("user:u1", "day", 1, 1, 0, 0, 5, None, may_fall_back=True)
        for second in (0, 1, 59, 60):
            ledger.record_refusal(make_call(NOON + timedelta(seconds=second), user="u1"), refusal)
        first, second_minute = ledger.entries()
        assert (first.outcome.status, first.count) == (Status.REFUSED, 3)
        assert (second_minute.outcome.status, second_minute.count) == (Status.REFUSED, 1)
        assert first.outcome.cost == 0
        (total,) = ledger.totals([])
        assert (total.refused, total.calls, total.cost) == (4, 0, 0)

    def test_refusals_of_different_callers_stay_apart(self, ledger: Ledger) -> None:
        refusal = Refusal("global", "day", 1, 1, 0, 0, 5, None, may_fall_back=True)
        for team in ("a", "a", "b"):
            ledger.record_refusal(make_call(team=team), refusal)
        assert {t.group: t.refused for t in ledger.totals(["team"])} == {("a",): 2, ("b",): 1}
        assert sorted(entry.count for entry in ledger.entries()) == [1, 2]

    def test_what_was_used_is_what_the_entries_say(self, ledger: Ledger) -> None:
        for place in range(3):
            call = make_call(NOON + timedelta(minutes=place), feature="chat")
            ledger.record(call, outcome(USD, usage=Usage(input=5 + place)), [])
        (first, *_) = ledger.entries()
        lines = (Line("input", 5, 10**18),)
        priced = Outcome(Status.CORRECTION, Usage(), 7, NOON, fingerprint="p", lines=lines)
        ledger.correct(first, priced)
        found = list(ledger.used(since=NOON, until=NOON + timedelta(minutes=2)))
        entries = list(ledger.entries(since=NOON, until=NOON + timedelta(minutes=2)))
        assert len(found) == 3
        for used, entry in zip(found, entries, strict=True):
            call, done = entry.call, entry.outcome
            assert used[:6] == (
                call.at,
                done.status,
                call.model,
                call.requested,
                done.served,
                call.provider,
            )
            assert used.labels == call.labels
            assert dict(used.counts) == done.usage.to_counts()
            assert used.cost == done.cost
        assert [used.lines for used in found if used.status is Status.CORRECTION] == [lines]

    def test_entries_come_oldest_first_from_since_to_before_until(self, ledger: Ledger) -> None:
        calls = [make_call(NOON + timedelta(seconds=n)) for n in (3, 1, 2, 0)]
        for call in calls:
            ledger.settle(call, outcome(1))
        assert [e.call.at for e in ledger.entries()] == sorted(call.at for call in calls)
        since, until = NOON + timedelta(seconds=1), NOON + timedelta(seconds=3)
        found = [e.call.at for e in ledger.entries(since=since, until=until)]
        assert found == [since, NOON + timedelta(seconds=2)]

    def test_many_entries_of_one_instant_are_all_read(self, ledger: Ledger) -> None:
        written = [make_call() for _ in range(2050)]
        for call in written:
            ledger.settle(call, outcome(1))
        assert [entry.call.id for entry in ledger.entries()] == [call.id for call in written]

    def test_entries_can_be_written_while_others_are_read(self, ledger: Ledger) -> None:
        for _ in range(3):
            ledger.settle(make_call(), outcome(1))
        reading = ledger.entries()
        next(reading)
        ledger.settle(make_call(NOON - timedelta(days=1)), outcome(1))
        assert len(list(reading)) == 2

    @pytest.mark.parametrize(
        "by",
        [
            [],
            *([group] for group in GROUPS),
            ["model", "status"],
            ["team", "feature", "project"],
            ["user", "session"],
            ["user", "model"],
            ["slot", "provider"],
            ["slot", "user", "team"],
        ],
        ids="+".join,
    )
    def test_totals_are_the_sums_of_the_entries(self, ledger: Ledger, by: list[str]) -> None:
        write_all_sorts(ledger)
        assert as_sums(ledger.totals(by)) == sums(ledger.entries(), by)

    @pytest.mark.parametrize("by", [[], ["model"], ["user"], ["user", "model"], ["slot"]])
    def test_totals_of_a_span_are_the_sums_of_its_half_hours(
        self, ledger: Ledger, by: list[str]
    ) -> None:
        write_all_sorts(ledger)
        since, until = NOON + timedelta(minutes=50), NOON + timedelta(hours=30, minutes=5)
        rounded = ledger.entries(
            since=NOON + timedelta(minutes=30), until=NOON + timedelta(hours=30)
        )
        assert as_sums(ledger.totals(by, since=since, until=until)) == sums(rounded, by)

    def test_an_empty_ledger_has_a_total_of_zero(self, ledger: Ledger) -> None:
        assert as_sums(ledger.totals([])) == {(): [0] * 10}
        assert ledger.totals(["model"]) == []
        assert list(ledger.entries()) == []
        assert ledger.statuses(NOON) == []

    def test_an_unknown_group_is_refused_by_name(self, ledger: Ledger) -> None:
        with pytest.raises(ConfigurationError, match=r"'color'.*'model'"):
            ledger.totals(["model", "color"])

    def test_sums_by_user_and_slot_keep_the_days_of_the_ledgers_time_zone(
        self, make_ledger: Callable[[tzinfo], Ledger]
    ) -> None:
        midnight = datetime(2026, 3, 11, tzinfo=KATHMANDU)
        with make_ledger(KATHMANDU) as ledger:
            for at, cost in ((midnight - timedelta(minutes=1), 1), (midnight, 20)):
                ledger.settle(make_call(at, user="u1"), outcome(cost))
            assert [(total.group, total.cost) for total in ledger.totals(["slot", "user"])] == [
                (("2026-03-09T18:15:00+00:00", "u1"), 1),
                (("2026-03-10T18:15:00+00:00", "u1"), 20),
            ]
            by_model = [(total.group, total.cost) for total in ledger.totals(["slot", "model"])]
            assert by_model == [(("2026-03-10T18:00:00+00:00", "gpt-4o"), 21)]
            # The day does not begin with a half hour of UTC, so its first one is counted whole.
            for by in (["user"], ["model"]):
                assert [total.cost for total in ledger.totals(by, since=midnight)] == [21]

    def test_totals_come_in_the_order_of_their_groups(self, ledger: Ledger) -> None:
        write_all_sorts(ledger)
        for by in (["team", "status"], ["status", "team"], ["slot"]):
            groups = [total.group for total in ledger.totals(by)]
            assert groups == sorted(groups)

    def test_instants_are_read_back_in_utc(self, ledger: Ledger) -> None:
        local = NOON.astimezone(KATHMANDU)
        ledger.settle(make_call(local), outcome(1, finished_at=local + LEASE))
        ledger.hold(make_hold(make_call(local), 1))
        (entry,), (held,) = ledger.entries(), ledger.holds()
        shown = entry.call.at, entry.outcome.finished_at, held.call.at, held.lease_until
        assert shown == (NOON, NOON + LEASE, NOON, NOON + LEASE)
        assert {instant.tzinfo for instant in shown} == {UTC}

    def test_a_ledger_that_was_used_is_there(self, ledger: Ledger) -> None:
        ledger.settle(make_call(), outcome(1))
        assert ledger.exists()

    def test_a_closed_ledger_opens_again(self, ledger: Ledger) -> None:
        ledger.settle(make_call(), outcome(1))
        ledger.close()
        ledger.close()
        ledger.settle(make_call(), outcome(2))
        assert [entry.outcome.cost for entry in ledger.entries()] == [1, 2]
