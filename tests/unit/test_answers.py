from datetime import timedelta

import pytest

from llmcost_plugins.answers import Answers
from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage
from tests.unit.trackers import make_tracker, spec

UNCAPPED = CallSize(1000, None)


def held(tracker: CostTracker, feature: str = "") -> int:
    labels = make_labels({"feature": feature} if feature else {})
    call = tracker.start(spec(size=UNCAPPED, labels=labels))
    call.release()
    return call.estimate.output


def answer(tracker: CostTracker, tokens: int, feature: str = "") -> None:
    labels = make_labels({"feature": feature} if feature else {})
    tracker.start(spec(size=UNCAPPED, labels=labels)).finish(Usage(input=1, output=tokens))


def test_an_uncapped_call_is_held_for_the_default_until_twenty_answers_were_seen(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock)
    assert held(tracker) == 4096
    for n in range(19):
        answer(tracker, 100 + n)
    assert held(tracker) == 4096
    answer(tracker, 200)
    assert held(tracker) == 240
    assert held(tracker, "chat") == 4096
    assert held(make_tracker(ledger, clock)) == 240


def test_the_longest_answer_counts_and_the_models_limit_bounds_it(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock)
    for _ in range(20):
        answer(tracker, 100)
    answer(tracker, 16_000)
    assert held(tracker) == 16_384  # gpt-4o's limit


def test_a_strict_hold_is_for_all_that_the_model_can_answer(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, strict=True)
    for _ in range(20):
        answer(tracker, 100)
    assert held(tracker) == 16_384


def test_a_declared_cap_is_held_as_it_is_and_teaches_nothing(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock)
    for _ in range(20):
        tracker.start(spec(size=CallSize(1000, 500))).finish(Usage(input=1, output=100))
    assert ledger.learned() == {}
    assert held(tracker) == 4096


def test_what_most_answers_need_is_known_from_twenty_on(ledger: Ledger) -> None:
    answers = Answers(ledger)
    assert answers.usual("m", "") is None
    for _ in range(19):
        answers.note("m", "", 300)
    answers.note("m", "", 5000)
    assert answers.usual("m", "") == 300
    answers.note("m", "", 5000)
    assert answers.usual("m", "") == 5000
    assert Answers(ledger).usual("m", "") == 5000


def test_an_answer_of_nothing_is_one_too(ledger: Ledger) -> None:
    answers = Answers(ledger)
    for _ in range(20):
        answers.note("m", "", 0)
    assert (answers.usual("m", ""), answers.hold_for("m", "")) == (0, 0)


def test_after_very_many_answers_only_a_longer_one_is_written_down(ledger: Ledger) -> None:
    answers = Answers(ledger)
    for _ in range(600):
        answers.note("m", "", 100)
    answers.note("m", "", 101)
    assert {measure: learned.seen for (_, measure), learned in ledger.learned().items()} == {
        "answer:7:": 501
    }
    assert answers.hold_for("m", "") == 122


def test_a_longer_answer_extends_the_hold_or_is_refused(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(
        ledger, clock, Budget("global", "0.05"), max_output_tokens=1000, hold_wait=timedelta(0)
    )
    call = tracker.start(spec(size=UNCAPPED))
    tracker.extend(call, 500)
    assert call.estimate.output == 1000
    tracker.extend(call, 4000)
    assert call.estimate.output == 4000
    (hold,) = ledger.holds()
    assert hold.charge.usd == 1000 * 2500 + 4000 * 10_000
    with pytest.raises(BudgetExceeded):
        tracker.extend(call, 5000)
    assert call.estimate.output == 4000
    tracker.extend(call, 4100)
    call.finish(Usage(input=1000, output=4100))
    (status,) = tracker.budgets()
    assert status.spent * 10**9 == 43_500_000
    assert status.held == 0
