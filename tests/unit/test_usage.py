import pytest

from llmcost_plugins.usage import METERS, Trust, Usage


def test_totals_are_split_into_meters_that_do_not_overlap() -> None:
    usage = Usage.from_totals(
        100,
        50,
        cache_read=30,
        cache_write_5m=20,
        cache_write_1h=10,
        audio_in=5,
        reasoning=15,
        audio_out=25,
        service_tier="flex",
    )
    assert usage == Usage(35, 30, 20, 10, 5, 10, 15, 25, "flex", Trust.PROVIDER)
    assert (usage.prompt_tokens, usage.completion_tokens) == (100, 50)


def test_details_that_make_up_the_whole_are_consistent() -> None:
    usage = Usage.from_totals(30, 15, cache_read=30, reasoning=15)
    assert usage == Usage(cache_read=30, reasoning=15)


@pytest.mark.parametrize(
    "details", [{"cache_read": 11}, {"audio_in": 6, "cache_write_5m": 5}, {"reasoning": 6}]
)
def test_details_beyond_their_total_win_and_are_marked(details: dict[str, int]) -> None:
    usage = Usage.from_totals(10, 5, **details)  # type: ignore[arg-type]  # counts only
    assert usage.trust is Trust.INCONSISTENT
    assert all(getattr(usage, meter) == count for meter, count in details.items())
    assert usage.prompt_tokens >= 10
    assert usage.completion_tokens >= 5


@pytest.mark.parametrize("meter", METERS)
def test_a_negative_count_is_refused_by_name(meter: str) -> None:
    with pytest.raises(ValueError, match=rf"'{meter}' is negative: -1"):
        Usage(**{meter: -1})  # type: ignore[arg-type]  # meters only


def test_counts_leave_out_zeros_and_are_read_back() -> None:
    usage = Usage(input=1, audio_out=2, service_tier="priority", trust=Trust.ESTIMATED)
    counts = usage.to_counts()
    assert counts == {"input": 1, "audio_out": 2, "service_tier": "priority"}
    assert Usage.from_counts(counts, Trust.ESTIMATED) == usage
    assert Usage.from_counts({}, Trust.PROVIDER) == Usage()


@pytest.mark.parametrize("name", ["image_in", "trust"])
def test_stored_counts_of_an_unknown_kind_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Usage.from_counts({"input": 1, name: 2}, Trust.PROVIDER)
