from datetime import UTC, datetime, timedelta

import pytest

from llmcost_plugins import ConfigurationError, CoolDowns

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_candidate_cools_down_for_so_long_and_no_longer() -> None:
    downs = CoolDowns(30 * SECOND)
    assert not downs.is_cooling("a", NOW)
    downs.start("a", NOW)
    assert downs.is_cooling("a", NOW)
    assert downs.is_cooling("a", NOW + 29 * SECOND)
    assert not downs.is_cooling("a", NOW + 30 * SECOND)
    assert not downs.is_cooling("b", NOW)


def test_a_candidate_that_fails_again_cools_down_again() -> None:
    downs = CoolDowns(30 * SECOND)
    downs.start("a", NOW)
    downs.start("a", NOW + 20 * SECOND)
    assert downs.is_cooling("a", NOW + 45 * SECOND)


def test_no_length_means_no_cool_down() -> None:
    downs = CoolDowns(timedelta(0))
    downs.start("a", NOW)
    assert not downs.is_cooling("a", NOW)


def test_a_clock_that_is_put_back_keeps_nothing_out_for_longer() -> None:
    downs = CoolDowns(30 * SECOND)
    downs.start("a", NOW)
    assert not downs.is_cooling("a", NOW - timedelta(hours=1))


def test_a_number_is_refused_since_it_says_no_unit() -> None:
    with pytest.raises(ConfigurationError, match=r"write CoolDowns\(timedelta\(seconds=30\)\)"):
        CoolDowns(60)  # type: ignore[arg-type]  # what users get wrong
