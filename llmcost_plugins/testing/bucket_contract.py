"""The part of `LedgerContract` about budgets: extensions, leases, units, new buckets, the audit."""

# ruff: noqa: D102, PLR2004, S101 - tests: their names are the sentences, pytest needs the asserts

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins.budgets import Bucket, Budget, BudgetKey, Unit
from llmcost_plugins.errors import Refusal
from llmcost_plugins.ledger import (
    Alert,
    Change,
    Charge,
    Entry,
    HoldResult,
    Ledger,
    OpenHold,
    Status,
)
from llmcost_plugins.periods import Period
from llmcost_plugins.testing.ledger_facts import (
    LEASE,
    NOON,
    USD,
    buckets_of,
    make_call,
    make_hold,
    outcome,
    standing,
    write_all_sorts,
)
from llmcost_plugins.usage import Trust, Usage

KATHMANDU = ZoneInfo("Asia/Kathmandu")
"""Its days and hours begin at a quarter past an hour of UTC: no half hour of it is one of UTC."""

_WIDE = Budget("global", 100)
_DAY = BudgetKey("global", Period.DAY, Unit.USD)


class BucketContract:
    """The tests; `LedgerContract` has the fixtures."""

    def test_an_extension_raises_what_a_call_holds(self, ledger: Ledger) -> None:
        call, budgets = make_call(user="u1"), (_WIDE, Budget("user:*", "90 tokens", "day"))
        ledger.hold(make_hold(call, USD, *budgets, tokens=20))
        assert ledger.extend(make_hold(call, 3 * USD, *budgets, tokens=30)).refusal is None
        assert standing(ledger, "global") == (0, 3 * USD, 1)
        assert standing(ledger, "user:u1") == (0, 30, 1)
        (held,) = ledger.holds()
        assert held.charge == Charge(3 * USD, 30)
        ledger.settle(call, outcome(5))
        assert standing(ledger, "global") == (5, 0, 0)
        assert standing(ledger, "user:u1") == (12, 0, 0)

    def test_an_extension_never_lowers_what_a_call_holds(self, ledger: Ledger) -> None:
        call, budgets = make_call(), (_WIDE, Budget("model:*", "90 tokens"))
        ledger.hold(make_hold(call, 5 * USD, *budgets, tokens=20))
        assert ledger.extend(make_hold(call, USD, *budgets, tokens=30)).refusal is None
        assert standing(ledger, "global") == (0, 5 * USD, 1)
        assert standing(ledger, "model:gpt-4o") == (0, 30, 1)
        (held,) = ledger.holds()
        assert held.charge == Charge(5 * USD, 30)

    def test_an_extension_adds_the_buckets_a_call_does_not_have(self, ledger: Ledger) -> None:
        call, more = make_call(team="a"), Budget("team:*", 5)
        ledger.hold(make_hold(call, 2 * USD, _WIDE))
        assert ledger.extend(make_hold(call, USD, more)).refusal is None
        assert standing(ledger, "global") == (0, 2 * USD, 1)
        assert standing(ledger, "team:a") == (0, USD, 1)
        ledger.settle(call, outcome(7))
        assert standing(ledger, "global") == (7, 0, 0)
        assert standing(ledger, "team:a") == (7, 0, 0)

    def test_a_bucket_added_with_nothing_counts_the_call(self, ledger: Ledger) -> None:
        call = make_call(team="a")
        ledger.hold(make_hold(call, 2 * USD, _WIDE))
        ledger.extend(make_hold(call, 0, Budget("team:*", 0)))
        assert standing(ledger, "team:a") == (0, 0, 1)
        ledger.settle(call, outcome(7))
        assert standing(ledger, "team:a") == (7, 0, 0)

    def test_a_refused_extension_leaves_every_bucket_as_it_was(self, ledger: Ledger) -> None:
        call, narrow = make_call(team="a", user="u1"), Budget("team:*", 2)
        ledger.hold(make_hold(call, USD, _WIDE, narrow))
        result = ledger.extend(make_hold(call, 3 * USD, _WIDE, narrow, Budget("user:*", 9)))
        assert result.refusal is not None
        assert standing(ledger, "global") == standing(ledger, "team:a") == (0, USD, 1)
        assert standing(ledger, "user:u1") == (0, 0, 0)
        (held,) = ledger.holds()
        assert (held.charge.usd, sorted(held.buckets.values())) == (USD, [USD, USD])
        assert ledger.settle(call, outcome(7))
        assert standing(ledger, "user:u1") == (0, 0, 0)

    def test_an_extension_is_judged_by_what_it_adds(self, ledger: Ledger) -> None:
        call, budget = make_call(), Budget("global", 5)
        ledger.hold(make_hold(call, 3 * USD, budget))
        refusal = ledger.extend(make_hold(call, 5 * USD + 1, budget)).refusal
        assert refusal is not None
        assert (refusal.held, refusal.holds, refusal.needed) == (3 * USD, 1, 2 * USD + 1)
        assert ledger.extend(make_hold(call, 5 * USD, budget)).refusal is None

    def test_an_extension_past_a_budget_that_warns_is_granted_with_a_warning(
        self, ledger: Ledger
    ) -> None:
        call, budget = make_call(), Budget("global", 1, on_exceed="warn")
        ledger.hold(make_hold(call, USD, budget))
        result = ledger.extend(make_hold(call, 2 * USD, budget))
        assert result.refusal is None
        assert [warning.needed for warning in result.warnings] == [USD]
        assert standing(ledger, "global") == (0, 2 * USD, 1)

    def test_extending_a_call_that_holds_nothing_is_granted_and_changes_nothing(
        self, ledger: Ledger
    ) -> None:
        ended, budget = make_call(), Budget("global", 1)
        ledger.hold(make_hold(ended, USD, budget))
        ledger.settle(ended, outcome(7))
        for call in (make_call(), ended):
            assert ledger.extend(make_hold(call, 9 * USD, budget)) == HoldResult()
        assert standing(ledger, "global") == (7, 0, 0)
        assert ledger.holds() == []

    def test_a_renewed_lease_ends_later(self, ledger: Ledger) -> None:
        kept, lost = make_call(), make_call()
        for call in (kept, lost):
            ledger.hold(make_hold(call, USD, _WIDE))
        until = NOON + 2 * LEASE
        assert ledger.renew([kept.id, "unknown"], until) == 1
        assert ledger.sweep(NOON + LEASE) == 1
        (held,) = ledger.holds()
        assert (held.call, held.lease_until) == (kept, until)
        assert ledger.sweep(until) == 1

    def test_a_lease_is_never_made_shorter(self, ledger: Ledger) -> None:
        call = make_call()
        ledger.hold(make_hold(call, USD, _WIDE))
        assert ledger.renew([call.id], NOON) == 0
        assert ledger.sweep(NOON + LEASE - timedelta(microseconds=1)) == 0

    def test_a_call_that_has_ended_has_no_lease_to_renew(self, ledger: Ledger) -> None:
        call = make_call()
        ledger.hold(make_hold(call, USD, _WIDE))
        ledger.settle(call, outcome(7))
        assert ledger.renew([call.id], NOON + 2 * LEASE) == 0
        assert ledger.renew([], NOON + 2 * LEASE) == 0

    def test_a_recorded_call_is_charged_to_its_buckets(self, ledger: Ledger) -> None:
        ledger.settle(make_call(user="u1"), outcome(100))
        call, other = make_call(user="u1"), make_call(user="u1")
        budgets = _WIDE, Budget("user:*", "500 tokens", "day"), Budget("model:*", "9 requests")
        assert ledger.record(call, outcome(7), buckets_of(call, *budgets)) is True
        assert ledger.record(other, outcome(8), buckets_of(other, *budgets)) is True
        assert standing(ledger, "global") == (115, 0, 0)
        assert standing(ledger, "user:u1") == (36, 0, 0)
        assert standing(ledger, "model:gpt-4o") == (3, 0, 0)
        assert [entry.outcome.cost for entry in ledger.entries()] == [100, 7, 8]

    def test_a_record_may_overdraw_a_bucket(self, ledger: Ledger) -> None:
        call, budget = make_call(), Budget("global", 1)
        assert ledger.record(call, outcome(3 * USD), buckets_of(call, budget)) is True
        assert standing(ledger, "global") == (3 * USD, 0, 0)
        assert ledger.hold(make_hold(make_call(), 1, budget)).refusal is not None

    def test_a_call_that_is_known_is_not_recorded_again(self, ledger: Ledger) -> None:
        held, recorded = make_call(), make_call()
        ledger.hold(make_hold(held, USD, _WIDE))
        ledger.record(recorded, outcome(7), buckets_of(recorded, _WIDE))
        for call in (held, recorded):
            assert ledger.record(call, outcome(500), buckets_of(call, _WIDE)) is False
        assert standing(ledger, "global") == (7, USD, 1)
        assert ledger.hold(make_hold(recorded, USD, _WIDE)).refusal is None
        assert standing(ledger, "global") == (7, USD, 1)

    def test_a_recorded_entry_is_corrected_in_its_buckets(self, ledger: Ledger) -> None:
        call = make_call()
        ledger.record(call, outcome(7), buckets_of(call, _WIDE))
        (entry,) = ledger.entries()
        assert ledger.correct(entry, outcome(-2, status=Status.CORRECTION, usage=Usage()))
        assert standing(ledger, "global") == (5, 0, 0)

    def test_each_budget_counts_its_own_unit(self, ledger: Ledger) -> None:
        units = Budget("global", 9), Budget("global", "2k tokens"), Budget("global", "5 requests")
        call = make_call()
        ledger.hold(make_hold(call, USD, *units, tokens=100))
        assert _by_unit(ledger) == {"usd": (0, USD), "tokens": (0, 100), "requests": (0, 1)}
        ledger.settle(call, outcome(7))
        assert _by_unit(ledger) == {"usd": (7, 0), "tokens": (12, 0), "requests": (1, 0)}

    def test_a_refusal_names_the_unit_that_is_used_up(self, ledger: Ledger) -> None:
        budgets = Budget("global", 9), Budget("global", "150 tokens", "day")
        ledger.hold(make_hold(make_call(), USD, *budgets, tokens=100))
        refusal = ledger.hold(make_hold(make_call(), USD, *budgets, tokens=51)).refusal
        assert refusal == Refusal(
            scope="global",
            period="day",
            limit=150,
            spent=0,
            held=100,
            holds=1,
            needed=51,
            resets_at=datetime(2026, 3, 11, tzinfo=UTC),
            may_fall_back=True,
            unit="tokens",
        )
        assert _by_unit(ledger) == {"usd": (0, USD), "tokens": (0, 100)}

    def test_a_budget_of_requests_lets_so_many_calls_pass(self, ledger: Ledger) -> None:
        budget = Budget("global", "2 requests")
        calls = [make_call() for _ in range(3)]
        granted = [ledger.hold(make_hold(call, 0, budget)).refusal is None for call in calls]
        assert granted == [True, True, False]

    def test_what_a_cache_answers_is_neither_a_request_nor_tokens(self, ledger: Ledger) -> None:
        budgets = Budget("global", "90 tokens"), Budget("global", "9 requests")
        call = make_call()
        ledger.hold(make_hold(call, 0, *budgets, tokens=50))
        ledger.settle(call, outcome(0, status=Status.CACHED, saved=7))
        assert _by_unit(ledger) == {"tokens": (0, 0), "requests": (0, 0)}

    def test_a_lost_call_has_spent_what_it_held_until_it_is_settled(self, ledger: Ledger) -> None:
        units = Budget("global", 9), Budget("global", "2k tokens"), Budget("global", "5 requests")
        call = make_call()
        ledger.hold(make_hold(call, USD, *units, tokens=100))
        ledger.sweep(NOON + LEASE)
        assert _by_unit(ledger) == {"usd": (USD, 0), "tokens": (100, 0), "requests": (1, 0)}
        ledger.settle(call, outcome(7))
        assert _by_unit(ledger) == {"usd": (7, 0), "tokens": (12, 0), "requests": (1, 0)}

    def test_a_correction_by_new_prices_moves_money_alone(self, ledger: Ledger) -> None:
        units = Budget("global", 9), Budget("global", "2k tokens"), Budget("global", "5 requests")
        call = make_call()
        ledger.hold(make_hold(call, USD, *units, tokens=100))
        ledger.settle(call, outcome(7))
        (entry,) = ledger.entries()
        change = outcome(4, status=Status.CORRECTION, usage=Usage(), mends=Trust.UNPRICED)
        assert ledger.correct(entry, change)
        assert _by_unit(ledger) == {"usd": (11, 0), "tokens": (12, 0), "requests": (1, 0)}

    def test_a_new_bucket_holds_what_calls_in_flight_hold(self, ledger: Ledger) -> None:
        flying, other = make_call(user="u1", team="a"), make_call(user="u2")
        ledger.hold(make_hold(flying, 3 * USD, tokens=40))
        ledger.hold(make_hold(other, USD, tokens=50))
        call = make_call(user="u1")
        budgets = Budget("user:*", 9), Budget("team:a", 9), Budget("global", "500 tokens")
        ledger.hold(make_hold(call, 2 * USD, *budgets, tokens=6))
        assert standing(ledger, "user:u1") == (0, 5 * USD, 2)
        assert standing(ledger, "global") == (0, 96, 3)
        ledger.hold(make_hold(make_call(team="a"), 0, *budgets))
        assert standing(ledger, "team:a") == (0, 3 * USD, 2)
        ledger.settle(flying, outcome(7))
        assert standing(ledger, "user:u1") == (7, 2 * USD, 1)
        assert standing(ledger, "team:a") == (7, 0, 1)
        ledger.release(other.id)
        assert standing(ledger, "global") == (12, 6, 2)

    def test_calls_in_flight_count_before_a_new_bucket_grants_anything(
        self, ledger: Ledger
    ) -> None:
        ledger.hold(make_hold(make_call(), 3 * USD))
        refusal = ledger.hold(make_hold(make_call(), USD, Budget("global", 3))).refusal
        assert refusal is not None
        assert (refusal.spent, refusal.held, refusal.holds) == (0, 3 * USD, 1)

    def test_a_call_of_another_period_does_not_join_a_new_bucket(self, ledger: Ledger) -> None:
        midnight = datetime(2026, 3, 11, tzinfo=UTC)
        for at, amount in ((midnight - timedelta(minutes=1), 100), (midnight, 7)):
            ledger.hold(make_hold(make_call(at), amount))
        at = midnight + timedelta(minutes=1)
        ledger.hold(make_hold(make_call(at), 30, Budget("global", 1, "day")))
        assert standing(ledger, "global", at) == (0, 37, 2)

    @pytest.mark.parametrize("scope", ["run", "session:*"])
    def test_a_bucket_that_starts_at_zero_is_joined_by_nobody(
        self, ledger: Ledger, scope: str
    ) -> None:
        labels = {"session": "s1"}
        ledger.settle(make_call(NOON, **labels), outcome(100))
        ledger.hold(make_hold(make_call(NOON, **labels), 7))
        ledger.hold(make_hold(make_call(NOON, **labels), 30, Budget(scope, 1)))
        (state,) = ledger.statuses(NOON)
        assert (state.spent, state.held, state.holds) == (0, 30, 1)

    def test_a_bucket_made_by_a_refused_hold_has_what_others_spent_and_hold(
        self, ledger: Ledger
    ) -> None:
        flying = make_call()
        ledger.settle(make_call(), outcome(100))
        ledger.hold(make_hold(flying, 7))
        assert ledger.hold(make_hold(make_call(), USD, Budget("global", 1))).refusal is not None
        assert standing(ledger, "global") == (100, 7, 1)
        ledger.settle(flying, outcome(5))
        assert standing(ledger, "global") == (105, 0, 0)

    @pytest.mark.parametrize("zone", [UTC, KATHMANDU], ids=str)
    @pytest.mark.parametrize(
        "scope",
        [
            "global",
            "model:*",
            "provider:openai",
            "feature:*",
            "team:*",
            "user:*",
            "user:*+team:a",
            "model:*+feature:*+team:*",
            "tier:*",
        ],
    )
    def test_a_new_bucket_has_what_the_entries_of_its_period_add_up_to(
        self, make_ledger: Callable[[tzinfo], Ledger], scope: str, zone: tzinfo
    ) -> None:
        at = datetime(2026, 3, 11, 10, 20, tzinfo=UTC)
        labels = {"feature": "f3", "team": "a", "user": "u2", "tier": "gold"}
        with make_ledger(zone) as ledger:
            write_all_sorts(ledger, ())
            for minutes in range(-75, 75, 5):
                call = make_call(at + timedelta(minutes=minutes), **labels)
                ledger.settle(call, outcome(1000 + minutes))
            entries = list(ledger.entries())
            for per in ("hour", "day", "month", "total"):
                budgets = [
                    Budget(scope, 1, per, on_exceed="warn", unit=unit, warn_at=()) for unit in Unit
                ]
                call = make_call(at, **labels)
                hold = make_hold(call, 0, *budgets, zone=zone)
                ledger.hold(hold)
                ledger.release(call.id)
                states = {state.key: state for state in ledger.statuses(at)}
                for made in hold.buckets:
                    expected = _spent(entries, made)
                    assert expected > 0
                    assert (made.key, states[made.key].spent) == (made.key, expected)

    @pytest.mark.parametrize("per", [Period.HOUR, Period.DAY, Period.WEEK, Period.MONTH])
    @pytest.mark.parametrize("scope", ["global", "user:*"])
    def test_a_period_begins_and_ends_to_the_microsecond_in_any_time_zone(
        self, make_ledger: Callable[[tzinfo], Ledger], scope: str, per: Period
    ) -> None:
        call = make_call(user="u1")
        (made,) = buckets_of(call, Budget(scope, 1, per), zone=KATHMANDU)
        assert made.starts_at is not None
        assert made.resets_at is not None
        assert made.starts_at.minute == 15
        with make_ledger(KATHMANDU) as ledger:
            for end, cost in ((made.starts_at, 1), (made.resets_at, 100)):
                for at, more in ((end - timedelta(microseconds=1), 0), (end, 9)):
                    ledger.settle(make_call(at, user="u1"), outcome(cost * (1 + more)))
            ledger.hold(make_hold(call, 0, Budget(scope, 1, per), zone=KATHMANDU))
            (state,) = ledger.statuses(NOON)
            assert (state.spent, state.resets_at) == (10 + 100, made.resets_at)

    def test_holds_are_shown_oldest_first_with_all_that_they_hold(self, ledger: Ledger) -> None:
        younger, older = make_call(NOON, user="u1"), make_call(NOON - timedelta(minutes=1))
        hold = make_hold(younger, USD, _WIDE, Budget("user:*", "90 tokens", "day"), tokens=40)
        ledger.hold(hold)
        ledger.hold(make_hold(older, 5))
        global_, user = (made.key for made in hold.buckets)
        # The bucket was made before the older call was held, so it does not count that one.
        assert ledger.holds() == [
            OpenHold(older, Charge(5), {}, older.at + LEASE, "host:1"),
            OpenHold(younger, Charge(USD, 40), {global_: USD, user: 40}, NOON + LEASE, "host:1"),
        ]

    def test_a_threshold_is_told_once(self, ledger: Ledger) -> None:
        assert ledger.tell("b1", "0.8", NOON) is True
        assert ledger.tell("b1", "0.8", NOON + LEASE) is False
        assert ledger.tell("b1", "0.9", NOON) is True
        assert ledger.tell("b2", "0.8", NOON) is True

    def test_an_alert_waits_from_the_claim_on_and_is_given_to_one_at_a_time(
        self, ledger: Ledger
    ) -> None:
        assert ledger.next_alert() is None
        assert ledger.tell("b1", "0.8", NOON, '{"a": 1}') is True
        assert ledger.tell("b1", "0.8", NOON, '{"a": 2}') is False
        assert ledger.tell("b1", "0.9", NOON) is True
        assert ledger.alerts() == [Alert("b1", "0.8", NOON, '{"a": 1}', NOON)]
        assert ledger.claim_alert(NOON, NOON + LEASE, since=NOON + LEASE) is None
        claimed = ledger.claim_alert(NOON, NOON + LEASE)
        assert claimed == Alert("b1", "0.8", NOON, '{"a": 1}', NOON + LEASE, 1)
        assert ledger.claim_alert(NOON, NOON + LEASE) is None
        assert ledger.next_alert() == NOON + LEASE
        again = ledger.claim_alert(NOON + LEASE, NOON + 2 * LEASE)
        assert again is not None
        assert again.tries == 2

    def test_an_alert_that_failed_is_due_again_and_one_that_was_sent_is_not(
        self, ledger: Ledger
    ) -> None:
        ledger.tell("b1", "0.8", NOON, "{}")
        claimed = ledger.claim_alert(NOON, NOON + LEASE)
        assert claimed is not None
        ledger.alert_failed(claimed, NOON + timedelta(seconds=5), "it answered 500")
        assert ledger.alerts()[0].failure == "it answered 500"
        assert ledger.claim_alert(NOON, NOON + LEASE) is None
        claimed = ledger.claim_alert(NOON + timedelta(seconds=5), NOON + LEASE)
        assert claimed is not None
        ledger.alert_sent(claimed, NOON + timedelta(seconds=6))
        ledger.alert_failed(claimed, NOON, "too late")
        (alert,) = ledger.alerts()
        assert (alert.sent_at, alert.failure) == (NOON + timedelta(seconds=6), "")
        assert ledger.next_alert() is None

    def test_a_question_how_buckets_stand_is_answered_for_those_that_exist(
        self, ledger: Ledger
    ) -> None:
        call, other = make_call(user="u1"), make_call(user="u1")
        hold = make_hold(call, 5, Budget("user:*", 9))
        (key,) = (bucket.key for bucket in hold.buckets)
        assert ledger.standing([key]) == {}
        ledger.hold(hold)
        ledger.hold(make_hold(other, 3, Budget("user:*", 9)))
        ledger.settle(call, outcome(2))
        assert ledger.standing([key, "no bucket"]) == {key: (2, 3)}

    def test_a_bucket_that_holds_nothing_can_be_removed_and_its_entries_stay(
        self, ledger: Ledger
    ) -> None:
        call = make_call()
        hold = make_hold(call, 5, Budget("run", 9))
        (key,) = (bucket.key for bucket in hold.buckets)
        assert ledger.drop(key) is False
        ledger.hold(hold)
        assert ledger.drop(key) is False
        ledger.settle(call, outcome(2))
        assert ledger.drop(key) is True
        assert ledger.drop(key) is False
        assert ledger.standing([key]) == {}
        assert ledger.totals([])[0].cost == 2

    def test_a_late_end_whose_bucket_is_gone_is_still_recorded(self, ledger: Ledger) -> None:
        call = make_call()
        hold = make_hold(call, 5, Budget("run", 9), Budget("global", 9))
        ledger.hold(hold)
        ledger.sweep(NOON + LEASE)
        assert ledger.drop(next(bucket.key for bucket in hold.buckets if "run" in bucket.match))
        assert ledger.settle(call, outcome(2)) is not None
        entry = next(iter(ledger.entries()))
        correction = outcome(1, status=Status.CORRECTION, fingerprint="f", usage=Usage())
        assert ledger.correct(entry, correction) is True
        assert ledger.totals([])[0].cost == 3
        assert [state.spent for state in ledger.statuses(NOON)] == [3]

    def test_of_many_threads_one_may_tell(self, ledger: Ledger) -> None:
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda _: ledger.tell("b1", "0.8", NOON), range(32)))
        assert sorted(told) == [False] * 31 + [True]

    def test_a_budget_that_was_set_is_read_back(self, ledger: Ledger) -> None:
        assert ledger.budgets() == {}
        budgets = [
            Budget("global", "12.5", "day", "raise", warn_at=["0.5", "0.25"], degrade_at="0.8"),
            Budget("global", "2M tokens", "day", "warn", warn_at=()),
            Budget('user:"a; b"', "500 requests"),
        ]
        for budget in budgets:
            ledger.set_budget(budget.key, budget, who="ann", at=NOON)
        assert ledger.budgets() == {budget.key: budget for budget in budgets}

    def test_a_scope_can_be_set_to_have_no_budget(self, ledger: Ledger) -> None:
        ledger.set_budget(_DAY, None, who="ann", at=NOON)
        assert ledger.budgets() == {_DAY: None}

    def test_the_last_budget_set_wins_until_it_is_unset(self, ledger: Ledger) -> None:
        for limit in (1, 2):
            ledger.set_budget(_DAY, Budget("global", limit, "day"), who="ann", at=NOON)
        assert ledger.budgets() == {_DAY: Budget("global", 2, "day")}
        assert ledger.unset_budget(_DAY, who="ann", at=NOON) is True
        assert ledger.unset_budget(_DAY, who="ann", at=NOON) is False
        assert ledger.budgets() == {}

    def test_every_change_of_a_budget_is_in_the_audit(self, ledger: Ledger) -> None:
        assert ledger.changes() == []
        one, two = Budget("global", 1, "day"), Budget("global", "2.50", "day", "raise")
        later = NOON.astimezone(KATHMANDU) + timedelta(seconds=1)
        ledger.set_budget(_DAY, one, who="ann", at=NOON)
        ledger.set_budget(_DAY, two, who="bob", at=later)
        ledger.set_budget(_DAY, None, who="bob", at=later)
        ledger.unset_budget(_DAY, who="ann", at=later)
        ledger.unset_budget(_DAY, who="ann", at=later)
        what = "budget global per day in usd"
        first, second = "global=1/day:fallback", "global=2.5/day:raise"
        assert ledger.changes() == [
            Change(NOON, "ann", what, "", first),
            Change(later, "bob", what, first, second),
            Change(later, "bob", what, second, "none"),
            Change(later, "ann", what, "none", ""),
        ]

    def test_the_revision_grows_with_every_change(self, ledger: Ledger) -> None:
        seen = [ledger.revision()]
        ledger.set_budget(_DAY, Budget("global", 1, "day"), who="ann", at=NOON)
        seen.append(ledger.revision())
        ledger.set_budget(_DAY, None, who="ann", at=NOON)
        seen.append(ledger.revision())
        ledger.unset_budget(_DAY, who="ann", at=NOON)
        seen.append(ledger.revision())
        assert seen == sorted(set(seen))
        ledger.unset_budget(_DAY, who="ann", at=NOON)
        ledger.hold(make_hold(make_call(), USD, _WIDE))
        assert ledger.revision() == seen[-1]

    def test_a_call_that_ends_in_the_middle_of_a_verb_is_settled_when_that_is_through(
        self, ledger: Ledger
    ) -> None:
        ended, call = make_call(), make_call()
        ledger.hold(make_hold(ended, USD, _WIDE))

        def end() -> None:
            # As the garbage collector would, when it finds an abandoned stream.
            assert ledger.settle(ended, outcome(7)) is not None

        hold = make_hold(call, 2 * USD, _WIDE)
        ledger.hold(replace(hold, buckets=_Interrupted(hold.buckets, end)))
        assert standing(ledger, "global") == (7, 2 * USD, 1)
        assert [entry.call for entry in ledger.entries()] == [ended]
        assert ledger.settle(ended, outcome(7)) is None


