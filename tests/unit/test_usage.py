import re
from decimal import Decimal
from typing import Any

import pytest

from llmcost_plugins.usage import LARGEST_COUNT, METERS, UNITS, Trust, Usage, is_meter


def test_totals_are_split_into_meters_that_do_not_overlap() -> None:
    usage = Usage.from_totals(
        100,
        60,
        cache_read=30,
        cache_write_5m=20,
        cache_write_1h=10,
        audio_in=5,
        image_in=3,
        video_in=2,
        reasoning=15,
        audio_out=25,
        image_out=4,
        video_out=6,
        other={"cache_write_12h": 7, "web_search": 2},
        service_tier="flex",
        region="eu",
        stated_cost=Decimal("0.5"),
    )
    assert usage == Usage(
        input=23,
        cache_read=30,
        cache_write_5m=20,
        cache_write_1h=10,
        audio_in=5,
        image_in=3,
        video_in=2,
        output=10,
        reasoning=15,
        audio_out=25,
        image_out=4,
        video_out=6,
        other={"cache_write_12h": 7, "web_search": 2},
        service_tier="flex",
        region="eu",
        stated_cost=Decimal("0.5"),
    )
    assert (usage.prompt_tokens, usage.completion_tokens) == (100, 60)


def test_details_that_make_up_the_whole_are_consistent() -> None:
    usage = Usage.from_totals(30, 15, cache_read=30, reasoning=15)
    assert usage == Usage(cache_read=30, reasoning=15)


@pytest.mark.parametrize(
    ("details", "note"),
    [
        ({"cache_read": 11}, "11 tokens of parts in a prompt of 10"),
        ({"audio_in": 12}, "12 tokens of parts in a prompt of 10"),
        ({"cache_read": 6, "cache_write_5m": 5}, "11 tokens of parts in a prompt of 10"),
        ({"reasoning": 6}, "6 tokens of parts in a completion of 5"),
    ],
)
def test_details_beyond_their_total_win_and_are_marked(details: dict[str, int], note: str) -> None:
    usage = Usage.from_totals(10, 5, **details)  # type: ignore[arg-type]  # meters only
    assert (usage.trust, usage.note) == (Trust.INCONSISTENT, note)
    assert all(getattr(usage, meter) == count for meter, count in details.items())
    assert usage.prompt_tokens >= 10
    assert usage.completion_tokens >= 5


@pytest.mark.parametrize(
    ("details", "left"),
    [
        ({"cache_read": 8, "audio_in": 6}, (0, 2, 0, 0)),
        ({"cache_read": 4, "audio_in": 5, "image_in": 3}, (0, 5, 1, 0)),
        ({"cache_write_5m": 1, "image_in": 6, "video_in": 6}, (0, 0, 6, 3)),
        ({"cache_read": 12, "audio_in": 5}, (0, 0, 0, 0)),
    ],
)
def test_media_that_were_cached_are_counted_once(
    details: dict[str, int], left: tuple[int, int, int, int]
) -> None:
    usage = Usage.from_totals(10, 0, **details)  # type: ignore[arg-type]  # meters only
    assert (usage.input, usage.audio_in, usage.image_in, usage.video_in) == left
    assert usage.trust is Trust.INCONSISTENT


@pytest.mark.parametrize(
    ("prompt", "completion", "details", "expected", "note"),
    [
        (-5, 3, {}, Usage(output=3), "prompt was reported as -5"),
        (5, -3, {}, Usage(input=5), "completion was reported as -3"),
        (5, 3, {"cache_read": -1}, Usage(input=5, output=3), "cache_read was reported as -1"),
        (
            10**30,
            0,
            {},
            Usage(input=LARGEST_COUNT),
            "prompt was reported as 1000000000000000000000000000000",
        ),
    ],
)
def test_an_impossible_report_is_mended_not_dropped(
    prompt: int, completion: int, details: dict[str, int], expected: Usage, note: str
) -> None:
    usage = Usage.from_totals(prompt, completion, **details)  # type: ignore[arg-type]  # meters only
    assert usage.counts() == expected.counts()
    assert (usage.trust, usage.note) == (Trust.INCONSISTENT, note)


@pytest.mark.parametrize("meter", METERS)
def test_a_negative_or_absurd_count_is_refused_by_name(meter: str) -> None:
    with pytest.raises(ValueError, match=rf"'{meter}' is negative: -1"):
        Usage(**{meter: -1})  # type: ignore[arg-type]  # meters only
    with pytest.raises(ValueError, match=rf"'{meter}' is absurd: 100000000001"):
        Usage(**{meter: LARGEST_COUNT + 1})  # type: ignore[arg-type]  # meters only


@pytest.mark.parametrize("count", [1.5, 2.0, Decimal(2), "2", None])
def test_a_count_that_is_no_whole_number_is_refused_by_name(count: Any) -> None:
    # Such a count would make the cost a float, and no ledger could store it.
    with pytest.raises(ValueError, match=rf"'input' is {re.escape(repr(count))}, which is no int"):
        Usage(input=count)
    with pytest.raises(ValueError, match=rf"'pages' is {re.escape(repr(count))}, which is no int"):
        Usage(other={"pages": count})


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"web_serach": 1}, "'web_serach' is no meter"),
        ({"input": 1}, "'input' is no meter of 'other'"),
        ({"web_search": -1}, "'web_search' is negative"),
        ({"ms_in": LARGEST_COUNT + 1}, "'ms_in' is absurd"),
    ],
)
def test_a_further_meter_is_checked_like_the_common_ones(other: dict[str, int], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Usage(other=other)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        *((meter, True) for meter in METERS),
        *((unit, True) for unit in UNITS),
        ("cache_write_12h", True),
        ("cache_write_30m", True),
        ("cache_write_audio", True),
        ("cache_read_image", True),
        ("images_out_1k", True),
        ("images_out_0.5k", True),
        ("ms_out_720p", True),
        ("web_search_high", True),
        ("cache_write", False),
        ("cache_read_text", False),
        ("images", False),
        ("service_tier", False),
        ("", False),
    ],
)
def test_the_names_of_meters(name: str, known: bool) -> None:
    assert is_meter(name) is known


def test_only_cache_meters_among_the_further_ones_are_tokens_of_the_prompt() -> None:
    usage = Usage(input=1, other={"cache_read_audio": 2, "web_search": 4, "citation": 8})
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 0)


def test_counts_leave_out_zeros_and_are_read_back() -> None:
    usage = Usage(
        input=1,
        audio_out=2,
        other={"web_search": 3, "query": 0},
        service_tier="priority",
        region="eu",
        stated_cost=Decimal("0.00014"),
        trust=Trust.ESTIMATED,
    )
    counts = usage.to_counts()
    assert counts == {
        "input": 1,
        "audio_out": 2,
        "web_search": 3,
        "service_tier": "priority",
        "region": "eu",
        "stated_cost": "0.00014",
    }
    again = Usage.from_counts(counts, Trust.ESTIMATED)
    assert again.to_counts() == counts
    assert (again.trust, again.stated_cost) == (Trust.ESTIMATED, Decimal("0.00014"))
    assert Usage.from_counts({}, Trust.PROVIDER) == Usage()


@pytest.mark.parametrize("name", ["smell_in", "trust", "note", "other"])
def test_stored_counts_of_an_unknown_kind_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Usage.from_counts({"input": 1, name: 2}, Trust.PROVIDER)


def test_two_reports_that_differ_in_their_note_only_are_equal() -> None:
    assert Usage(input=1, note="a") == Usage(input=1)
    assert hash(Usage(input=1, note="a")) == hash(Usage(input=1))
