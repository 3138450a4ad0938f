from datetime import timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from llmcost_plugins.monitor import Course, course_of
from llmcost_plugins.testing.ledger_contract import NOON

MICROSECOND = timedelta(microseconds=1)
AMOUNTS = st.integers(0, 10**15)
SPANS = st.timedeltas(timedelta(hours=1), timedelta(days=366))


@given(limit=AMOUNTS, spent=AMOUNTS, whole=SPANS, part=st.fractions(0, 1))
def test_a_budget_runs_out_exactly_where_its_pace_reaches_the_limit_before_the_end(
    limit: int, spent: int, whole: timedelta, part: object
) -> None:
    length = whole // MICROSECOND
    gone = int(length * part)  # type: ignore[operator]  # a fraction
    assume(0 < gone < length)
    end, now = NOON + whole, NOON + gone * MICROSECOND
    course, at = course_of(limit, spent, NOON, end, now)
    assert (at is not None) == (course is Course.RUNS_OUT)
    assert (course is Course.USED_UP) == (spent >= limit)
    if course is Course.UNKNOWN:
        assert gone * 100 < length
    elif course is Course.LASTS:
        # One microsecond before the end the pace has not reached the limit.
        assert spent * (length - 1) < limit * gone
    elif at is not None:
        assert now < at < end
        needed = (at - NOON) // MICROSECOND
        assert spent * (needed - 1) < limit * gone <= spent * needed


@given(limit=st.integers(1, 10**15), whole=SPANS)
def test_a_budget_that_nothing_is_spent_of_lasts(limit: int, whole: timedelta) -> None:
    assert course_of(limit, 0, NOON, NOON + whole, NOON + whole / 2) == (Course.LASTS, None)
