from datetime import UTC, datetime, timedelta

import pytest

from llmcost_plugins.testing import FakeClock

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def test_it_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(START)
    assert clock() == clock() == START


def test_it_advances_by_a_timedelta_or_by_seconds_and_says_the_new_time() -> None:
    clock = FakeClock(START)
    assert clock.advance(timedelta(hours=1)) == START + timedelta(hours=1)
    assert clock.advance(0.5) == clock() == START + timedelta(hours=1, seconds=0.5)


def test_it_can_be_set_back_but_not_advanced_backwards() -> None:
    clock = FakeClock(START)
    clock.set(START - timedelta(days=1))
    assert clock() == START - timedelta(days=1)
    with pytest.raises(ValueError, match="use set"):
        clock.advance(-1)


def test_a_time_without_a_zone_is_refused() -> None:
    naive = START.replace(tzinfo=None)
    with pytest.raises(ValueError, match="time zone"):
        FakeClock(naive)
    clock = FakeClock(START)
    with pytest.raises(ValueError, match="time zone"):
        clock.set(naive)
    assert clock() == START
