import itertools
from collections.abc import Callable

import pytest

from llmcost_plugins.errors import (
    AllModelsFailed,
    BudgetExceeded,
    ConfigurationError,
    ModelUnsuitable,
    PriceUnknown,
    Refusal,
)
from llmcost_plugins.routing import Attempts

LATER = "later"


class BusyError(Exception):
    """A transient error of a provider."""


def is_busy(error: Exception) -> bool:
    return isinstance(error, BusyError)


def refused(*, may_fall_back: bool = True, waited: bool = False) -> BudgetExceeded:
    refusal = Refusal("global", "day", 10, 9, 0, 0, 5, None, may_fall_back=may_fall_back)
    return BudgetExceeded(refusal, "m", waited=waited)


def walk(*outcomes: Exception | str) -> str:
    """Raise or return what each candidate in turn does."""
    names = [f"m{number}" for number in range(len(outcomes))]
    for attempt in Attempts(names, is_busy):
        with attempt:
            outcome = outcomes[attempt.index]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
    raise AssertionError


def test_the_first_candidate_that_answers_is_the_last_one_tried() -> None:
    assert walk("a", Exception("never reached")) == "a"


@pytest.mark.parametrize(
    "error",
    [refused(), BusyError("later"), PriceUnknown("m", "no entry")],
    ids=lambda e: type(e).__name__,
)
def test_what_another_candidate_may_mend_is_passed_over(error: Exception) -> None:
    assert walk(error, "b") == "b"


@pytest.mark.parametrize("error", [refused(may_fall_back=False), ValueError("bad request")])
def test_what_no_candidate_can_mend_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        walk(error, "b")
    assert caught.value is error


def test_an_interruption_is_never_passed_over() -> None:
    attempt = next(iter(Attempts(["a", "b"], lambda _: True)))
    with pytest.raises(KeyboardInterrupt), attempt:
        raise KeyboardInterrupt


def test_after_output_has_reached_the_caller_even_a_transient_error_is_raised() -> None:
    attempt = next(iter(Attempts(["a", "b"], is_busy)))
    attempt.committed = True
    with pytest.raises(BusyError), attempt:
        raise BusyError


def test_when_budgets_refuse_all_candidates_the_last_refusal_is_raised() -> None:
    last = refused()
    with pytest.raises(BudgetExceeded) as caught:
        walk(refused(), last)
    assert caught.value is last


def test_when_candidates_fail_for_several_reasons_all_are_told() -> None:
    with pytest.raises(AllModelsFailed) as caught:
        walk(BusyError("later"), refused())
    assert [name for name, _ in caught.value.reasons] == ["m0", "m1"]
    assert caught.value.reasons[0][1] == "BusyError: later"
    assert isinstance(caught.value.__cause__, BudgetExceeded)


def test_a_single_candidate_raises_its_own_error() -> None:
    with pytest.raises(BusyError):
        walk(BusyError("later"))


def test_only_one_candidate_waits_for_calls_in_flight() -> None:
    waits = []
    for attempt in Attempts(["a", "b", "c"], is_busy):
        waits.append(attempt.may_wait)
        if attempt.is_last:
            break
        with attempt:
            raise refused(waited=attempt.index == 0)
    assert waits == [True, False, False]


def test_passed_over_candidates_are_named_with_their_reasons() -> None:
    passed: list[list[tuple[str, str]]] = []
    for attempt in Attempts(["a", "b"], is_busy):
        passed.append(attempt.passed_over)
        if attempt.is_last:
            break
        with attempt:
            raise BusyError(LATER)
    assert passed == [[], [("a", "BusyError: later")]]


def test_a_ladder_without_candidates_is_refused() -> None:
    check: Callable[[Exception], bool] = is_busy
    with pytest.raises(ConfigurationError, match="at least one model"):
        Attempts([], check)


def test_the_order_may_be_another_than_that_of_the_names() -> None:
    walked = []
    for attempt in Attempts(["a", "b", "c"], is_busy, order=[2, 0, 1]):
        with attempt:
            walked.append((attempt.index, attempt.preferred, attempt.is_last))
            if not attempt.is_last:
                raise BusyError
            break
    assert walked == [(2, 2, False), (0, 2, False), (1, 2, True)]


def test_what_was_to_be_asked_first_may_be_said() -> None:
    attempts = Attempts(["a", "b"], is_busy, order=[1, 0], preferred=0)
    assert [attempt.preferred for attempt in itertools.islice(attempts, 1)] == [0]


def test_a_candidate_that_cannot_do_the_call_is_passed_over() -> None:
    cannot = ModelUnsuitable("'a' takes no image")
    for attempt in Attempts(["a", "b"], is_busy):
        with attempt:
            if not attempt.is_last:
                raise cannot
            assert attempt.passed_over == [("a", "ModelUnsuitable: 'a' takes no image")]
            break


def test_failures_are_told_with_the_place_of_the_candidate() -> None:
    told: list[tuple[int, type[Exception]]] = []

    def note(index: int, error: Exception) -> None:
        told.append((index, type(error)))

    for attempt in Attempts(["a", "b"], is_busy, on_failure=note):
        with attempt:
            if not attempt.is_last:
                raise BusyError
            break
    assert told == [(0, BusyError)]