class _Interrupted(list[Bucket]):
    """Buckets during whose first reading something else happens."""

    def __init__(self, buckets: Sequence[Bucket], happens: Callable[[], None]) -> None:
        super().__init__(buckets)
        self._happens = [happens]

    def __iter__(self) -> Iterator[Bucket]:
        while self._happens:
            self._happens.pop()()
        return super().__iter__()


def _by_unit(ledger: Ledger) -> dict[str, tuple[int, int]]:
    return {state.unit.value: (state.spent, state.held) for state in ledger.statuses(NOON)}


def _spent(entries: list[Entry], made: Bucket) -> int:
    """Add up the slow way what a new bucket must have spent."""
    spent = 0
    for entry in entries:
        call, done = entry.call, entry.outcome
        facts = {**call.labels.values, "model": call.model, "provider": call.provider}
        if any(facts.get(key) != value for key, value in made.match.items()):
            continue
        if made.starts_at is not None and call.at < made.starts_at:
            continue
        if made.resets_at is not None and call.at >= made.resets_at:
            continue
        sent = done.status not in {Status.CACHED, Status.REFUSED, Status.CORRECTION}
        tokens = done.usage.prompt_tokens + done.usage.completion_tokens
        spent += {
            Unit.USD: done.cost,
            Unit.TOKENS: 0 if done.status is Status.CACHED else tokens,
            Unit.REQUESTS: int(sent),
        }[made.unit]
    return spent
